"""Which of several endpoints takes the next call.

Each function here is given the candidates once and returns a function that picks one of them as often as it is asked:
what can be worked out beforehand is, because picking happens for every call.  A new set of candidates, or new weights,
means a new pick.  A candidate's `active` is read at each pick.  `weights` are given where they are not those of the
candidates themselves.
"""

from __future__ import annotations

from bisect import bisect
from functools import reduce
from heapq import heapify, heapreplace
from itertools import accumulate, cycle, islice
from math import ceil, gcd
from typing import Callable, Iterator, Optional, Protocol, Sequence, TypeVar

# Gives a number in [0, 1), as random.random does.
Dice = Callable[[], float]
Weights = Sequence[float]

# A weighted round repeats itself after sum(weights) / gcd(weights) picks.  Rounds up to this long are remembered, so
# that a pick costs the same for any number of endpoints; longer ones are worked out pick by pick.
ROUND_KEPT = 4096


class Candidate(Protocol):
    """What a balance looks at: the configured weight (1 or more), and the calls in flight now."""

    weight: int
    active: int


C = TypeVar("C", bound=Candidate)


def round_robin(candidates: Sequence[C], dice: Dice, weights: Optional[Weights] = None) -> Callable[[], C]:
    """Pick in turn, in proportion to the weights and as evenly spread as they allow (earliest deadline first).

    The dice only choose where to begin, so that many sidecars which learn of a change at once do not all send
    their next call to the same endpoint.
    """
    asked = _weights(candidates, weights)
    if _equal(asked):
        start = int(dice() * len(candidates))
        return cycle([*candidates[start:], *candidates[:start]]).__next__
    turns = _turns(candidates, asked, dice())
    whole = [int(each) for each in asked]
    if whole == list(asked):
        period = sum(whole) // reduce(gcd, whole)
        if period <= ROUND_KEPT:
            return cycle(islice(turns, period)).__next__
    return turns.__next__


def pick_random(candidates: Sequence[C], dice: Dice, weights: Optional[Weights] = None) -> Callable[[], C]:
    """Pick by the dice alone, in proportion to the weights."""
    draw = draw_by(_weights(candidates, weights), dice)
    return lambda: candidates[draw()]


def least_request(candidates: Sequence[C], dice: Dice, weights: Optional[Weights] = None) -> Callable[[], C]:
    """Pick the one with less in flight for its weight, of two that are drawn (power of two choices).

    The first is drawn in proportion to the weights and the second from the others evenly; a tie goes to the first.  So
    an idle cluster is shared by weight, and a busy one is levelled by calls in flight per weight.
    """
    count = len(candidates)
    if count == 1:
        only = candidates[0]
        return lambda: only
    asked = _weights(candidates, weights)
    if not _equal(asked):
        return _least_weighted(candidates, dice, asked)
    if count == 2:
        return _least_of_two(candidates[0], candidates[1], dice)
    others = count - 1

    def pick() -> C:
        first = int(dice() * count)
        second = int(dice() * others)
        if second >= first:
            second += 1
        one = candidates[first]
        other = candidates[second]
        return one if one.active <= other.active else other

    return pick


def _least_of_two(left: C, right: C, dice: Dice) -> Callable[[], C]:
    """The commonest case, where both are always looked at and the dice only settle ties."""

    def pick() -> C:
        one = left.active
        other = right.active
        if one == other:
            return left if dice() < 0.5 else right
        return left if one < other else right

    return pick


def _least_weighted(candidates: Sequence[C], dice: Dice, weights: Weights) -> Callable[[], C]:
    draw = draw_by(weights, dice)
    others = len(candidates) - 1

    def pick() -> C:
        first = draw()
        second = int(dice() * others)
        if second >= first:
            second += 1
        one = candidates[first]
        other = candidates[second]
        return one if one.active * weights[second] <= other.active * weights[first] else other

    return pick


def draw_by(weights: Weights, dice: Dice) -> Callable[[], int]:
    """Return a function that draws an index in proportion to the weights."""
    count = len(weights)
    if _equal(weights):
        return lambda: int(dice() * count)
    bounds = list(accumulate(weights))
    total, last = bounds[-1], count - 1
    # What a sum of fractions is rounded to may lie at the last bound.
    return lambda: bisect(bounds, dice() * total, 0, last)


def _turns(candidates: Sequence[C], weights: Weights, start: float) -> Iterator[C]:
    """Yield for ever: each candidate is due `weight` times in each second of a virtual time, the earliest comes next.

    In a second the n-th turn of a candidate is at (n + phase) / weight.  Those of the same weight have different
    phases, so that each round takes them one after the other, with the others evenly between them.

    :param start: where in the first second to begin, from 0 to 1.
    """
    due: list[tuple[float, int, int]] = []
    phases = _phases(weights)
    for index, (weight, phase) in enumerate(zip(weights, phases, strict=True)):
        turn = max(0, ceil(start * weight - phase))
        due.append(((turn + phase) / weight, index, turn))
    heapify(due)
    while True:
        _, index, turn = due[0]
        heapreplace(due, ((turn + 1 + phases[index]) / weights[index], index, turn + 1))
        yield candidates[index]


def _phases(weights: Weights) -> list[float]:
    """Return a number between 0 and 1 for each; those of equal weights are spread evenly."""
    alike: dict[float, list[int]] = {}
    for index, weight in enumerate(weights):
        alike.setdefault(weight, []).append(index)
    phases = [0.0] * len(weights)
    for indices in alike.values():
        for nth, index in enumerate(indices):
            phases[index] = (nth + 0.5) / len(indices)
    return phases


def _weights(candidates: Sequence[C], weights: Optional[Weights]) -> Weights:
    return [each.weight for each in candidates] if weights is None else weights


def _equal(weights: Weights) -> bool:
    return all(each == weights[0] for each in weights)


BALANCES = {"round_robin": round_robin, "random": pick_random, "least_request": least_request}

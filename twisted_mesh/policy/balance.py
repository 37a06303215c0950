"""Which of several endpoints takes the next call.

Each function here is given the candidates once and returns a function that picks one of them as often as it is asked:
what can be worked out beforehand is, because picking happens for every call.  A new set of candidates, or new weights,
means a new pick.  A candidate's `active` is read at each pick.
"""

from __future__ import annotations

from bisect import bisect
from functools import reduce
from itertools import accumulate, cycle, islice
from math import gcd
from typing import Callable, Iterator, Protocol, Sequence, TypeVar

# Gives a number in [0, 1), as random.random does.
Dice = Callable[[], float]

# A weighted round repeats itself after sum(weights) / gcd(weights) picks.  Rounds up to this long are remembered, so
# that a pick costs the same for any number of endpoints; longer ones are worked out pick by pick.
ROUND_KEPT = 4096


class Candidate(Protocol):
    """What a balance looks at: the configured weight (1 or more), and the calls in flight now."""

    weight: int
    active: int


C = TypeVar("C", bound=Candidate)


def round_robin(candidates: Sequence[C], dice: Dice) -> Callable[[], C]:
    """Pick in turn, in proportion to the weights and as evenly spread as they allow (nginx's smooth weighting).

    The dice only choose where to begin, so that many sidecars which learn of a change at once do not all send
    their next call to the same endpoint.
    """
    start = int(dice() * len(candidates))
    turned = [*candidates[start:], *candidates[:start]]
    if _equal(turned):
        return cycle(turned).__next__
    period = sum(each.weight for each in turned) // reduce(gcd, (each.weight for each in turned))
    if period <= ROUND_KEPT:
        return cycle(islice(_smooth(turned), period)).__next__
    return _smooth(turned).__next__


def pick_random(candidates: Sequence[C], dice: Dice) -> Callable[[], C]:
    """Pick by the dice alone, in proportion to the weights."""
    draw = _draw(candidates, dice)
    return lambda: candidates[draw()]


def least_request(candidates: Sequence[C], dice: Dice) -> Callable[[], C]:
    """Pick the one with less in flight for its weight, of two that are drawn (power of two choices).

    The first is drawn in proportion to the weights and the second from the others evenly; a tie goes to the first.  So
    an idle cluster is shared by weight, and a busy one is levelled by calls in flight per weight.
    """
    count = len(candidates)
    if count == 1:
        only = candidates[0]
        return lambda: only
    if not _equal(candidates):
        return _least_weighted(candidates, dice)
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


def _least_weighted(candidates: Sequence[C], dice: Dice) -> Callable[[], C]:
    draw = _draw(candidates, dice)
    others = len(candidates) - 1

    def pick() -> C:
        first = draw()
        second = int(dice() * others)
        if second >= first:
            second += 1
        one = candidates[first]
        other = candidates[second]
        return one if one.active * other.weight <= other.active * one.weight else other

    return pick


def _draw(candidates: Sequence[C], dice: Dice) -> Callable[[], int]:
    """Return a function that draws an index in proportion to the weights."""
    count = len(candidates)
    if _equal(candidates):
        return lambda: int(dice() * count)
    bounds = list(accumulate(each.weight for each in candidates))
    total = bounds[-1]
    return lambda: bisect(bounds, dice() * total)


def _smooth(candidates: Sequence[C]) -> Iterator[C]:
    """Yield for ever: each candidate gains its weight a turn, the richest is picked and pays what all gained."""
    weights = [each.weight for each in candidates]
    total = sum(weights)
    credit = [0] * len(weights)
    while True:
        credit = [have + gain for have, gain in zip(credit, weights, strict=True)]
        best = credit.index(max(credit))
        credit[best] -= total
        yield candidates[best]


def _equal(candidates: Sequence[C]) -> bool:
    return all(each.weight == candidates[0].weight for each in candidates)


Balance = Callable[[Sequence[C], Dice], Callable[[], C]]

BALANCES = {"round_robin": round_robin, "random": pick_random, "least_request": least_request}

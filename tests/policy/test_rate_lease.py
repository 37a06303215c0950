"""Leases of a rate limit that many sidecars share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.gcra import Gcra, Grant
from twisted_mesh.policy.rate_lease import CALLS, LIFE, Ask, RateLease

NOW = 1000.0


def half() -> float:
    return 0.5


class Asking:
    """A sidecar with one key and a Redis that it alone asks."""

    def __init__(self, count: float = 100, burst: int = 100, sidecars: int = 1) -> None:
        self.gcra = Gcra(count, 1.0, burst)
        self.sidecars = sidecars
        self.now = NOW
        self.arrival = 0.0
        self.lease = RateLease(self.gcra, NOW)

    def ask(self, units: int = 1, calls: int = 0) -> Ask:
        """Ask after some calls."""
        self.lease.demand += calls
        return self.lease.ask(units, units, 1, self.sidecars, self.now)

    def answer(self, asked: Ask) -> bool:
        self.arrival, grant = self.gcra.grant(self.arrival, self.now, *asked)
        return self.lease.answered(grant, 1, half, self.now)

    def round(self, units: int = 1, calls: int = 0) -> Ask:
        asked = self.ask(units, calls)
        self.answer(asked)
        return asked


def test_the_first_question_is_for_what_is_needed() -> None:
    one = Asking()
    assert one.round(3) == Ask(3, 3, 0)
    assert (one.lease.tokens, one.lease.left) == (3, 100)
    assert repr(one.lease) == "<RateLease 3 units, 0 owed>"


def test_the_next_ones_last_for_some_calls() -> None:
    one = Asking()
    one.round()
    one.now += 0.1
    assert one.round(calls=5).want == CALLS


@pytest.mark.parametrize(
    ("count", "sidecars", "calls", "want"),
    [
        (100, 1, 0, 1),
        # As many as come in 3 s.
        (100, 1, 3, 9),
        (100, 1, 50, CALLS),
        # As many as come in 0.1 s.
        (10_000, 1, 5_000, 500),
        (1000, 1, 500, 50),
        # The more there are, the less each has, but enough for some calls.
        (10_000, 40, 5_000, 200),
        (100, 40, 50, CALLS),
        # No more than a third of what is left.
        (30, 1, 50, 9),
        (10, 4, 5, 3),
        (5, 4, 5, 1),
    ],
)
def test_how_much_is_asked_for(count: int, sidecars: int, calls: int, want: int) -> None:
    """A second after the last question, when so many calls came."""
    one = Asking(count, count, sidecars)
    one.round()
    one.now += 1.0
    assert one.ask(calls=calls).want == want


def test_the_last_units_are_leased_one_by_one_unless_there_was_too_little_of_late() -> None:
    one = Asking(100, 100)
    one.round()
    wanted = []
    for _ in range(60):
        one.now += 0.001
        wanted.append(one.round(calls=1).want)
        one.lease.tokens = 0
    assert wanted[:4] == [CALLS, CALLS, CALLS, CALLS]
    assert 1 in wanted
    # Now there was too little.
    assert wanted[-1] == CALLS
    one.now += LIFE
    one.round(calls=1)
    one.now += LIFE
    assert one.round(calls=1).want <= one.lease.left


def test_what_came_long_ago_says_nothing() -> None:
    one = Asking()
    one.round()
    one.now += 0.1
    one.round(calls=50)
    one.lease.give_back()
    one.now += 10 * LIFE
    assert one.ask(calls=1).want == 1


def test_more_is_asked_for_before_there_is_none() -> None:
    one = Asking()
    one.round()
    one.now += 0.1
    one.round(calls=20)
    assert one.lease.low == CALLS // 4
    some = Asking(100, 30)
    some.round()
    some.now += 0.1
    assert some.round(calls=20).want == 9
    assert some.lease.low == 2
    # To have something of little at hand all the time would keep it from the others.
    few = Asking(100, 10)
    few.round()
    few.now += 0.1
    few.round(calls=20)
    assert few.lease.low == -1


def test_who_gets_too_little_waits_for_some_calls() -> None:
    one = Asking(100, 10)
    one.round(10)
    one.now += 0.05
    one.lease.tokens = 0
    assert not one.answer(one.ask(8, calls=20))
    # Sixteen calls at 400 a second.
    assert one.lease.pause_until - one.now == pytest.approx(0.04)
    one.now += 0.01
    assert not one.answer(one.ask(8, calls=2))
    # No longer than it takes to fill half of the burst.
    assert one.lease.pause_until - one.now == pytest.approx(0.05)
    assert one.lease.verdict(False, one.now).retry_after == pytest.approx(0.05)


def test_who_gets_nothing_waits_until_it_is_there() -> None:
    one = Asking(1, 10)
    one.round(10)
    one.round()
    assert one.lease.pause_until - one.now == pytest.approx(1.0)


def test_what_nobody_used_goes_back() -> None:
    one = Asking()
    one.round(5)
    assert (one.lease.give_back(), one.lease.tokens) == (5, 0)
    assert one.lease.ends == NOW + LIFE


def test_alone_a_share_is_admitted_and_owed() -> None:
    one = Asking(100, 100, 4)
    share = Gcra(25, 1.0, 25)
    admitted = [one.lease.alone(1, share, one.now).admitted for _ in range(30)]
    assert admitted == [True] * 25 + [False] * 5
    assert one.ask().debt == 25
    assert one.lease.debt == 0


def test_what_was_used_long_ago_is_not_owed_any_more() -> None:
    one = Asking(100, 100, 4)
    share = Gcra(25, 1.0, 25)
    for _ in range(20):
        one.lease.alone(1, share, one.now)
    one.now += 0.4
    assert one.ask().debt == 10
    assert one.lease.asking


def test_who_was_at_the_limit_stays_there_when_redis_goes() -> None:
    one = Asking(100, 100, 4)
    one.round(100)
    share = Gcra(25, 1.0, 25)
    assert not one.lease.alone(1, share, one.now).admitted
    one.now += 0.2
    assert [one.lease.alone(1, share, one.now).admitted for _ in range(6)] == [True] * 5 + [False]


def test_a_late_answer_makes_up_for_what_was_used_meanwhile() -> None:
    one = Asking(100, 100, 4)
    asked = one.ask(10)
    share = Gcra(25, 1.0, 25)
    for _ in range(4):
        one.lease.alone(1, share, one.now)
    one.answer(asked)
    assert (one.lease.tokens, one.lease.debt) == (6, 0)


def test_what_is_owed_is_owed_still_when_the_question_was_lost() -> None:
    one = Asking(100, 100, 4)
    for _ in range(4):
        one.lease.alone(1, Gcra(25, 1.0, 25), one.now)
    asked = one.ask()
    one.lease.failed(asked)
    assert not one.lease.asking
    assert one.ask().debt == 4


def test_it_is_idle_when_nothing_is_used_any_more() -> None:
    one = Asking()
    assert one.lease.idle(NOW)
    asked = one.ask(5)
    assert not one.lease.idle(NOW)
    one.answer(asked)
    assert not one.lease.idle(NOW + 10)
    one.lease.give_back()
    assert not one.lease.idle(NOW)
    assert one.lease.idle(NOW + 10)


def test_what_is_told_of_the_whole_limit() -> None:
    one = Asking()
    one.lease.answered(Grant(5, 20, 0.8, 0.0), 1, half, NOW)
    verdict = one.lease.verdict(True, NOW + 0.3)
    assert verdict.remaining == 25
    assert verdict.reset_after == pytest.approx(0.5)


class Mesh:
    """Sidecars that share a limit; answers come when they are let, or never."""

    def __init__(self, sidecars: int) -> None:
        self.gcra = Gcra(20, 1.0, 20)
        self.now, self.arrival, self.spent, self.lost = NOW, 0.0, 0, 0
        self.leases = [RateLease(self.gcra, NOW) for _ in range(sidecars)]
        self.open: dict[RateLease, Ask] = {}

    def call(self, at: int) -> None:
        lease = self.leases[at]
        lease.demand += 1
        if lease.tokens:
            lease.tokens -= 1
            self.spent += 1
        elif lease not in self.open and self.now >= lease.pause_until:
            self.open[lease] = lease.ask(1, 1, 1, len(self.leases), self.now)

    def answer(self, at: int, heard: bool) -> None:
        lease = self.leases[at]
        asked = self.open.pop(lease, None)
        if asked is None:
            return
        self.arrival, grant = self.gcra.grant(self.arrival, self.now, *asked)
        if heard:
            lease.answered(grant, 1, half, self.now)
        else:
            # It was taken at Redis, and nobody here knows.
            lease.failed(asked)
            self.lost += grant.granted

    def give_back(self, at: int) -> None:
        lease = self.leases[at]
        if lease not in self.open:
            self.arrival, _ = self.gcra.grant(self.arrival, self.now, 0, 0, -lease.give_back())


STEPS = st.one_of(
    st.tuples(st.just("call"), st.integers(0, 2)),
    st.tuples(st.just("call"), st.integers(0, 2)),
    st.tuples(st.just("answer"), st.integers(0, 2)),
    st.tuples(st.just("lose"), st.integers(0, 2)),
    st.tuples(st.just("back"), st.integers(0, 2)),
    st.tuples(st.just("wait"), st.floats(0.001, 0.5)),
)


@given(st.lists(STEPS, max_size=200))
def test_whatever_happens_no_more_is_spent_than_the_limit_gives(steps: list[tuple[str, float]]) -> None:
    mesh = Mesh(3)
    for what, argument in steps:
        if what == "wait":
            mesh.now += argument
        elif what == "call":
            mesh.call(int(argument))
        elif what == "back":
            mesh.give_back(int(argument))
        else:
            mesh.answer(int(argument), what == "answer")
        held = sum(each.tokens for each in mesh.leases)
        assert all(each.tokens >= 0 and each.debt >= 0 for each in mesh.leases)
        # What is spent, held or lost was given, and that is the burst and the rate.
        assert mesh.spent + held + mesh.lost <= 20 + 20 * (mesh.now - NOW) + 1e-6

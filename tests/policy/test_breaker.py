"""Circuit breakers: when they open, for how long, and how they close."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.breaker import Breaker, BreakerRule, State

RULE = BreakerRule()


def a_breaker(dice: float = 0.0, **changed: float) -> Breaker:
    return Breaker(RULE._replace(**changed), lambda: dice)  # type: ignore[arg-type]


def fail(breaker: Breaker, times: int, now: float = 0.0) -> list[bool]:
    return [breaker.ended(True, now) for _ in range(times)]


def test_the_defaults_are_linkerds() -> None:
    """Seven failures in a row; out for a second at least, a minute at most."""
    assert (RULE.failures, RULE.least, RULE.most) == (7, 1.0, 60.0)


def test_failures_in_a_row_open_it() -> None:
    breaker = a_breaker()
    assert fail(breaker, 6) == [False] * 6
    assert not breaker.ended(False, 0.0)
    assert fail(breaker, 7) == [False] * 6 + [True]
    assert breaker.state is State.OPEN
    assert breaker.reason == "7 failures in a row"
    assert breaker.until == 1.0
    assert repr(breaker) == "<Breaker open: 7 failures in a row>"


def test_a_share_of_failures_opens_it() -> None:
    breaker = a_breaker(failures=0)
    opened = [breaker.ended(each % 2 == 0, 0.25 * each) for each in range(20)]
    assert opened == [False] * 19 + [False]
    assert breaker.ended(True, 5.0)
    assert breaker.reason == "11 of 21 calls failed within 10 s"


def test_few_calls_say_little_about_a_share() -> None:
    breaker = a_breaker(failures=0)
    assert not any(fail(breaker, 19))
    assert breaker.ended(True, 0.0)


def test_the_window_forgets() -> None:
    breaker = a_breaker(failures=0)
    assert not any(fail(breaker, 19))
    assert not breaker.ended(True, 11.0)
    for second in range(5):
        fail(breaker, 3, 20.0 + second)
    assert breaker.state is State.CLOSED
    assert fail(breaker, 5, 25.0) == [False] * 4 + [True]


def test_a_rule_of_0_is_off() -> None:
    assert not any(fail(a_breaker(failures=0, percent=0.0), 1000))
    assert fail(a_breaker(percent=0.0, failures=100), 100) == [False] * 99 + [True]


def test_what_ends_late_is_not_looked_at() -> None:
    breaker = a_breaker()
    fail(breaker, 7)
    assert not breaker.ended(False, 0.5) and not breaker.ended(True, 0.5)
    assert breaker.state is State.OPEN and breaker.until == 1.0


def test_a_good_probe_closes_it_and_all_is_forgotten() -> None:
    breaker = a_breaker()
    fail(breaker, 7)
    breaker.offer()
    assert breaker.state is State.HALF_OPEN
    assert not breaker.ended(False, 1.0)
    breaker.probed(False, 1.0)
    assert (breaker.state, breaker.reason, breaker.until) == (State.CLOSED, "", 0.0)
    assert fail(breaker, 7, 1.0) == [False] * 6 + [True]
    assert breaker.until == 2.0


def test_each_probe_that_fails_doubles_the_time_up_to_the_most() -> None:
    breaker, now, waits = a_breaker(), 0.0, []
    fail(breaker, 7)
    for _ in range(100):
        waits.append(breaker.until - now)
        now = breaker.until
        breaker.offer()
        breaker.probed(True, now)
    assert waits[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert waits[-1] == 60
    assert breaker.reason == "its probe failed"


def test_the_dice_add_up_to_half() -> None:
    breaker = a_breaker(dice=0.999)
    fail(breaker, 7)
    assert 1.49 < breaker.until < 1.5


def test_a_probe_or_an_offer_at_the_wrong_time_changes_nothing() -> None:
    breaker = a_breaker()
    breaker.offer()
    breaker.probed(True, 0.0)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("percent", [0.0, 50.0])
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3))))
def test_it_agrees_with_a_simple_model(percent: float, steps: list[tuple[bool, float]]) -> None:
    """Which keeps every call, and looks at those of the parts of the window."""
    breaker, now, calls, run = a_breaker(percent=percent, calls=5, failures=4), 0.0, [], 0
    for bad, passed in steps:
        now += passed
        calls.append((int(now), bad))
        run = run + 1 if bad else 0
        recent = [each for at, each in calls if at > int(now) - 10]
        share = percent and len(recent) >= 5 and sum(recent) * 100 >= percent * len(recent)
        expected = bad and (run >= 4 or bool(share))
        assert breaker.ended(bad, now) == expected
        if expected:
            breaker.offer()
            breaker.probed(False, now)
            calls, run = [], 0


def test_what_others_have_seen_opens_it_for_as_long() -> None:
    breaker = Breaker(RULE, lambda: 1.0)
    assert breaker.learn("learnt from web-1: bad", 10.0, 100.0)
    assert (breaker.state, breaker.learnt, breaker.reason) == (State.OPEN, True, "learnt from web-1: bad")
    # And up to half of a second more, so that not all probe at once.
    assert breaker.until == 110.5
    assert not breaker.learn("again", 60.0, 101.0)
    breaker.offer()
    breaker.probed(True, 111.0)
    # The first time that it is opened by what was seen here.
    assert (breaker.learnt, breaker.until) == (False, 112.5)
    breaker.offer()
    breaker.probed(False, 113.0)
    assert (breaker.state, breaker.learnt) == (State.CLOSED, False)

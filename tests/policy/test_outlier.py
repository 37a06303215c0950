"""Outlier detection, against Envoy's own figures where its tests have some."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.outcome import Outcome
from twisted_mesh.policy.outlier import OutlierRule, Tally, look, may_eject, threshold

RULE = OutlierRule()
GOOD, ERROR, GATEWAY, FAILURE = Outcome.SUCCESS, Outcome.ERROR, Outcome.GATEWAY, Outcome.FAILURE


def a_tally(good: int, bad: int) -> Tally:
    made = Tally()
    made.good, made.bad = good, bad
    return made


def reasons(tally: Tally, results: list[Outcome], rule: OutlierRule = RULE) -> list[str]:
    return [tally.ended(each, rule) for each in results]


def test_the_threshold_is_envoys() -> None:
    """outlier_detection_impl_test.cc: an average of 90 and a threshold of 52."""
    assert threshold([50, 100, 100, 100, 100], 1.9) == pytest.approx(52.0)


def test_envoys_sequence_of_errors() -> None:
    """outlier_detection_impl_test.cc: 500, 200, four times 500, and one more; out at 9,999 ms and in at 30,001."""
    tally = Tally()
    assert not any(reasons(tally, [ERROR, GOOD, *[ERROR] * 4]))
    reason = tally.ended(ERROR, RULE)
    assert reason == "5 errors in a row"
    tally.eject(reason, RULE, 0.0)
    assert (tally.ejected, tally.until, tally.times) == (reason, 30.0, 1)
    tally.admit()
    assert not tally.ejected
    assert reasons(tally, [ERROR] * 5)[-1] == "5 errors in a row"
    tally.eject("again", RULE, 30.001)
    assert tally.until == pytest.approx(90.001) and tally.times == 2


@pytest.mark.parametrize(
    ("rule", "results", "expected"),
    [
        (RULE, [FAILURE] * 5, "5 failures in a row"),
        (RULE, [GATEWAY] * 5, "5 errors in a row"),
        (RULE, [FAILURE, ERROR, FAILURE, GATEWAY, ERROR], "5 errors in a row"),
        (RULE, [FAILURE] * 4 + [GOOD, FAILURE], ""),
        (RULE._replace(gateway_errors=2), [GATEWAY, FAILURE], "2 gateway errors in a row"),
        (RULE._replace(gateway_errors=2), [GATEWAY, ERROR, GATEWAY], ""),
        (RULE._replace(errors=0, failures=0), [ERROR, FAILURE] * 50, ""),
        (RULE._replace(failures=2), [ERROR, FAILURE, ERROR, FAILURE], ""),
        (RULE, [Outcome.REFUSED] * 50, ""),
    ],
)
def test_runs(rule: OutlierRule, results: list[Outcome], expected: str) -> None:
    assert reasons(Tally(), results, rule)[-1] == expected


def test_a_share_far_below_the_others_is_an_outlier() -> None:
    odd = a_tally(50, 50)
    tallies = [odd, *(a_tally(100, 0) for _ in range(4))]
    [(found, reason)] = look(tallies, RULE)
    assert found is odd
    assert reason == "50.0 % of its calls went well, below 52.0 %, the mean less 1.9 deviations"
    assert odd.good == odd.bad == 0


@pytest.mark.parametrize(
    "tallies",
    [
        [(50, 49), (100, 0), (100, 0), (100, 0), (100, 0)],
        [(50, 50), (100, 0), (100, 0), (100, 0)],
        [(50, 50)] * 10,
        [],
    ],
)
def test_too_few_calls_or_endpoints_say_nothing_and_all_alike_are_no_outliers(tallies: list[tuple[int, int]]) -> None:
    assert look([a_tally(*each) for each in tallies], RULE) == []


def test_a_percentage_of_failures() -> None:
    rule = RULE._replace(percent=85.0, deviations=0.0)
    tallies = [a_tally(15, 85), a_tally(0, 50), a_tally(16, 84), a_tally(0, 49), a_tally(100, 0), a_tally(50, 0)]
    assert [(each[0] is tallies[at], each[1]) for at, each in zip((1, 0), look(tallies, rule))] == [
        (True, "100.0 % of its calls failed"),
        (True, "85.0 % of its calls failed"),
    ]


def test_the_times_grow_to_the_most_and_are_forgiven_one_by_one() -> None:
    tally, lengths = Tally(), []
    for _ in range(12):
        tally.eject("x", RULE, 0.0)
        lengths.append(tally.until)
        tally.admit()
    assert lengths == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]
    look([tally], RULE)
    assert tally.times == 11
    tally.eject("x", RULE, 0.0)
    look([tally], RULE)
    assert tally.times == 12, "one that is out has not shown that it is better"


@pytest.mark.parametrize(
    ("ejected", "count", "expected"),
    [(0, 1, False), (0, 2, True), (1, 2, False), (0, 10, True), (1, 10, False), (1, 20, True), (2, 20, False)],
)
def test_a_tenth_may_be_out_and_one_always_if_another_remains(ejected: int, count: int, expected: bool) -> None:
    assert may_eject(ejected, count, RULE) is expected


def test_no_share_leaves_nobody() -> None:
    rule = RULE._replace(share=100.0)
    assert may_eject(8, 10, rule) and not may_eject(9, 10, rule)


@given(st.integers(0, 50), st.integers(0, 50), st.floats(0, 100))
def test_somebody_always_remains(ejected: int, count: int, share: float) -> None:
    if may_eject(ejected, count, RULE._replace(share=share)):
        assert ejected + 1 < count


def test_it_says_what_it_knows() -> None:
    assert repr(a_tally(3, 1)) == "<Tally in good=3 bad=1 times=0>"

"""Client-side throttling, against the formula of Envoy's admission control."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.admission import Admission, AdmissionRule

USUAL = AdmissionRule()


def after(good: int, bad: int, rule: AdmissionRule = USUAL) -> Admission:
    admission = Admission(rule)
    for number in range(good + bad):
        admission.ended(number < good, 0.0)
    return admission


@pytest.mark.parametrize(
    ("good", "bad", "rule", "chance"),
    [
        (0, 0, AdmissionRule(), 0.0),
        (100, 0, AdmissionRule(), 0.0),
        # A twentieth may fail.
        (95, 5, AdmissionRule(), 0.0),
        (90, 10, AdmissionRule(), (100 - 90 / 0.95) / 101),
        (50, 50, AdmissionRule(), (100 - 50 / 0.95) / 101),
        (0, 100, AdmissionRule(), 0.8),
        (0, 100, AdmissionRule(most=100.0), 100 / 101),
        (0, 1, AdmissionRule(most=100.0), 0.5),
        # The SRE book's K = 2: half of the calls may fail.
        (50, 50, AdmissionRule(percent=50.0), 0.0),
        (25, 75, AdmissionRule(percent=50.0), 50 / 101),
        (50, 50, AdmissionRule(aggression=2.0), ((100 - 50 / 0.95) / 101) ** 0.5),
        # Below three calls a second over half a minute nothing is refused.
        (0, 89, AdmissionRule(rate=3.0), 0.0),
        (0, 90, AdmissionRule(rate=3.0), 0.8),
    ],
)
def test_the_chance_of_a_refusal(good: int, bad: int, rule: AdmissionRule, chance: float) -> None:
    assert after(good, bad, rule).chance(0.0) == pytest.approx(chance)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    admission = after(0, 100)
    assert admission.chance(29.0) == 0.8
    assert admission.chance(31.5) == 0.0
    assert repr(admission) == "<Admission 0 of 0 calls went well>"


def test_what_is_sent_comes_down() -> None:
    """An upstream that does 100 a second of 400: in balance the square root of 400 * 100 / 0.95 are sent, 205."""
    admission, dice = Admission(AdmissionRule(most=100.0)), random.Random(1)
    sent = 0
    for second in range(120):
        done = 0
        for number in range(400):
            now = second + number / 400
            if dice.random() < admission.chance(now):
                continue
            admission.ended(done < 100, now)
            done += 1
            sent += second >= 60
    assert 190 * 60 < sent < 220 * 60


@given(st.lists(st.tuples(st.booleans(), st.floats(0.0, 5.0)), max_size=200))
def test_against_a_model_that_remembers_everything(calls: list[tuple[bool, float]]) -> None:
    rule = AdmissionRule(window=30.0, most=100.0)
    admission, now, seen = Admission(rule), 0.0, []
    for good, passed in calls:
        now += passed
        admission.ended(good, now)
        seen.append((now, good))
        # Parts of a second: what is well inside the window counts, what is well outside does not.
        assert sum(at > now - 28.9 for at, _ in seen) <= admission.calls <= sum(at > now - 31.1 for at, _ in seen)
        assert 0.0 <= admission.chance(now) <= 1.0
        assert admission.good <= admission.calls

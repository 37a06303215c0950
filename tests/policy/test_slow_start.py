"""How the share of a new endpoint grows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.slow_start import SlowStart


@pytest.mark.parametrize(
    ("aggression", "seconds", "part"),
    [
        (1.0, 0.0, 0.1),
        (1.0, 3.0, 0.1),
        (1.0, 15.0, 0.5),
        (1.0, 30.0, 1.0),
        (1.0, 99.0, 1.0),
        (1.0, -1.0, 0.1),
        # Envoy: weight * max(min_weight_percent, time_factor ^ (1 / aggression)).
        (2.0, 7.5, 0.5),
        (0.5, 15.0, 0.25),
    ],
)
def test_a_share_grows(aggression: float, seconds: float, part: float) -> None:
    assert SlowStart(30.0, aggression).part(seconds) == pytest.approx(part)


@given(st.floats(0.1, 10.0), st.floats(0.0, 40.0), st.floats(0.0, 40.0))
def test_it_never_shrinks(aggression: float, one: float, other: float) -> None:
    rule = SlowStart(30.0, aggression, 0.05)
    assert 0.05 <= rule.part(min(one, other)) <= rule.part(max(one, other)) <= 1.0

"""A percentage of calls."""

from __future__ import annotations

from random import Random

import pytest

from twisted_mesh.policy.share import share


@pytest.mark.parametrize(
    ("percent", "least", "most"), [(0, 0, 0), (0.5, 20, 90), (10, 850, 1150), (100, 10_000, 10_000)]
)
def test_so_many_of_ten_thousand(percent: float, least: int, most: int) -> None:
    belongs = share(percent, Random(1).random)
    assert least <= sum(belongs() for _ in range(10_000)) <= most

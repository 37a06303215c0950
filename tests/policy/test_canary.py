"""Which sidecars are canaries, and when they have failed."""

from __future__ import annotations

import pytest

from twisted_mesh.policy.canary import belongs, bound_for, place, too_many_errors

NODES = [f"web-{each}" for each in range(1000)]


def test_a_place_depends_on_the_id_alone() -> None:
    """These are the places of every version, so that a sidecar stays on its side when it is upgraded."""
    assert [place(each) for each in ("web-1", "web-2", "")] == [0.798935253503, 0.050973377847, 0.687131911792]
    assert all(0.0 <= place(each) < 1.0 for each in NODES)
    assert all(float(f"{place(each):.14g}") == place(each) for each in NODES)


@pytest.mark.parametrize(
    ("share", "nodes", "canaries"), [(0.1, 1000, 100), (0.1, 3, 1), (0.5, 3, 2), (0.999, 10, 10), (0.3, 10, 3)]
)
def test_the_share_is_exact_and_rounded_up(share: float, nodes: int, canaries: int) -> None:
    bound = bound_for(share, NODES[:nodes])
    assert sum(belongs(each, bound) for each in NODES[:nodes]) == canaries


def test_a_greater_share_has_those_of_a_smaller_one() -> None:
    few, more = (
        {each for each in NODES if belongs(each, bound)} for bound in (bound_for(0.1, NODES), bound_for(0.3, NODES))
    )
    assert few < more


def test_without_sidecars_the_bound_is_the_share() -> None:
    """Those who come later belong with that likelihood."""
    assert bound_for(0.2, []) == 0.2
    assert 150 < sum(belongs(each, 0.2) for each in NODES) < 250


@pytest.mark.parametrize(
    ("calls", "errors", "other_calls", "other_errors", "failed"),
    [
        (100, 6, 1000, 0, True),
        (100, 5, 1000, 0, False),
        (99, 99, 1000, 0, False),
        (100, 50, 1000, 460, False),
        (100, 50, 1000, 440, True),
        (100, 6, 0, 0, True),
        (0, 0, 0, 0, False),
    ],
)
def test_canaries_fail_by_more_errors_than_the_others(
    calls: int, errors: int, other_calls: int, other_errors: int, failed: bool
) -> None:
    assert too_many_errors(calls, errors, other_calls, other_errors, margin=0.05, least_calls=100) is failed

"""When enough sidecars have the same opinion of an endpoint."""

from __future__ import annotations

from typing import Any

from twisted_mesh.policy.agreement import Agreement, Opinion, agreements

BREAKER, OUTLIER = {"breaker": 2}, {"outlier": 2}


def says(sidecar: str, left: float = 10.0, endpoint: str = "a:1", kind: str = "breaker", **more: Any) -> Opinion:
    return Opinion(sidecar, more.get("node", f"web-{sidecar}"), endpoint, kind, "7 in a row", left, f"{sidecar} 1")


def test_one_is_not_enough_and_two_are() -> None:
    assert agreements([says("1")], BREAKER) == []
    [found] = agreements([says("1", 5.0), says("2", 9.0)], BREAKER)
    assert found == Agreement("a:1", "breaker", "learnt from web-1, web-2: 7 in a row", 5.0, frozenset(["1 1", "2 1"]))


def test_it_holds_as_long_as_enough_say_so() -> None:
    [found] = agreements([says("1", 5.0), says("2", 9.0), says("3", 7.0)], BREAKER)
    assert found.left == 7.0
    assert agreements([says("1", 5.0), says("2", 0.0)], BREAKER) == []


def test_one_sidecar_has_one_voice() -> None:
    assert agreements([says("1"), says("1", 20.0)], BREAKER) == []


def test_endpoints_and_kinds_are_apart() -> None:
    assert agreements([says("1"), says("2", endpoint="b:1")], BREAKER) == []
    assert agreements([says("1"), says("2", kind="outlier")], {"breaker": 2, "outlier": 2}) == []


def test_what_nobody_wants_to_share_is_not_looked_at() -> None:
    assert agreements([says("1"), says("2")], OUTLIER) == []
    assert len(agreements([says("1")], {"breaker": 1})) == 1


def test_of_many_three_are_named() -> None:
    [found] = agreements([says(str(each)) for each in range(9)], {"breaker": 3})
    assert found.reason == "learnt from web-0, web-1, web-2 and 6 more: 7 in a row"

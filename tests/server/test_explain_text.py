"""How explanations look as text."""

from __future__ import annotations

from typing import Any

import pytest

from twisted_mesh.server import explain_text


def candidate(address: str, **more: Any) -> dict[str, Any]:
    about = {"in": True, "rule": "", "why": "", "until": None, "score": 0.0, "active": 0, "weight": 1, "zone": ""}
    return {"address": address, **about, "conduct": None, **more}


def filter_of(name: str, **more: Any) -> dict[str, Any]:
    about = {"chain": "route", "mode": "enforce", "reached": True, "verdict": "pass", "why": ""}
    return {"name": name, **about, **more}


def found(**more: Any) -> dict[str, Any]:
    """An explanation as `Walk.run` returns it."""
    asked = {"operation": "GET", "host": "shop.example", "resource": "/cart", "query": "", "client": "10.0.0.7"}
    route = {
        "name": "api",
        "targets": [{"cluster": "web", "weight": 1}],
        "percent": 100,
        "timeout": None,
        "priority": 0,
    }
    cluster = {"name": "web", "balance": "least_request", "instead_of": "", "trouble": "", "panicking": False}
    cluster |= {"maintenance": None, "room": None, "connections": None, "zones": {}, "warming": {}}
    about = {"listener": "edge", "route": route, "above": [], "divided": [], "filters": [], "cluster": cluster}
    told = {
        "candidates": [candidate("127.0.0.1:7")],
        "choice": "127.0.0.1:7",
        "why": "by turn",
        "outcome": "goes there",
    }
    return {"call": {"protocol": "http", **asked}, **about, **told, **more}


def words(line: str) -> str:
    """A line with one space between its words."""
    return " ".join(line.split())


def test_the_decisions_stand_in_their_order() -> None:
    filters = [
        filter_of("access_log", chain="listener", why="only looks on"),
        filter_of("fault", verdict="refuse", why="failed with 503", mode="shadow"),
        filter_of("retry", reached=False),
    ]
    lines = explain_text.call(found(filters=filters)).splitlines()
    assert [each.partition(":")[0] for each in lines if not each.startswith(" ")] == [
        *("call", "listener", "filters before routing", "route", "filters of the route", "cluster", "choice", "outcome")
    ]
    assert lines[0] == "call:      GET shop.example/cart from 10.0.0.7"
    assert lines[1] == "listener:  edge (http)"
    assert "access_log pass only looks on" in map(words, lines)
    assert any(each.startswith("  fault (shadow) ") and "refuse" in each for each in lines)
    assert any(each.startswith("  retry (not reached) ") for each in lines)
    assert lines[-2:] == ["choice:    127.0.0.1:7, by turn", "outcome:   goes there"]


def test_a_call_without_a_route() -> None:
    text = explain_text.call(found(route=None, cluster=None, choice=None, why="", outcome="refused, no_route"))
    assert text.splitlines()[2:] == ["route:     none", "outcome:   refused, no_route"]


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({}, "api, to web"),
        ({"targets": []}, "api, to no cluster"),
        ({"timeout": 7.0, "priority": 1}, "api, to web, timeout 7 s, priority high"),
        ({"percent": 0.5, "priority": -1}, "api, to web, for 0.5 % of the calls that match, priority low"),
        (
            {"targets": [{"cluster": "web", "weight": 2}, {"cluster": "new", "weight": 1}]},
            "api, to web 66.7 %, new 33.3 %",
        ),
    ],
)
def test_a_route(more: Any, line: str) -> None:
    assert f"route:     {line}\n" in explain_text.call(found(route={**found()["route"], **more}))


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({}, "web, least_request"),
        ({"instead_of": "home"}, "web, least_request, as home has no healthy endpoint"),
        ({"panicking": True}, "web, least_request, panicking: too few are healthy, so all are used"),
        ({"maintenance": {"percent": 30}}, "web, least_request, 30 % of the calls are turned away for maintenance"),
        ({"maintenance": {"percent": 100}}, "web, least_request"),
        ({"room": {"calls": 2, "limits": {"calls": 5}, "waiting": 1}}, "web, least_request, 2 of 5 calls, 1 waiting"),
        ({"connections": {"open": 1, "limit": 4}}, "web, least_request, 1 of 4 connections"),
        ({"connections": {"open": 1, "limit": None}}, "web, least_request"),
        ({"trouble": "no name was found"}, "web, least_request, no name was found"),
    ],
)
def test_a_cluster(more: Any, line: str) -> None:
    assert f"cluster:   {line}\n" in explain_text.call(found(cluster={**found()["cluster"], **more}))


def test_routes_further_up_are_named() -> None:
    text = explain_text.call(found(above=[{"name": "few", "percent": 1e-6}]))
    assert "  few, further up, takes 1e-06 % of such calls\n" in text


def test_the_parts_of_a_command_are_told() -> None:
    parts = [{"keys": ["a:1", "a:2"], "route": "api"}, {"keys": ["x"], "route": None}]
    text = explain_text.call(found(divided=parts))
    assert (
        "route:     api, to web\n  parts, the first of which is followed here:\n    a:1, a:2 by api\n    x by no route\n"
        in text
    )


def test_no_choice_is_said() -> None:
    text = explain_text.call(found(choice=None, why="none is left"))
    assert "choice:    none, none is left\n" in text


def test_a_line_for_each_endpoint() -> None:
    breaker = {"breaker": {"state": "open"}}
    out = candidate(
        "127.0.0.1:8", rule="breaker", why="5 failures", until=86400.0, conduct=breaker, zone="a", score=None
    )
    out["in"] = False
    rows = [{"cluster": "web", **candidate("127.0.0.1:7")}, {"cluster": "web", **out}]
    head, first, second = explain_text.endpoint({"endpoints": rows}).splitlines()
    assert words(head) == "CLUSTER ADDRESS IN SCORE ACTIVE WEIGHT ZONE BREAKER RULE UNTIL WHY"
    assert words(first) == "web 127.0.0.1:7 yes 0.0 0 1 - - - - -"
    assert words(second) == "web 127.0.0.1:8 no - 0 1 a open breaker 1970-01-02T00:00:00Z 5 failures"
    assert explain_text.endpoint({"endpoints": []}) == "no endpoints\n"

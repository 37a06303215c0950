"""What would become of a call: every decision in its order, and nothing done."""

from __future__ import annotations

from typing import Any, Iterator

import pytest

from tests.control.explaining import ONE, TWO, configure, counted, live_world, walked
from twisted_mesh.call import Call, Reply
from twisted_mesh.control.walk import candidates, explanation, standing
from twisted_mesh.control.world import World
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.filters.timeout import timeout
from twisted_mesh.interfaces import Explanation, Proceed
from twisted_mesh.shadow import Sampled, Shadow
from twisted_mesh.testing import Env, http_call


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with live_world(monkeypatch) as made:
        yield made


API: dict[str, Any] = {
    "name": "api",
    "match": {"path": {"prefix": "/api"}, "header": {"x-team": "blue"}},
    "filters": [
        {"fault": {"abort": {"status": 503}, "mode": "shadow"}},
        {"headers": {"request": {"set": {"x-seen": "yes"}}}},
    ],
    "rewrite": {"prefix": "/v2"},
    "timeout": "7s",
    "priority": "high",
    "to": "web",
}
BLUE = ["x-team: blue"]


def test_every_decision_is_shown_and_nothing_is_counted(world: World) -> None:
    configure(world, [API])
    before = counted(world)
    for _ in range(3):
        found = walked(world, "GET", "/api/x?y=1", headers=[*BLUE, "host: shop.example"], source="10.0.0.7")
    assert counted(world) == before
    asked = {key: found["call"][key] for key in ("protocol", "operation", "host", "resource", "query", "client")}
    assert list(asked.values()) == ["http", "GET", "shop.example", "/api/x", "y=1", "10.0.0.7"]
    # As the call comes, not as filters make it.
    assert not any(each.startswith("x-seen") for each in found["call"]["headers"])
    assert (found["listener"], found["route"]["name"], found["route"]["timeout"]) == ("edge", "api", 7.0)
    assert (found["route"]["priority"], found["above"]) == (1, [])
    assert [(each["name"], each["mode"], each["verdict"]) for each in found["filters"] if each["chain"] == "route"] == [
        ("rewrite", "enforce", "change"),
        ("fault", "shadow", "refuse"),
        ("headers", "enforce", "change"),
        ("retry", "enforce", "pass"),
    ]
    assert all(each["reached"] for each in found["filters"])
    assert [(each["address"], each["in"], each["rule"]) for each in found["candidates"]] == [
        (ONE, True, ""),
        (TWO, True, ""),
    ]
    assert found["choice"] in (ONE, TWO)
    assert found["outcome"] == f"goes to {found['choice']}, {found['why']}"
    assert [each.active for each in world.clusters["web"].endpoints] == [0, 0]


def test_a_call_for_which_there_is_no_route(world: World) -> None:
    configure(world, [API])
    found = walked(world, "GET", "/api/x")
    assert (found["route"], found["cluster"], found["choice"]) == (None, None, None)
    assert found["outcome"].startswith("refused, no_route")


def test_what_refuses_ends_it_and_what_stands_behind_is_not_reached(world: World) -> None:
    limit = {"ratelimit": {"rate": "1/h"}}
    configure(world, [{"name": "api", "to": "web", "filters": [{"headers": {}}, {"fault": {"abort": {}}}, limit]}])
    found = walked(world, "GET", "/")
    assert found["outcome"] == "refused by fault: failed with 503 (100 %)"
    reached = [(each["name"], each["reached"]) for each in found["filters"] if each["chain"] == "route"]
    assert reached == [("headers", True), ("fault", True), ("ratelimit", False), ("retry", False)]


@pytest.mark.parametrize(
    ("route", "outcome"),
    [
        ({"reply": {"status": 418}}, "answered by the route: 418"),
        ({"redirect": {"host": "new.example"}}, "redirected by the route: 302 //new.example/a?b=c"),
        ({"to": "web", "body_limit": "1KiB", "timeout": "1s"}, "goes to "),
    ],
)
def test_what_stands_in_the_middle_of_the_chain(world: World, route: Any, outcome: str) -> None:
    configure(world, [route])
    assert walked(world, "GET", "/a?b=c")["outcome"].startswith(outcome)


def test_routes_further_up_may_take_other_calls_by_their_dice(world: World) -> None:
    match = {"path": {"prefix": "/some"}}
    few = {"name": "few", "match": {**match, "percent": 1e-6}, "reply": {}}
    other = {"name": "other", "match": {**match, "method": "PUT", "percent": 50}, "reply": {}}
    below = {"name": "below", "match": {**match, "percent": 1e-6}, "reply": {}}
    configure(world, [few, other, {"name": "most", "match": match, "to": "web"}, below])
    found = walked(world, "GET", "/some")
    assert (found["route"]["name"], found["above"]) == ("most", [{"name": "few", "percent": 1e-6}])


def test_a_body_over_the_limit_is_refused(world: World) -> None:
    configure(world, [{"to": "web", "body_limit": "10B"}])
    assert walked(world, "POST", "/", headers=["content-length: 10"])["outcome"].startswith("goes to")
    assert walked(world, "POST", "/", headers=["content-length: 11"])["outcome"].startswith("refused, too_large")


def test_the_turn_that_is_shown_is_the_next_one(world: World) -> None:
    configure(world, clusters={"web": {"endpoints": [ONE, TWO], "balance": "round_robin"}})
    assert len({walked(world, "GET", "/")["choice"] for _ in range(4)}) == 1


def test_a_reserve_is_said_to_stand_in(world: World) -> None:
    check = {"tcp": True, "interval": "1h"}
    home = {"endpoints": [ONE], "health_check": check, "panic_threshold": 0}
    configure(world, [{"to": "home", "failover": "web"}], clusters={"home": home})
    [endpoint] = world.clusters["home"].endpoints
    endpoint.checked, endpoint.healthy = True, False
    world.clusters["home"].refresh()
    cluster = walked(world, "GET", "/")["cluster"]
    assert (cluster["name"], cluster["instead_of"]) == ("web", "home")
    [about] = candidates(world.clusters["home"])
    assert (about["in"], about["rule"]) == (False, "health check")


def test_commands_and_connections_are_walked_too(world: World) -> None:
    cache = {
        "protocol": "redis",
        "bind": "127.0.0.1:6379",
        "routes": [
            {"name": "users", "match": {"key": {"prefix": "user:"}}, "to": "shards"},
            {"name": "rest", "filters": [{"fault": {"abort": {}, "method": ["SET"]}}], "to": "web"},
        ],
    }
    raw = {"protocol": "tcp", "bind": "127.0.0.1:5432", "routes": [{"name": "all", "to": "web"}]}
    shards = {"endpoints": [ONE, TWO], "redis": {"topology": "sharded"}}
    configure(world, listeners={"cache": cache, "raw": raw}, clusters={"shards": shards})
    user = walked(world, "GET", "user:1")
    assert user["route"]["name"] == "users"
    assert "the key belongs to" in user["why"]
    assert {walked(world, "GET", f"user:{each * 7919}")["choice"] for each in range(40)} == {ONE, TWO}
    assert walked(world, "SET", "other", words=["1"])["outcome"].startswith("refused by fault")
    assert walked(world, "GET", "other")["choice"] in (ONE, TWO)
    both = walked(world, "MGET", "user:1", words=["other", "user:2"])
    assert both["divided"] == [
        {"keys": ["user:1", "user:2"], "route": "users"},
        {"keys": ["other"], "route": "rest"},
    ]
    assert (both["route"]["name"], user["divided"]) == ("users", [])
    assert walked(world, "RENAME", "user:1", words=["other"])["outcome"].startswith("refused with CROSSSLOT")
    connection = walked(world, "CONNECT", "tcp://127.0.0.1:5432")
    assert (connection["listener"], connection["route"]["name"]) == ("raw", "all")


# --- single filters


class Telling:
    """A filter that explains itself, or breaks off."""

    def __init__(self, told: Explanation) -> None:
        self.told = told

    async def __call__(self, call: Call, proceed: Proceed) -> Reply:
        return await proceed(call)

    def explain(self, call: Call) -> Explanation:
        call.headers.set("x-touched", "yes")
        if self.told.verdict == "raise":
            raise MeshError(Kind.DENIED, self.told.why)
        return self.told


async def _silent(call: Call, proceed: Proceed) -> Reply:
    return await proceed(call)


REFUSES = Telling(Explanation("refuse", "not you"))


@pytest.mark.parametrize(
    ("filter", "told"),
    [
        (_silent, ("unknown", "it does not say")),
        (REFUSES, ("refuse", "not you")),
        (Telling(Explanation("raise", "no entry")), ("refuse", "refused, denied: no entry")),
        (Shadow(REFUSES, "it", 100.0, Env()), ("refuse", "not you")),
        (Shadow(REFUSES, "it", 5.0, Env()), ("maybe", "tried on 5 % of the calls: refuse not you")),
        (Sampled(REFUSES, 50.0, Env()), ("maybe", "in force for 50 % of the calls: refuse not you")),
        (Sampled(Telling(Explanation("pass", "")), 50.0, Env()), ("pass", "in force for 50 % of the calls: pass")),
    ],
)
def test_what_a_filter_says_of_itself(filter: Any, told: Any) -> None:
    assert explanation(filter, http_call()) == told


def test_what_is_tried_on_a_copy_leaves_the_call_as_it_is() -> None:
    call = http_call()
    explanation(Shadow(REFUSES, "it", 100.0, Env()), call)
    assert call.headers.get("x-touched") is None


def test_the_time_that_a_call_has() -> None:
    call = http_call()
    assert explanation(timeout, call) == ("pass", "")
    call.timeout = 7.0
    assert explanation(timeout, call) == ("pass", "the reply has to begin within 7 s")


# --- endpoints


def test_why_an_endpoint_is_out_and_until_when(world: World) -> None:
    breaker = {"failures": 1, "least": "1m", "most": "1m"}
    configure(world, clusters={"web": {"endpoints": [ONE, TWO], "breaker": breaker}})
    cluster = world.clusters["web"]
    cluster.start()
    [bad, good] = cluster.endpoints
    assert bad.conduct is not None
    bad.conduct.ended(http_call(), 500, None, 0.1)
    out, well = candidates(cluster)
    assert (out["address"], out["in"], out["rule"]) == (bad.address, False, "breaker")
    assert out["until"] > 0 and "breaker open for" in out["why"]
    assert (well["address"], well["in"], well["rule"], well["until"]) == (good.address, True, "", None)
    assert walked(world, "GET", "/")["choice"] == good.address


def test_who_has_given_an_endpoint_its_weight_and_until_when(world: World) -> None:
    configure(world)
    cluster = world.clusters["web"]
    about = cluster.endpoints[0].describe()
    given = {"kind": "weight", "weight": 3, "author": "ann", "reason": "a new disk", "until": 9.0, "remembered": False}
    found = standing(cluster, {**about, "override": given}, rests=False, trial=False)
    assert found == ("override", "weight 3 by ann: a new disk", 9.0)
    nobody = {**given, "author": "", "reason": ""}
    found = standing(cluster, {**about, "override": nobody}, rests=False, trial=False)
    assert found == ("override", "weight 3 by nobody", 9.0)


@pytest.mark.parametrize(
    ("override", "rule"),
    [
        (None, ("registry", "drain by ann", None)),
        ({"until": 9.0, "remembered": False}, ("override", "drain by ann", 9.0)),
        ({"until": 9.0, "remembered": True}, ("override", "drain by ann (remembered from disk)", 9.0)),
    ],
)
def test_what_an_operator_keeps_out(world: World, override: Any, rule: Any) -> None:
    configure(world)
    cluster = world.clusters["web"]
    about = {**cluster.endpoints[0].describe(), "out": "drain by ann", "override": override}
    assert standing(cluster, about, rests=False, trial=False) == rule


def test_an_endpoint_that_could_not_be_connected_to_rests(world: World) -> None:
    configure(world)
    cluster = world.clusters["web"]
    cluster.picks.rest(cluster.endpoints[0])
    first, second = candidates(cluster)
    assert (first["in"], first["rule"]) == (True, "resting")
    assert (second["in"], second["rule"]) == (True, "")


@pytest.mark.parametrize(("threshold", "rule"), [(0, "health check"), (100, "panic")])
def test_one_that_is_unhealthy(world: World, threshold: int, rule: str) -> None:
    web = {"endpoints": [ONE, TWO], "health_check": {"tcp": True, "interval": "1h"}, "panic_threshold": threshold}
    configure(world, clusters={"web": web})
    cluster = world.clusters["web"]
    for each in cluster.endpoints:
        each.checked, each.healthy = True, False
    cluster.refresh()
    assert {each["rule"] for each in candidates(cluster)} == {rule}
    assert {each["in"] for each in candidates(cluster)} == {rule == "panic"}
    outcome = walked(world, "GET", "/")["outcome"]
    assert outcome.startswith("goes to" if rule == "panic" else "refused, no_endpoint")

"""Finding the route of a call, and what it makes of the call."""

from __future__ import annotations

from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from tests.filters.drive import Run, a_call
from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.filters.route import FEW, Failover, Route, Table, Target, forward
from twisted_mesh.headers import Headers
from twisted_mesh.model.hashing import HashKey
from twisted_mesh.policy.match import Conditions, compile_match
from twisted_mesh.upstream.hash_key import hashed


def to(status: int) -> Any:
    async def proceed(call: Call) -> Reply:
        return Reply(status)

    return proceed


def a_cluster(name: str = "api") -> Any:
    return SimpleNamespace(name=name, forward=to(200))


def test_the_first_route_that_matches_takes_the_call() -> None:
    table = Table(
        [
            Route("other", to(1), matches=compile_match(Conditions(["other.example"]))),
            Route("api", to(2), matches=compile_match(Conditions(prefix="/api"))),
            Route("rest", to(3)),
        ]
    )
    call = a_call()
    assert Run(table.proceed, call).reply.status == 2
    assert call.route is table.routes[1]
    call = a_call()
    call.resource = "/other"
    assert Run(table.proceed, call).reply.status == 3
    assert repr(table) == "<Table of 3 routes>"


def test_a_long_table_finds_what_a_short_one_does() -> None:
    routes = []
    for at in range(FEW * 3):
        conditions = Conditions(prefix=f"/p{at}")
        routes.append(Route(f"r{at}", to(at), matches=compile_match(conditions), conditions=conditions))
    # What a route does not say of its conditions costs time only.
    routes.append(Route("post", to(90), matches=compile_match(Conditions(methods=["POST"]))))
    routes.append(Route("p1", to(91), matches=compile_match(Conditions(prefix="/p1"))))
    routes.append(Route("rest", to(92)))
    table = Table(routes)
    for path, method, status in (("/p1/x", "GET", 1), ("/p23", "POST", 23), ("/", "POST", 90), ("/", "GET", 92)):
        call = a_call(method)
        call.resource = path
        assert Run(table.proceed, call).reply.status == status
    assert Run(Table(routes[:-1]).proceed, a_call()).error.kind is Kind.NO_ROUTE


def test_no_route_is_an_error() -> None:
    table = Table([Route("other", to(1), matches=compile_match(Conditions(["other.example"])))])
    error = Run(table.proceed, a_call()).error
    assert error.kind is Kind.NO_ROUTE
    assert error.detail == "no route for GET shop.example/api/x"


def test_a_tcp_call_takes_a_route_without_conditions() -> None:
    cluster = a_cluster("db")
    table = Table([Route("db", to(0), targets=[Target(cluster)], matches=compile_match(Conditions()))])
    call = Call("tcp", "db", "CONNECT", Headers())
    Run(table.proceed, call)
    assert call.cluster is cluster


def test_the_limits_of_the_route_are_those_of_the_call() -> None:
    route = Route("r", to(200), timeout=2.0, idle_timeout=3.0, max_duration=4.0, body_limit=5, upgrades=False)
    call = a_call()
    Run(Table([route]).proceed, call)
    assert (call.timeout, call.idle_timeout, call.max_duration, call.body_limit, call.upgrades) == (2, 3, 4, 5, False)


def test_a_route_may_leave_deadlines_alone() -> None:
    call = a_call(x_mesh_timeout="1s")
    call.deadline, call.plain = 11.0, False
    Run(Table([Route("r", to(200), timeout=2.0, deadline="off")]).proceed, call)
    assert (call.deadline, call.plain, call.headers.get("x-mesh-timeout")) == (None, True, "1s")


@pytest.mark.parametrize(("given", "timeout", "told"), [(None, 2.0, "2000ms"), (11.0, 2.0, "1s"), (None, None, "1s")])
def test_a_route_may_say_its_timeout_where_the_caller_says_none(given: Any, timeout: Any, told: str) -> None:
    call = a_call() if given is None and timeout is not None else a_call(x_mesh_timeout="1s")
    call.deadline, call.plain = given, given is None
    Run(Table([Route("r", to(200), timeout=timeout, deadline="always")]).proceed, call)
    assert call.headers.get("x-mesh-timeout") == told
    assert call.plain is (timeout is None)


def test_a_route_that_forbids_upgrades_refuses_those_who_ask_for_one() -> None:
    call = a_call()
    call.upgrade = "websocket"
    run = Run(Table([Route("r", to(200), upgrades=False)]).proceed, call)
    assert isinstance(run.error, MeshError)
    assert run.error.kind is Kind.UPGRADE_REFUSED


def test_what_the_route_does_not_say_stays() -> None:
    call = a_call()
    call.idle_timeout = 7.0
    call.body_limit = 9
    Run(Table([Route("r", to(200), timeout=1.0, upgrades=False)]).proceed, call)
    assert (call.timeout, call.idle_timeout, call.body_limit, call.upgrades) == (1.0, 7.0, 9, False)
    call = a_call()
    Run(Table([Route("r", to(200))]).proceed, call)
    assert (call.timeout, call.upgrades) == (None, True)


def test_targets_share_the_calls_by_weight() -> None:
    route = Route("r", to(200), targets=[Target(a_cluster("a"), 90), Target(a_cluster("b"), 10)], dice=Random(1).random)
    table = Table([route])
    counted: Counter[str] = Counter()
    for _ in range(2000):
        call = a_call()
        Run(table.proceed, call)
        assert call.cluster is not None
        counted[call.cluster.name] += 1
    assert 1730 < counted["a"] < 1870
    assert repr(route) == "<Route r to a:90, b:10>"


def test_calls_that_are_alike_go_to_the_same_target() -> None:
    targets = [Target(a_cluster("a"), 80), Target(a_cluster("b"), 20)]
    sticky = hashed([HashKey(header="x-user")])
    table = Table([Route("r", to(200), targets=targets, dice=Random(1).random, sticky=sticky)])

    def cluster(**headers: str) -> str:
        call = a_call(**headers)
        Run(table.proceed, call)
        assert call.cluster is not None
        return call.cluster.name

    first = [cluster(x_user=str(user)) for user in range(1000)]
    assert [cluster(x_user=str(user)) for user in range(1000)] == first
    assert 150 < first.count("b") < 250
    # Who has no such header is sent by the dice.
    assert {cluster() for _ in range(100)} == {"a", "b"}


def test_the_keys_of_one_target_are_spread_over_all_hashes() -> None:
    """A cluster that picks endpoints by the same key would see the keys of a few of them otherwise."""
    targets = [Target(a_cluster("a"), 9), Target(a_cluster("b"), 1)]
    sticky = hashed([HashKey(header="x-user")])
    route = Route("r", to(200), targets=targets, dice=Random(1).random, sticky=sticky)
    quarters: Counter[int] = Counter()
    for user in range(4000):
        call = a_call(x_user=str(user))
        Run(Table([route]).proceed, call)
        assert call.cluster is not None
        if call.cluster.name == "b":
            key = sticky(call)
            assert key is not None
            quarters[key >> 62] += 1
    assert min(quarters[each] for each in range(4)) > 60


def test_calls_go_elsewhere_while_a_cluster_is_not_ready() -> None:
    main, near, far = (SimpleNamespace(name=name, ready=True) for name in ("main", "near", "far"))
    moved: list[str] = []
    failover = Failover([near, far], lambda cluster: moved.append(cluster.name))  # type: ignore[list-item]
    table = Table([Route("r", to(200), targets=[Target(main)], failover=failover)])  # type: ignore[arg-type]

    def cluster(**ready: bool) -> str:
        for each in (main, near, far):
            each.ready = ready.get(each.name, True)
        call = a_call()
        Run(table.proceed, call)
        assert call.cluster is not None
        return call.cluster.name

    assert cluster() == "main"
    assert moved == []
    assert cluster(main=False) == "near"
    assert cluster(main=False, near=False) == "far"
    assert cluster(main=False, near=False, far=False) == "main"
    assert moved == ["main", "main"]


def test_a_target_sets_its_headers() -> None:
    target = Target(a_cluster(), 1, Headers.of([("X-Version", "v2"), ("x-new", "1")]))
    call = a_call(x_version="v1", x_other="o")
    Run(Table([Route("r", to(200), targets=[target])]).proceed, call)
    assert list(call.headers.items()) == [("x-other", "o"), ("x-version", "v2"), ("x-new", "1")]


def test_several_targets_need_dice() -> None:
    with pytest.raises(ValueError, match="dice"):
        Route("r", to(200), targets=[Target(a_cluster("a")), Target(a_cluster("b"))])


def test_a_route_without_targets_sends_to_nobody() -> None:
    assert repr(Route("r", to(200))) == "<Route r to nobody>"


def test_forward_goes_to_the_chosen_cluster() -> None:
    call = a_call()
    call.cluster = a_cluster()
    assert Run(forward, call).reply.status == 200
    with pytest.raises(MeshError) as raised:
        forward(a_call())
    assert raised.value.kind is Kind.NO_CLUSTER

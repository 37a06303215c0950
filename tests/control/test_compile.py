"""From the frozen configuration to live chains."""

from __future__ import annotations

from typing import Any, Awaitable, Generator, Optional, Sequence

import pytest
from twisted.internet.task import Clock

from tests.control.test_env import make_env
from twisted_mesh import model
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver
from twisted_mesh.chain import compose as real_compose
from twisted_mesh.control import compile as module
from twisted_mesh.control.compile import Chain, Chains
from twisted_mesh.control.found import find_filter
from twisted_mesh.errors import ConfigError, Kind, MeshError, Problem
from twisted_mesh.families import Families
from twisted_mesh.headers import Headers
from twisted_mesh.interfaces import Env, Filter, Proceed
from twisted_mesh.testing import http_call

trace: list[str] = []
retired: list[str] = []


class Mark:
    """A filter that says when it is passed."""

    def __init__(self, name: str, settings: Any, env: Env) -> None:
        self.name = name
        self.settings = settings
        self.env = env

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        trace.append(self.name)
        return proceed(call)

    def retire(self) -> None:
        retired.append(self.name)
        if self.name == "m5":
            raise ValueError("a bug")


class Plugin:
    """Finds a `Mark` under any name; ``broken`` and ``nothing`` cannot be built, ``alone`` misses something; one is built in."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.after_routing = name == "inside"

    def settings(self, **settings: Any) -> Any:
        return settings

    def build(self, settings: Any, env: Env) -> Filter:
        if self.name == "broken":
            raise ValueError("no licence")
        if self.name == "nothing":
            return None  # type: ignore[return-value]  # as users may
        if self.name == "alone":
            raise ConfigError([Problem("", 0, 0, "", "it needs Redis")])
        return Mark(self.name, settings, env)


def find(name: str) -> Any:
    return find_filter(name) if name == "metrics" else Plugin(name)


class FakeCluster:
    """Answers 200 with its name, or fails as often as it is told to."""

    def __init__(self, name: str, failures: int = 0) -> None:
        self.name = name
        self.failures = failures
        self.calls = 0
        self.ready = True
        self.forwards = {"http": self._proceed, "tcp": self._proceed}

    def forward(self, call: Call) -> Awaitable[Reply]:
        return self._proceed(call)

    async def _proceed(self, call: Call) -> Reply:
        trace.append(f"cluster {self.name}")
        self.calls += 1
        if self.calls <= self.failures:
            raise MeshError(Kind.CONNECT_FAILED, retryable=True)
        return Reply(200, Headers.of([("x-cluster", self.name)]))


CLUSTERS = {"api": {"endpoints": ["127.0.0.1:1"]}, "web": {"endpoints": ["127.0.0.1:2"]}}


class World:
    """One clock, two clusters, and the chains of as many configurations as are compiled."""

    def __init__(self) -> None:
        trace.clear()
        retired.clear()
        self.clock = Clock()
        self.env = make_env(self.clock)
        self.clusters = {"api": FakeCluster("api"), "web": FakeCluster("web")}
        self.chains: Optional[Chains] = None

    def compile(self, routes: Any, filters: Any = (), log: Any = "off", tables: Any = None) -> Chain:
        listener = {"bind": "127.0.0.1:8080", "filters": filters, "routes": routes}
        config = model.Config.model_validate(
            {"listeners": {"edge": listener}, "clusters": CLUSTERS, "access_log": log, "routes": tables or {}}
        )
        self.chains = Chains(self.clusters, self.env, find=find, before=self.chains)  # type: ignore[arg-type]
        chain = finished(self.chains.listener("edge", config))
        self.chains.settled()
        return chain


def finished(steps: Generator[None, None, Chain]) -> Chain:
    """Take every step, and return what the last one does."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            chain: Chain = stop.value
            return chain


def run(chain: Chain, call: Optional[Call] = None) -> Any:
    ended: list[Any] = []
    call = call or Call("http", "edge", "GET", Headers())
    Driver(call, lambda call, reply, error: ended.append(error or reply)).start(chain.proceed)
    return ended[0] if ended else None


composed: dict[int, tuple[Any, list[Any]]] = {}


@pytest.fixture(autouse=True)
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every chain that is composed remembered with its filters."""

    def compose(filters: Sequence[Filter], innermost: Proceed) -> Proceed:
        proceed = real_compose(filters, innermost)
        composed[id(proceed)] = (proceed, list(filters))
        return proceed

    monkeypatch.setattr(module, "compose", compose)


def filters_of(proceed: Any) -> list[Any]:
    """The filters of a composed chain, outermost first."""
    return composed[id(proceed)][1]


def names_of(chain: Chain) -> list[str]:
    return [type(each).__name__ for each in filters_of(chain.proceed)]


def test_the_order_of_a_chain() -> None:
    chain = World().compile([{"to": "api", "filters": ["m3"]}], ["m1", "m2"], log={"path": "/tmp/x.log"})
    assert run(chain).status == 200
    assert trace == ["access_log", "m1", "m2", "m3", "cluster api"]
    assert names_of(chain) == ["Mark", "Metrics", "Mark", "Mark"]


def test_a_filter_that_needs_the_route_runs_inside() -> None:
    world, call = World(), Call("http", "edge", "GET", Headers())
    chain = world.compile([{"to": "api", "filters": ["m3"], "priority": "high"}], ["inside", "m1"])
    assert run(chain, call).status == 200
    assert trace == ["m1", "inside", "m3", "cluster api"]
    assert (call.route.name, call.priority) == ("edge[0]", 1)  # type: ignore[union-attr]


def test_filters_of_few_calls_are_timed() -> None:
    class Adapter:
        chain: Proceed

    world, adapter = World(), Adapter()
    chain = world.compile([{"to": "api", "filters": ["m3"]}], ["inside", "m1"])
    adapter.chain = chain.proceed
    chain.watch(adapter)
    for _ in range(3):
        assert run(Chain(adapter.chain, ())).status == 200
    assert trace == ["m1", "inside", "m3", "cluster api"] * 3
    times = world.env.metrics.family("twisted_mesh_filter_duration_seconds")
    assert times is not None
    counts = {labels[0]: cell.count for labels, cell in times.series()}  # type: ignore[union-attr]
    # One call for the listener, and the next one for its route.
    assert counts == {"metrics": 0, "m1": 1, "inside": 1, "m3": 1, "retry": 1}


def test_the_observers_are_the_log_and_the_metrics() -> None:
    world = World()
    assert [type(each).__name__ for each in world.compile([{"to": "api"}]).observers] == ["Metrics"]
    observers = world.compile([{"to": "api"}], ["m1"], log={"path": "-", "format": "text"}).observers
    assert [type(each).__name__ for each in observers] == ["Mark", "Metrics"]
    assert observers[0].settings == {"path": "-", "format": "text", "slow": None}  # type: ignore[attr-defined]


def test_filters_know_where_they_are() -> None:
    chain = World().compile([{"name": "one", "to": "api", "filters": ["m2"]}], ["m1"])
    call = Call("http", "edge", "GET", Headers())
    run(chain, call)
    assert filters_of(chain.proceed)[1].env.name == "listeners/edge/m1"
    [inner, *_] = filters_of(call.route.proceed)  # type: ignore[union-attr]
    assert inner.env.name == "listeners/edge/routes/one/m2"


def test_a_filter_that_is_off_is_not_there() -> None:
    run(World().compile([{"to": "api"}], [{"m1": {"mode": "off"}}, "m2"]))
    assert trace == ["m2", "cluster api"]


def test_a_shadowed_filter_and_one_for_a_share_of_the_calls_are_wrapped() -> None:
    chain = World().compile([{"to": "api"}], [{"m1": {"mode": "shadow"}}, {"m2": {"percent": 50}}])
    assert names_of(chain) == ["Metrics", "Shadow", "Sampled"]


def test_a_filter_that_cannot_be_built_is_a_problem_with_a_place() -> None:
    with pytest.raises(ConfigError) as raised:
        World().compile([{"to": "api", "filters": ["m1", "broken"]}])
    assert str(raised.value) == "listeners.edge.routes[0].filters[1]: filter broken could not be built: no licence"


def test_what_is_built_must_be_a_filter() -> None:
    with pytest.raises(ConfigError) as raised:
        World().compile([{"to": "api", "filters": ["nothing"]}])
    assert str(raised.value) == (
        "listeners.edge.routes[0].filters[0]: filter nothing could not be built: build returned None, and not a filter"
    )


def test_what_a_filter_says_of_its_surroundings_gets_a_place() -> None:
    with pytest.raises(ConfigError) as raised:
        World().compile([{"to": "api", "filters": ["m1", "alone"]}])
    assert str(raised.value) == "listeners.edge.routes[0].filters[1]: alone: it needs Redis"


def test_routes_are_named_by_their_table_and_place() -> None:
    world = World()
    call = Call("http", "edge", "GET", Headers())
    run(world.compile([{"to": "api"}]), call)
    assert call.route.name == "edge[0]"  # type: ignore[union-attr]
    call = Call("http", "edge", "GET", Headers())
    run(world.compile("shop", tables={"shop": [{"match": {"path": "/no"}, "to": "web"}, {"to": "api"}]}), call)
    assert call.route.name == "shop[1]"  # type: ignore[union-attr]
    assert call.cluster is world.clusters["api"]


def test_the_limits_of_a_route_reach_the_call() -> None:
    route = {
        "to": "api",
        "timeout": "2s",
        "idle_timeout": "3s",
        "max_duration": "4s",
        "body_limit": "1KiB",
        "upgrade": False,
    }
    call = Call("http", "edge", "GET", Headers())
    run(World().compile([route]), call)
    assert (call.timeout, call.idle_timeout, call.max_duration) == (2.0, 3.0, 4.0)
    assert (call.body_limit, call.upgrades) == (1024, False)


@pytest.mark.parametrize(
    ("match", "matches"),
    [
        ({}, True),
        ({"host": "shop.example"}, True),
        ({"host": "other.example"}, False),
        ({"path": {"prefix": "/api"}}, True),
        ({"path": "/api"}, False),
        ({"method": "GET"}, True),
        ({"method": ["POST", "PUT"]}, False),
        ({"header": {"x-a": "1"}}, True),
        ({"header": {"x-a": "2"}}, False),
    ],
)
def test_what_a_route_matches(match: Any, matches: bool) -> None:
    call = Call("http", "edge", "GET", Headers.of([("x-a", "1")]))
    call.host, call.resource = "shop.example", "/api/items"
    outcome = run(World().compile([{"match": match, "to": "api"}]), call)
    if matches:
        assert outcome.status == 200
    else:
        assert outcome.kind is Kind.NO_ROUTE


def test_calls_are_split_by_weight_and_get_the_headers_of_their_target() -> None:
    world = World()
    target = {"cluster": "web", "weight": 1, "headers": {"set": {"x-version": "2"}}}
    chain = world.compile([{"to": [{"cluster": "api", "weight": 3}, target]}])
    seen: dict[str, int] = {}
    for _ in range(1000):
        call = Call("http", "edge", "GET", Headers())
        name = run(chain, call).headers.get("x-cluster")
        seen[name] = seen.get(name, 0) + 1
        assert call.headers.get("x-version") == ("2" if name == "web" else None)
    assert 200 < seen["web"] < 300


def test_a_route_may_ask_for_another_path_and_host() -> None:
    world = World()
    route = {
        "match": {"path": {"template": "/users/{id}/**"}},
        "to": "api",
        "rewrite": {"path": "/u/{id}", "host": "users.example"},
        "filters": ["m1"],
    }
    call = http_call("GET", "/users/7/x?a=1")
    run(world.compile([route]), call)
    assert (call.target, call.resource, call.headers.get("host")) == (b"/u/7?a=1", "/users/7/x", "users.example")
    call = http_call("GET", "/users/7")
    run(world.compile([{"match": {"path": {"prefix": "/users"}}, "to": "api", "rewrite": {"prefix": "/"}}]), call)
    assert call.target == b"/7"


def test_a_route_for_another_listener_is_not_in_the_table() -> None:
    world = World()
    tables = {"shop": [{"to": "api", "match": {"listener": "side"}}, {"to": "web", "match": {"listener": "edge"}}]}
    assert run(world.compile("shop", tables=tables)).headers.get("x-cluster") == "web"


def test_a_route_may_do_without_a_filter_of_its_listener() -> None:
    world = World()
    routes = [
        {"match": {"path": "/a"}, "to": "api", "filters": [{"m1": {"mode": "off"}}, "m3"]},
        {"match": {"path": "/b"}, "to": "api", "filters": [{"m1": {"mode": "off"}}, {"m1": {"other": 1}}]},
        {"to": "api", "filters": [{"m9": {"mode": "off"}}]},
    ]
    chain = world.compile(routes, ["m1", "m2", "inside"])
    for path, passed in (("/a", ["inside", "m3"]), ("/b", ["inside", "m1"]), ("/c", ["m1", "inside"])):
        trace.clear()
        run(chain, http_call("GET", path))
        assert trace == ["m2", *passed, "cluster api"]
    assert [name for name, _ in chain.layers] == ["metrics", "m2"]


def test_a_split_may_be_sticky() -> None:
    chain = World().compile([{"to": {"api": 1, "web": 1}, "sticky": {"cookie": "user"}}])
    for user in range(20):
        calls = [http_call(headers={"cookie": f"user={user}"}) for _ in range(5)]
        assert len({run(chain, call).headers.get("x-cluster") for call in calls}) == 1


def test_a_route_has_reserves() -> None:
    world = World()
    chain = world.compile([{"to": "api", "failover": "web"}])
    assert run(chain, http_call()).headers.get("x-cluster") == "api"
    world.clusters["api"].ready = False
    assert run(chain, http_call()).headers.get("x-cluster") == "web"
    [(labels, cell)] = Families(world.env.metrics).failovers.series()
    assert (labels, cell.value) == (("http", "api"), 1)


def test_a_mirror_gets_a_copy_of_what_the_filters_let_pass() -> None:
    world = World()
    chain = world.compile([{"to": "api", "mirror": {"cluster": "web", "compare": {}}, "filters": ["m1"]}])
    assert run(chain, http_call()).headers.get("x-cluster") == "api"
    assert trace == ["m1", "cluster api", "cluster web"]
    # A new cluster of the same name is reached, too.
    world.clusters["web"] = FakeCluster("web")
    run(world.compile([{"to": "api", "mirror": {"cluster": "web", "compare": {}}, "filters": ["m1"]}]), http_call())
    assert world.clusters["web"].calls == 1


def test_filters_stand_round_what_the_mesh_answers_itself() -> None:
    assert run(World().compile([{"reply": {"status": 404}, "filters": ["m1"]}])).status == 404
    assert trace == ["m1"]


def test_what_failed_is_tried_again_unless_that_is_off() -> None:
    world = World()
    world.clusters["api"].failures = 1
    chain = world.compile([{"to": "api"}])
    assert run(chain) is None
    world.clock.pump([0.1] * 5)
    assert world.clusters["api"].calls == 2
    world.clusters["web"].failures = 1
    assert run(world.compile([{"to": "web", "retry": "off"}])).kind is Kind.CONNECT_FAILED


def test_a_route_without_a_timeout_has_no_timeout_layer() -> None:
    call = Call("http", "edge", "GET", Headers())
    run(World().compile([{"to": "api", "timeout": "off", "retry": "off"}]), call)
    assert call.timeout is None
    assert filters_of(call.route.proceed) == []  # type: ignore[union-attr]


# --- over a reload


def route_of(chain: Chain) -> Any:
    call = Call("http", "edge", "GET", Headers())
    run(chain, call)
    return call.route


def test_what_is_equal_stays_the_same_object() -> None:
    world = World()
    first = world.compile([{"to": "api"}], ["m1"], log={"path": "/tmp/x.log"})
    second = world.compile([{"to": "api"}], ["m1"], log={"path": "/tmp/x.log"})
    assert filters_of(first.proceed) == filters_of(second.proceed)
    assert first.observers == second.observers
    assert route_of(first) is route_of(second)


def test_a_filter_in_front_does_not_renew_the_others() -> None:
    world = World()
    first = world.compile([{"to": "api"}], ["m1", {"m1": {"rate": 1}}])
    second = world.compile([{"to": "api"}], ["m0", "m1", {"m1": {"rate": 2}}])
    assert filters_of(second.proceed)[2] is filters_of(first.proceed)[1]
    assert filters_of(second.proceed)[3] is not filters_of(first.proceed)[2]


def test_a_route_that_changed_keeps_its_filters() -> None:
    """Also when the route was carried over unchanged in between."""
    world = World()
    before = route_of(world.compile([{"to": "api", "filters": ["m1"]}]))
    world.compile([{"to": "api", "filters": ["m1"]}])
    after = route_of(world.compile([{"to": "web", "filters": ["m1"]}]))
    assert after is not before
    assert filters_of(after.proceed)[0] is filters_of(before.proceed)[0]


def test_a_cluster_that_is_new_renews_the_routes_to_it() -> None:
    world = World()
    before = route_of(world.compile([{"to": "api"}]))
    world.clusters["api"] = FakeCluster("api")
    after = route_of(world.compile([{"to": "api"}]))
    assert after is not before
    assert after.targets[0].cluster is world.clusters["api"]


def test_a_change_of_mode_renews_the_filter() -> None:
    world = World()
    first = world.compile([{"to": "api"}], ["m1"])
    second = world.compile([{"to": "api"}], [{"m1": {"mode": "shadow"}}])
    assert names_of(first)[1] == "Mark"
    assert names_of(second)[1] == "Shadow"


def test_worlds_before_the_last_are_let_go() -> None:
    world = World()
    world.compile([{"to": "api"}])
    chains = world.chains
    assert chains is not None
    assert chains._before == {}


def test_filters_that_are_in_force_no_more_are_told_so() -> None:
    """Also those that are tried or sampled; what is equal goes on."""
    world = World()
    world.compile([{"to": "api", "filters": ["m1", {"m2": {"mode": "shadow"}}]}], ["m3", {"m4": {"percent": 50}}, "m5"])
    before = world.chains
    world.compile([{"to": "api", "filters": ["m1"]}], ["m3", {"m4": {"percent": 60}}])
    assert before is not None and world.chains is not None
    assert retired == []
    for _ in before.let_go(world.chains):
        pass
    # What one of them raises keeps nobody from it.
    assert sorted(retired) == ["m2", "m4", "m5"]

"""What the sidecars of a mesh know together of the endpoints of a cluster."""

from __future__ import annotations

from typing import Any, Callable, Sequence

from tests.upstream.fakes import FakeConnector, FakeEnv, a_call, cluster_config
from twisted_mesh.call import Call
from twisted_mesh.policy.agreement import Opinion
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.members import STATIC

ADDRESSES = [f"127.0.0.1:{port}" for port in range(1, 6)]
A, B = ADDRESSES[:2]


class Mesh:
    """What sidecars say to each other; the others are made up."""

    def __init__(self) -> None:
        self.heard: list[Callable[[Sequence[Opinion]], None]] = []
        self.told: list[tuple[str, str, str, str, float]] = []
        self.opinions: dict[tuple[str, str, str], Opinion] = {}

    def follow(self, cluster: str, heard: Any) -> Mesh:
        assert cluster == "api"
        self.heard.append(heard)
        return self

    def stop(self) -> None:
        self.heard.pop()

    def tell(self, *told: Any) -> None:
        self.told.append(told)

    def say(self, sidecar: str, endpoint: str = A, left: float = 10.0, kind: str = "breaker", at: int = 1) -> None:
        mark = f"{sidecar} {at}"
        self.opinions[sidecar, endpoint, kind] = Opinion(sidecar, sidecar, endpoint, kind, "bad", left, mark)
        for each in self.heard:
            each(list(self.opinions.values()))


class World:
    def __init__(self, *addresses: str, **options: Any) -> None:
        self.env = FakeEnv()
        self.mesh = Mesh()
        self.cluster = self.made(*(addresses or (A, B)), **options)
        self.cluster.start()

    def made(self, *addresses: str, **options: Any) -> Cluster:
        config, env, connector = cluster_config(*addresses, **options), self.env, FakeConnector()
        return Cluster("api", config, env, connector, verdicts=self.mesh)  # type: ignore[arg-type]

    @property
    def first(self) -> Endpoint:
        return self.cluster.endpoints[0]

    def end(self, status: int = 500, times: int = 1, call: Any = None) -> None:
        for _ in range(times):
            assert self.first.conduct is not None
            self.first.conduct.ended(call or a_call(), status, None, 0.001)

    def picked(self, count: int = 40) -> set[str]:
        return {self.cluster.pick(a_call()).address for _ in range(count)}

    @property
    def held(self) -> str:
        return self.first.conduct.held() if self.first.conduct is not None else ""

    def learnt(self, kind: str = "breaker") -> float:
        return self.env.count("cluster_ejections_learnt_total", "api", kind)


def test_when_enough_others_see_it_a_breaker_opens_here() -> None:
    world = World(breaker={"shared": 2})
    world.mesh.say("web-1")
    assert world.picked() == {A, B}
    world.mesh.say("web-2")
    assert world.picked() == {B}
    assert world.held.startswith("breaker open for 10.") and world.held.endswith(": learnt from web-1, web-2: bad")
    assert world.learnt() == 1 and world.mesh.told == []
    world.env.clock.advance(10.6)
    # One real call finds out, as with a breaker that opened for what was seen here.
    probe = a_call()
    assert world.cluster.pick(probe).address == A
    assert world.picked() == {B}
    world.end(200, call=probe)
    assert world.picked() == {A, B}
    assert world.mesh.told == []


def test_what_is_seen_here_is_told_each_time() -> None:
    world = World(breaker={"shared": 2})
    world.end(times=7)
    [told] = world.mesh.told
    assert told[:4] == ("api", A, "breaker", "7 failures in a row") and 1.0 <= told[4] <= 1.5
    world.env.clock.advance(1.5)
    probe = a_call()
    assert world.cluster.pick(probe).address == A
    world.end(call=probe)
    assert world.mesh.told[1][3] == "its probe failed"


def test_a_probe_that_fails_after_what_was_learnt_is_seen_here() -> None:
    world = World(breaker={"shared": 1})
    world.mesh.say("web-1", left=1.0)
    world.env.clock.advance(1.6)
    probe = a_call()
    assert world.cluster.pick(probe).address == A
    world.end(call=probe)
    assert [each[3] for each in world.mesh.told] == ["its probe failed"]


def test_what_was_learnt_once_is_not_learnt_again_until_it_is_said_anew() -> None:
    world = World(breaker={"shared": 2})
    world.mesh.say("web-1", left=60.0)
    world.mesh.say("web-2", left=1.0)
    world.env.clock.advance(1.6)
    probe: Call = a_call()
    world.cluster.pick(probe)
    world.end(200, call=probe)
    world.mesh.say("web-3", endpoint=B, left=9.0)
    assert world.picked() == {A, B}
    world.mesh.say("web-2", left=9.0, at=2)
    assert world.picked() == {B}
    assert world.learnt() == 2


def test_a_breaker_that_is_open_goes_by_what_was_seen_here() -> None:
    world = World(breaker={"shared": 1})
    world.end(times=7)
    world.mesh.say("web-1", left=50.0)
    assert world.held.endswith(": 7 failures in a row") and world.held.startswith("breaker open for 1.")
    assert world.learnt() == 0


def test_an_outlier_is_learnt_of_too() -> None:
    world = World(*ADDRESSES, outlier={"shared": 1})
    world.mesh.say("web-1", kind="outlier")
    assert world.picked() == set(ADDRESSES[1:])
    assert world.held == "ejected for 10.0 s: learnt from web-1: bad"
    assert (world.learnt("outlier"), world.mesh.told) == (1, [])
    world.env.clock.advance(10.0)
    assert world.picked(100) == set(ADDRESSES)
    world.end(times=5)
    # The first time that it was seen here.
    assert world.mesh.told == [("api", A, "outlier", "5 failures in a row", 30.0)] or world.mesh.told[0][4] == 30.0


def test_no_more_are_ejected_than_may_be_also_if_others_say_so() -> None:
    world = World(*ADDRESSES, outlier={"shared": 1})
    for each in ADDRESSES[:3]:
        world.mesh.say("web-1", endpoint=each, kind="outlier")
    assert world.picked(100) == set(ADDRESSES[1:])
    assert world.env.count("cluster_ejections_refused_total", "api") == 2


def test_kinds_are_apart() -> None:
    world = World(breaker={"shared": 1}, outlier={})
    world.mesh.say("web-1", kind="outlier")
    assert world.picked() == {A, B}
    world.end(times=5)
    assert world.picked() == {B}
    assert world.mesh.told == []


def test_it_is_off_unless_it_is_said() -> None:
    world = World(breaker={}, outlier={})
    world.end(times=7)
    assert world.mesh.heard == [] and world.mesh.told == []


def test_an_endpoint_that_comes_later_is_left_out_for_what_was_said_before() -> None:
    world = World(B, breaker={"shared": 1})
    world.mesh.say("web-1", left=20.0)
    world.env.clock.advance(5.0)
    world.cluster.replace(STATIC, world.made(B, A).endpoints)
    assert world.picked() == {B}
    left = float(world.cluster.endpoints[1].conduct.held().split()[3])  # type: ignore[union-attr]
    assert 15.0 <= left <= 15.5


def test_a_cluster_that_ends_hears_nothing_any_more() -> None:
    world = World(breaker={"shared": 1})
    assert len(world.mesh.heard) == 1
    world.cluster.stop()
    assert world.mesh.heard == []
    assert not world.env.clock.getDelayedCalls()

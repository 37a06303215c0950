"""Which server of a group takes a command."""

from __future__ import annotations

import pytest

from tests.upstream.fakes import FakeEnv
from twisted_mesh import model
from twisted_mesh.call import Call
from twisted_mesh.codec.commands import find
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.redis_call import RedisCall
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.redis_group import Group

ADDRESSES = ("10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379")


class World:
    """A group of a primary (in zone a) and two replicas (in b and c); `out` takes one of them out of use."""

    def __init__(self, read: str, zone: str = "", **more: object) -> None:
        endpoints = [{"address": address, "zone": zone} for address, zone in zip(ADDRESSES, "abc")]
        config = model.Cluster.model_validate({"endpoints": endpoints, "panic_threshold": 0, **more})
        self.cluster = Cluster("redis", config, FakeEnv(), None)  # type: ignore[arg-type]
        self.cluster.start()
        self.group = Group("servers", self.cluster, read, lambda: zone)
        self.group.have(self.cluster.endpoints[0], self.cluster.endpoints[1:])
        self.cluster.on_change.append(lambda cluster: self.group.refresh())

    def out(self, *places: int) -> None:
        for at, each in enumerate(self.cluster.endpoints):
            each.checked = True
            each.healthy = at not in places
        self.cluster.refresh()

    def chosen(self, write: bool = False, tries: int = 60) -> set[int]:
        """The places of all servers that commands go to."""
        return {self.place(self.call(), write) for _ in range(tries)}

    def place(self, call: Call, write: bool = False) -> int:
        return self.cluster.endpoints.index(self.group.choose(call, write))

    def call(self) -> RedisCall:
        command = find(b"GET")
        assert command is not None
        return RedisCall("cache", command, (), b"", b"")


@pytest.mark.parametrize(
    ("read", "well", "no_primary", "no_replica"),
    [
        ("primary", {0}, None, {0}),
        ("prefer_primary", {0}, {1, 2}, {0}),
        ("replica", {1, 2}, {1, 2}, None),
        ("prefer_replica", {1, 2}, {1, 2}, {0}),
        ("any", {0, 1, 2}, {1, 2}, {0}),
        ("nearest", {0, 1, 2}, {1, 2}, {0}),
    ],
)
def test_who_answers_reads(read: str, well: set[int], no_primary: set[int], no_replica: set[int]) -> None:
    for out, expected in (((), well), ((0,), no_primary), ((1, 2), no_replica)):
        world = World(read)
        world.out(*out)
        if expected is not None:
            assert world.chosen() == expected
            continue
        with pytest.raises(MeshError, match="no server that answers reads"):
            world.chosen()


def test_writes_go_to_the_primary_or_nowhere() -> None:
    world = World("any")
    assert world.chosen(write=True) == {0}
    world.out(0)
    with pytest.raises(MeshError, match=r"the primary 10\.0\.0\.1:6379 takes no commands") as failed:
        world.chosen(write=True)
    assert failed.value.kind is Kind.NO_ENDPOINT
    world.group.have(None, world.cluster.endpoints[1:])
    with pytest.raises(MeshError, match="no primary is known"):
        world.chosen(write=True)


def test_the_nearest_is_in_the_own_zone_if_anybody_is() -> None:
    world = World("nearest", "b")
    assert world.chosen() == {1}
    world.out(1)
    assert world.chosen() == {0, 2}
    assert World("nearest", "elsewhere").chosen() == {0, 1, 2}


def test_another_try_goes_to_another_server() -> None:
    world = World("replica")
    call = world.call()
    first = world.group.choose(call, write=False)
    call.tried = (first,)
    assert {world.group.choose(call, write=False) for _ in range(20)} == {*world.cluster.endpoints[1:]} - {first}
    call.tried = tuple(world.cluster.endpoints)
    assert world.place(call) in (1, 2)


def test_a_breaker_lets_one_command_find_out() -> None:
    world = World("primary", breaker={"failures": 1, "least": "1s"})
    primary = world.cluster.endpoints[0]
    call = world.call()
    assert primary.conduct is not None
    primary.conduct.ended(call, 0, Kind.RESET, 0.1)
    with pytest.raises(MeshError, match="takes no commands"):
        world.chosen(write=True)
    world.cluster.env.clock.advance(2)  # type: ignore[attr-defined]
    probe = world.call()
    assert world.group.choose(probe, write=True) is primary
    assert primary.conduct.probe is probe
    with pytest.raises(MeshError, match="takes no commands"):
        world.group.choose(world.call(), write=True)
    primary.conduct.ended(probe, 0, None, 0.1)
    assert world.chosen(write=True) == {0}

"""The shortcut of ordinary commands: nobody can tell it from the long way, by what is sent, answered or counted."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any, Callable, TypeVar

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.adapters.redis_listening import Transport
from tests.control.test_env import make_env
from tests.support import until
from twisted_mesh.adapters.redis import RedisAdapter
from twisted_mesh.adapters.redis_connection import RedisConnection
from twisted_mesh.adapters.redis_ordinary import Ordinary
from twisted_mesh.adapters.redis_shortcut import Shortcut
from twisted_mesh.codec.resp import pack
from twisted_mesh.control.compile import Chains
from twisted_mesh.control.found import find_filter
from twisted_mesh.control.load import load_text
from twisted_mesh.control.shortcuts import ways_of
from twisted_mesh.park import Parked
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.redis import RedisForward

CONFIG = """
access_log: off
listeners: {r: {protocol: redis, bind: "127.0.0.1:6001", redis: {pipelined: 4}, routes: [{name: all, to: r, timeout: 1s}]}}
clusters: {r: {endpoints: ["127.0.0.1:6002"]}}
"""
GET, SET = pack(["GET", "k"]), pack(["SET", "k", "vvv"])


class Turns:
    """A loop whose turns the test makes."""

    def __init__(self) -> None:
        self._soon: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def call_soon(self, call: Callable[..., Any], *arguments: Any) -> None:
        self._soon.append((call, arguments))

    def turn(self) -> None:
        while self._soon:
            call, arguments = self._soon.pop(0)
            call(*arguments)


class World:
    """A listener with the chain of `CONFIG`, one client, and the server that it reaches.

    `said` is all that was written to either; `short` says whether there is a shortcut.
    """

    def __init__(self, short: bool, config: str = CONFIG) -> None:
        self.time = Clock()
        self.time.advance(100.0)
        self.env = make_env(self.time)
        self.loop = Turns()
        self.servers: list[tuple[Any, Transport]] = []
        parsed = load_text(config)
        cluster = Cluster("r", parsed.clusters["r"], self.env, self)  # type: ignore[arg-type]
        cluster.forwards["redis"] = self.forward = RedisForward(cluster, self, self.env)  # type: ignore[arg-type]
        steps = Chains({"r": cluster}, self.env, find=find_filter).listener("r", parsed)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                chain = stop.value
                break
        self.adapter = RedisAdapter("r", parsed.listeners["r"].redis, self.env)
        self.adapter.chain = chain.proceed
        if short:
            self.adapter.shorten(ways_of(chain))
            assert self.adapter.shortcut is not None
        self.said: list[tuple[str, bytes]] = []
        self.client, self.transport = self.connect()
        self.warm()

    def warm(self) -> None:
        """The first of each kind go the long way, and are learnt from."""
        for _ in range(2):
            self.ask(GET)
            self.reply(b"$-1\r\n")
            self.ask(SET)
            self.reply(b"+OK\r\n")

    # --- what a Connector does

    def connect_server(self, protocol: Any) -> None:
        transport = Transport()
        transport.protocol = protocol
        self.servers.append((protocol, transport))
        protocol.makeConnection(transport)
        protocol.dataReceived(b"+OK\r\n")

    def connect(self, target: Any = None, protocol: Any = None, timeout: float = 0.0) -> Any:
        if protocol is None:
            made = RedisConnection(self.adapter, len(self.adapter.open) + 1, "192.0.2.1:5", "192.0.2.1", self.soon)
            transport = Transport()
            transport.protocol = made
            made.makeConnection(transport)
            return made, transport
        self.connect_server(protocol)
        parked: Parked[None] = Parked()
        parked.fire(None)
        return parked

    def soon(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.loop.call_soon(call, *arguments)

    # --- what a test does

    def look(self) -> None:
        self.loop.turn()
        for name, transport in (("client", self.transport), *(("server", each) for _, each in self.servers)):
            text = transport.taken()
            if text:
                self.said.append((name, text))

    def ask(self, *pieces: bytes) -> None:
        for each in pieces:
            self.client.dataReceived(each)
        self.look()

    def reply(self, *pieces: bytes) -> None:
        for each in pieces:
            self.servers[-1][0].dataReceived(each)
        self.look()

    @property
    def ordinary(self) -> int:
        """How many commands in flight have no call."""
        return sum(type(each) is Ordinary and each._call is None for each in self.client.queue)

    @property
    def counted(self) -> list[str]:
        """The metrics, without the times of filters, which are looked at for few calls."""
        return [each for each in self.env.metrics.expose().decode().splitlines() if "_filter_" not in each]


W = TypeVar("W", bound=World)


def same_either_way(long: W, short: W, scene: Callable[[W], None]) -> None:
    """Play a scene with and without the shortcut: the same is said and counted, and nothing is left."""
    scene(long)
    scene(short)
    assert short.said == long.said
    assert short.counted == long.counted
    for world in (long, short):
        assert {each.active for each in world.forward.cluster.endpoints} == {0}
        assert not world.client.queue


def answered(world: World) -> None:
    for late, text in ((0.0001, b"$3\r\nabc\r\n"), (0.003, b"$-1\r\n"), (0.7, b":1\r\n")):
        world.ask(GET)
        world.time.advance(late)
        world.reply(text)
        world.ask(SET)
        world.reply(b"+OK\r\n")


def error_replies(world: World) -> None:
    world.ask(GET)
    world.reply(b"-WRONGTYPE no\r\n")
    world.ask(GET, SET)
    world.reply(b"-ERR a\r\n+OK\r\n")


def several_in_flight(world: World) -> None:
    world.ask(GET, GET, SET)
    world.reply(b"$1\r\na\r\n$1\r\n", b"b\r\n+OK\r\n")
    world.ask(GET + GET, SET)
    world.ask(GET[:9], GET[9:] + SET[:5], SET[5:])
    world.reply(b"$1\r\na\r\n" * 2, b"+OK\r\n$1\r\nd\r\n+OK\r\n")


def other_commands_between(world: World) -> None:
    world.ask(GET, pack(["PING"]), pack(["LPUSH", "l", "a", "b"]), GET)
    world.reply(b"$1\r\na\r\n")
    world.reply(b":2\r\n$1\r\nb\r\n")


def late(world: World) -> None:
    world.ask(GET)
    world.time.advance(0.99)
    world.look()
    world.time.advance(0.1)
    world.look()
    world.reply(b"$1\r\na\r\n")
    world.ask(GET)
    world.reply(b"$1\r\nb\r\n")


def server_lost(world: World) -> None:
    world.ask(GET)
    world.servers[-1][0].connectionLost(Failure(ConnectionLost()))
    world.look()
    for _ in range(40):
        world.time.advance(0.025)
        world.look()
    world.reply(b"$1\r\na\r\n")
    world.ask(SET)
    world.servers[-1][0].connectionLost(Failure(ConnectionDone()))
    world.look()


def client_leaves(world: World) -> None:
    world.ask(GET, SET)
    world.client.connectionLost(Failure(ConnectionDone()))
    world.reply(b"$1\r\na\r\n+OK\r\n")


def client_closes_its_side(world: World) -> None:
    world.ask(GET)
    world.client.readConnectionLost()
    world.reply(b"$1\r\na\r\n")
    assert world.transport.finished


def large_reply(world: World) -> None:
    world.ask(GET, GET)
    piece = b"x" * 200_000
    world.reply(b"$400000\r\n" + piece)
    world.reply(piece)
    world.reply(b"\r\n$1\r\na\r\n")


def large_value(world: World) -> None:
    value = b"v" * 70_000
    world.ask(pack(["SET", "k", value]))
    world.reply(b"+OK\r\n")
    world.ask(pack(["SET", "k", value])[:-1], b"\n")
    world.reply(b"+OK\r\n")


def too_many_at_once(world: World) -> None:
    for _ in range(6):
        world.ask(GET)
    world.said.append(("state", world.transport.producerState.encode()))
    world.reply(b"$1\r\na\r\n" * 6)
    world.said.append(("state", world.transport.producerState.encode()))


def of_a_database(world: World) -> None:
    world.ask(pack(["SELECT", "3"]))
    world.ask(GET)
    world.reply(b"+OK\r\n$1\r\na\r\n")
    world.ask(pack(["SELECT", "0"]))
    world.ask(GET)
    world.servers[0][0].dataReceived(b"$1\r\nb\r\n")
    world.look()


SCENES = (
    answered,
    error_replies,
    several_in_flight,
    other_commands_between,
    late,
    server_lost,
    client_leaves,
    client_closes_its_side,
    large_reply,
    large_value,
    too_many_at_once,
    of_a_database,
)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_what_is_said_and_counted_is_what_it_would_be_without(scene: Callable[[World], None]) -> None:
    same_either_way(World(False), World(True), scene)


def test_ordinary_commands_have_no_call() -> None:
    world = World(True)
    world.ask(GET, SET, pack(["GET", "another key"]))
    # The last has a head of its own, which is known from now on.
    assert world.ordinary == 2
    world.reply(b"$-1\r\n+OK\r\n$-1\r\n")
    world.ask(pack(["GET", "one more key"]), pack(["GET", "11 letters!"]))
    assert world.ordinary == 1
    assert world.client.last == "GET"


def test_what_looks_like_a_command_and_is_none_goes_the_long_way() -> None:
    for text in (
        b"*2\r\n$3\r\nGET\r\n$1\r\nkk\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$03\r\nvvv\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$-1\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\nkkk$3\r\nvvv\r\n",
        b"*2\r\n$3\r\nGET\r\n$1\r\nk",
        b"*2\r\n$9",
        b"PING\r\n",
    ):
        long, short = World(False), World(True)
        long.ask(text)
        short.ask(text)
        assert short.ordinary == 0
        assert short.said == long.said


def test_who_asks_for_the_call_has_one_like_all_others() -> None:
    long, short = World(False), World(True)
    long.ask(SET)
    short.ask(SET)
    ours, theirs = vars(short.client.queue[0].call), vars(long.client.queue[0].call)  # type: ignore[union-attr]
    differing = {"caller", "route", "cluster", "endpoint", "_completions", "waiter"}
    assert {name: each for name, each in ours.items() if name not in differing} == {
        name: each for name, each in theirs.items() if name not in differing
    }
    for name in ("route", "cluster", "endpoint"):
        assert type(ours[name]) is type(theirs[name])
    assert [each.__func__ for each in ours["_completions"]] == [each.__func__ for each in theirs["_completions"]]
    assert short.ordinary == 0


def test_with_another_chain_it_is_not_taken() -> None:
    world = World(True)
    chain = world.adapter.chain
    seen: list[str] = []

    def watched(call: Any) -> Any:
        seen.append(call.operation)
        return chain(call)

    world.adapter.chain = watched
    world.ask(GET)
    assert (seen, world.ordinary) == (["GET"], 0)
    world.adapter.chain = chain
    world.ask(GET)
    assert (seen, world.ordinary) == (["GET"], 1)


def test_without_a_server_it_goes_the_long_way() -> None:
    world = World(True)
    world.forward.cluster.picks.use((), (), (), False)
    world.ask(GET)
    assert world.said[-1][1].startswith(b"-")
    assert not world.client.queue


def test_what_is_slow_or_fails_is_logged_and_nothing_else(tmp_path: Path) -> None:
    world = World(True, CONFIG.replace("access_log: off", f"access_log: {{path: {tmp_path}/log}}"))
    for key, late, reply in (
        ("quick", 0.009, b"+OK\r\n"),
        ("tardy", 0.011, b"+OK\r\n"),
        ("wrong", 0.0, b"-WRONGTYPE a secret\r\n"),
    ):
        for _ in range(2):
            world.ask(pack(["SET", key, "vvv"]))
            world.time.advance(late)
            world.reply(reply)
    world.ask(pack(["SET", "three", "v"]) * 3)
    world.reply(b"+OK\r\n-OOM a\r\n+OK\r\n")
    world.ask(SET)
    world.client.connectionLost(Failure(ConnectionDone()))
    closed: list[None] = []
    world.env.logs.close().addCallback(closed.append)
    until(lambda: world.time.advance(0.01) or closed)
    lines = [json.loads(each) for each in (tmp_path / "log").read_text().splitlines()]
    assert [(each["path"], each.get("details", ""), each.get("flags", []), each.get("count", 1)) for each in lines] == [
        ("tardy", "", [], 1),
        ("tardy", "", [], 1),
        ("wrong", "answered WRONGTYPE", [], 1),
        ("wrong", "answered WRONGTYPE", [], 1),
        ("three", "answered OOM", [], 3),
        ("k", "", ["DC"], 1),
    ]
    assert lines[0]["endpoint"] == "127.0.0.1:6002"
    assert lines[0]["duration_ms"] == 11.0


def test_more_heads_than_are_kept_start_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twisted_mesh.adapters.redis_shortcut._HEADS_KEPT", 2)
    world = World(True)
    world.ask(pack(["GET", "a longer key"]))
    world.reply(b"$-1\r\n")
    world.ask(GET)
    assert world.ordinary == 0


def test_one_that_is_replaced_goes_by_itself() -> None:
    world = World(True)
    world.ask(GET, SET)
    world.reply(b"$-1\r\n+OK\r\n")
    rows = world.adapter.rows
    gc.collect()
    gc.disable()
    try:
        world.adapter.shorten(None)
        left = [each for each in gc.get_objects() if isinstance(each, Shortcut) and each.rows is rows]
        assert left == []
    finally:
        gc.enable()

"""Commands of many keys over shards, the short way: nobody can tell it from the long one."""

from __future__ import annotations

from typing import Any, Callable, Optional, Sequence

import hiredis
import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from tests.adapters.redis_listening import Transport
from tests.adapters.test_redis_shortcut import World, same_either_way
from twisted_mesh.codec.resp import array, bulk, integer, pack

CONFIG = """
access_log: off
listeners: {r: {protocol: redis, bind: "127.0.0.1:6001", redis: {pipelined: 4}, routes: [{name: all, to: r, timeout: 1s}]}}
clusters:
  r: {endpoints: ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"], redis: {topology: sharded}}
"""
KEYS = [f"{number * 7919}:key{number}" for number in range(12)]
MGET = pack(["MGET", *KEYS])
MSET = pack(["MSET", *(word for key in KEYS for word in (key, f"new {key}"))])
DEL = pack(["del", *KEYS])
GET = pack(["GET", KEYS[0]])


class Shards(World):
    """A listener with three shards, each of which answers what it was sent when the test says so."""

    def __init__(self, short: bool, config: str = CONFIG) -> None:
        # What each shard was sent and has not answered, by its host; and all that it was sent.
        self.asked: dict[str, list[list[bytes]]] = {}
        self.heard: dict[str, bytes] = {}
        self.by_host: dict[str, tuple[Any, Transport, hiredis.Reader]] = {}
        super().__init__(short, config)

    def warm(self) -> None:
        """The first of each kind go the long way, and connect."""
        for text in (MGET, MSET, DEL, GET, GET, MGET):
            self.ask(text)
            self.answer()

    def connect(self, target: Any = None, protocol: Any = None, timeout: float = 0.0) -> Any:
        parked = super().connect(target, protocol, timeout)
        if protocol is not None:
            self.by_host[target.host] = (*self.servers[-1], hiredis.Reader())
        return parked

    def look(self) -> None:
        self.loop.turn()
        text = self.transport.taken()
        if text:
            self.said.append(("client", text))
        for host, (_, transport, reader) in self.by_host.items():
            text = transport.taken()
            self.heard[host] = self.heard.get(host, b"") + text
            reader.feed(text)
            while (words := reader.gets()) is not False:
                if words[0] != b"CLIENT":
                    self.asked.setdefault(host, []).append(words)

    def answer(self, hosts: Sequence[str] = (), replies: Optional[Callable[[list[bytes]], bytes]] = None) -> None:
        """Have these shards answer all that they were asked; all of them if none is named."""
        for host in hosts or sorted(self.asked):
            asked = self.asked.pop(host, [])
            self.by_host[host][0].dataReceived(b"".join([(replies or reply_to)(words) for words in asked]))
            self.look()


def reply_to(words: list[bytes]) -> bytes:
    name, *keys = words
    if name.upper() == b"MGET":
        return array([b"$-1\r\n" if key.endswith(b"7") else bulk(b"value of " + key) for key in keys])
    return {b"MSET": b"+OK\r\n", b"GET": bulk(b"value")}.get(name.upper(), integer(len(keys)))


def wrong(words: list[bytes]) -> bytes:
    return b"-OOM a\r\n" if words[0] == b"MSET" else b"-LOADING a\r\n"


def answered(world: Shards) -> None:
    for late in (0.0001, 0.003, 0.7):
        for text in (MGET, MSET, DEL, GET, pack(["MGET", KEYS[3]]), pack(["EXISTS", *KEYS, *KEYS])):
            world.ask(text)
            world.time.advance(late)
            world.answer()


def answered_at_different_times(world: Shards) -> None:
    world.ask(MGET)
    for host in ("192.0.2.2", "192.0.2.3", "192.0.2.1"):
        world.time.advance(0.002)
        world.answer([host])


def several_in_flight(world: Shards) -> None:
    world.ask(MGET, GET, MSET, MGET)
    world.answer(["192.0.2.3"])
    world.answer(["192.0.2.1"])
    world.answer(["192.0.2.2"])


def one_shard_says_no(world: Shards) -> None:
    for text in (MGET, MSET, DEL):
        for turn in range(3):
            world.ask(text, GET)
            hosts = sorted(world.by_host)
            world.answer([hosts[turn]], wrong)
            world.answer()
        world.ask(text)
        world.answer((), wrong)


def one_shard_says_something_else(world: Shards) -> None:
    for reply in (b"*1\r\n$1\r\na\r\n", b":1\r\n", b"$1\r\na\r\n", b"*-1\r\n"):
        for text in (MGET, MSET, DEL):
            world.ask(text)
            world.answer(["192.0.2.1"], lambda words, reply=reply: reply)  # type: ignore[misc]
            world.answer()


def late(world: Shards) -> None:
    for host in ("192.0.2.1", "192.0.2.3"):
        world.ask(MGET)
        world.answer([host])
        world.time.advance(0.99)
        world.look()
        world.time.advance(0.1)
        world.look()
        world.answer()


def server_lost(world: Shards) -> None:
    for text in (MGET, MSET):
        for before in ([], ["192.0.2.1"], ["192.0.2.1", "192.0.2.3"]):
            world.ask(text)
            if before:
                world.answer(before)
            world.asked.pop("192.0.2.2", None)
            world.by_host["192.0.2.2"][0].connectionLost(Failure(ConnectionLost()))
            for _ in range(8):
                world.time.advance(0.05)
                world.look()
                world.answer()


def client_leaves(world: Shards) -> None:
    world.ask(MGET, MSET)
    world.answer(["192.0.2.1"])
    world.client.connectionLost(Failure(ConnectionDone()))
    world.answer()


def client_closes_its_side(world: Shards) -> None:
    world.ask(MGET)
    world.answer(["192.0.2.1"])
    world.client.readConnectionLost()
    world.answer()
    assert world.transport.finished


def large_replies(world: Shards) -> None:
    def large(words: list[bytes]) -> bytes:
        return array([bulk(key * 30_000) for key in words[1:]])

    world.ask(MGET)
    world.answer(["192.0.2.1"])
    world.answer(["192.0.2.2"], large)
    asked = world.asked.pop("192.0.2.3")
    text = large(asked[0]) * 2
    world.ask(MGET)
    world.asked.pop("192.0.2.3")
    for start in range(0, len(text), 100_000):
        world.by_host["192.0.2.3"][0].dataReceived(text[start : start + 100_000])
        world.look()
    world.answer()


def too_many_at_once(world: Shards) -> None:
    for _ in range(6):
        world.ask(MGET)
    world.said.append(("state", world.transport.producerState.encode()))
    world.answer()
    world.answer()
    world.said.append(("state", world.transport.producerState.encode()))


def what_is_no_such_command(world: Shards) -> None:
    for text in (
        pack(["MGET"]),
        pack(["MSET", "a", "b", "c"]),
        pack(["MSET", "a"]),
        MGET + MGET,
        pack(["MSET", "a", "\r\n$", "$b", "$1", "c", ""]),
        pack(["MGET", "", "a\r\n$1\r\nb", "k" * 500]),
        pack(["MSET", "a", "v" * 3000, "b", "w"]),
        MGET[:50],
        MGET[50:] + DEL[:-1],
        DEL[-1:],
        pack(["MGET", "a"])[:-2] + b"xx",
    ):
        world.ask(text)
        world.answer()
        world.answer()


def a_shard_is_taken_out(world: Shards) -> None:
    for healthy in (False, True):
        for each in world.forward.cluster.endpoints:
            each.checked, each.healthy = True, healthy or each.target.host != "192.0.2.2"
        world.forward.cluster.refresh()
        for text in (MGET, MSET, GET):
            world.ask(text)
            world.answer()


SCENES = (
    answered,
    answered_at_different_times,
    several_in_flight,
    one_shard_says_no,
    one_shard_says_something_else,
    late,
    server_lost,
    client_leaves,
    client_closes_its_side,
    large_replies,
    too_many_at_once,
    what_is_no_such_command,
    a_shard_is_taken_out,
)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_what_is_said_and_counted_is_what_it_would_be_without(scene: Callable[[Shards], None]) -> None:
    long, short = Shards(False), Shards(True)
    same_either_way(long, short, scene)
    assert short.heard == long.heard


def test_ordinary_commands_have_no_calls() -> None:
    world = Shards(True)
    for text in (MGET, MSET, DEL, GET):
        world.ask(text)
    assert world.ordinary == 4
    assert world.client.last == "GET"


def test_who_asks_for_the_call_has_one_like_all_others() -> None:
    long, short = Shards(False), Shards(True)
    for text in (MGET, MSET):
        long.ask(text)
        short.ask(text)
    for mine, other in zip(short.client.queue, long.client.queue):
        ours, theirs = vars(mine.call), vars(other.call)  # type: ignore[union-attr]
        differing = {"caller", "route", "cluster", "endpoint", "_completions", "waiter"}
        ours["commands"] = tuple(ours["commands"])
        ours.setdefault("write", False)
        assert {name: each for name, each in ours.items() if name not in differing} == {
            name: each for name, each in theirs.items() if name not in differing
        }
    assert short.ordinary == 0
    short.answer()
    long.answer()
    assert short.said == long.said
    assert short.counted == long.counted


def test_keys_that_come_again_go_where_they_went() -> None:
    """Also in another order, and with others that are new."""
    world = Shards(True)
    placed = {}
    for keys in (KEYS, KEYS[::-1], [*KEYS, "new", *KEYS], ["new", "newer"]):
        world.ask(pack(["MGET", *keys]))
        assert world.ordinary == 1
        for host, asked in world.asked.items():
            for key in asked[0][1:]:
                assert placed.setdefault(key, host) == host
        world.answer()
    assert len(set(placed.values())) == 3


@pytest.mark.parametrize("text", [MGET, MSET, DEL])
def test_a_command_waits_for_all_of_its_shards(text: bytes) -> None:
    world = Shards(True)
    said = len(world.said)
    world.ask(text)
    for host in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        assert len(world.said) == said
        world.answer([host])
    assert len(world.said) == said + 1

"""Commands of several keys whose keys have different routes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Optional

import pytest

from tests.filters.drive import cycles_left
from tests.filters.redis_calls import several
from twisted_mesh.chain import Driver
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.filters.redis_divide import Divided
from twisted_mesh.filters.route import Route, Table, Target
from twisted_mesh.model.hashing import HashKey
from twisted_mesh.park import Parked
from twisted_mesh.policy.apart import Matches
from twisted_mesh.policy.match import Conditions, compile_match
from twisted_mesh.redis_call import RedisReply
from twisted_mesh.redis_session import Session
from twisted_mesh.redis_words import CROSSED
from twisted_mesh.stream import ByteStream
from twisted_mesh.testing import Env
from twisted_mesh.upstream.hash_key import hashed


class Server:
    """A cluster with data of its own; `waits` until it is told to answer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.data: dict[bytes, bytes] = {}
        self.seen: list[str] = []
        self.error: Optional[Exception] = None
        self.says = b""
        self.streams = False
        self.parked: Optional[Parked[None]] = None
        self.completed = 0

    async def forward(self, call: Any) -> Any:
        call.attempts += 1
        call.endpoint = SimpleNamespace(address=self.name)
        call.on_complete(self._completed)
        words = call.words()
        self.seen.append(b" ".join(words).decode())
        if self.parked is not None:
            await self.parked
        if self.error is not None:
            raise self.error
        body = self.says or getattr(self, f"_{call.operation.lower()}")(words)
        if not self.streams:
            return RedisReply(body, errors=int(body.startswith(b"-")))
        stream = ByteStream()
        stream.write(body)
        stream.end()
        return RedisReply(stream)

    def _completed(self, call: Any) -> None:
        self.completed += 1

    def _mget(self, words: list[bytes]) -> bytes:
        values = [self.data.get(each) for each in words[1:]]
        found = [b"$-1\r\n" if each is None else b"$%d\r\n%b\r\n" % (len(each), each) for each in values]
        return b"*%d\r\n" % len(found) + b"".join(found)

    def _mset(self, words: list[bytes]) -> bytes:
        self.data.update(zip(words[1::2], words[2::2]))
        return b"+OK\r\n"

    def _del(self, words: list[bytes]) -> bytes:
        return b":%d\r\n" % sum(self.data.pop(each, None) is not None for each in words[1:])

    def _any(self, words: list[bytes]) -> bytes:
        return b"+OK\r\n"

    _rename = _watch = _set = _exec = _get = _any


class World:
    """Keys that begin with ``a`` belong to one server, with ``b`` to another, all else to a third."""

    def __init__(self, **more: Any) -> None:
        self.env = Env()
        self.a, self.b, self.rest = Server("a"), Server("b"), Server("rest")
        matches = Matches()
        table = Table()
        for name, prefix, cluster, timeout in (
            ("a", "a", self.a, 2.0),
            ("also a", "c", self.a, 1.0),
            ("b", "b", self.b, 3.0),
            ("rest", "", self.rest, 1.0),
        ):
            asked = Conditions(key_prefix=prefix) if prefix else Conditions()
            matches.add(asked)
            test = compile_match(asked)
            table.add(
                Route(
                    name,
                    cluster.forward,
                    matches=test,
                    conditions=asked,
                    targets=[Target(cluster)],  # type: ignore[arg-type]
                    timeout=timeout,
                )
            )
        self.table = table
        self.divided = Divided(table, matches, self.env)  # type: ignore[arg-type]

    def begin(self, text: str, session: Optional[Session] = None) -> tuple[Any, list[Any]]:
        call, outcomes = several(text), []
        call.session = session
        call.write = not call.command.read_only
        driver = Driver(call, lambda call, reply, error: outcomes.append(error or reply))
        driver.start(self.divided)
        self.driver = driver
        return call, outcomes

    def ask(self, text: str, session: Optional[Session] = None) -> Any:
        call, outcomes = self.begin(text, session)
        call.complete(self.env.now(), lambda failed: None)
        if isinstance(outcomes[0], BaseException):
            raise outcomes[0]
        return outcomes[0].body


def bulks(*values: Optional[bytes]) -> bytes:
    found = [b"$-1\r\n" if each is None else b"$%d\r\n%b\r\n" % (len(each), each) for each in values]
    return b"*%d\r\n" % len(found) + b"".join(found)


def test_each_cluster_gets_its_keys_and_the_replies_are_one() -> None:
    world = World()
    assert world.ask("MSET a1 1 b1 2 x 3 a2 4") == b"+OK\r\n"
    assert [each.seen.pop() for each in (world.a, world.b, world.rest)] == ["MSET a1 1 a2 4", "MSET b1 2", "MSET x 3"]
    assert world.ask("MGET x b1 none a2 b2 a1") == bulks(b"3", b"2", None, b"4", None, b"1")
    assert world.a.seen == ["MGET a2 a1"]
    assert world.ask("DEL a1 b1 x nothing") == b":3\r\n"
    assert world.a.completed == world.b.completed == world.rest.completed == 3


@pytest.mark.parametrize("text", ["MGET a1 a2", "MGET a1 c1 a2", "RENAME a1 c1", "MGET b1"])
def test_keys_of_one_cluster_stay_together(text: str) -> None:
    world = World()
    call, outcomes = world.begin(text)
    assert outcomes[0].body
    assert world.a.seen + world.b.seen == [text]
    assert call.route is world.table.routes[0 if "a1" in text else 2]


def test_what_cannot_be_divided_is_refused() -> None:
    world = World()
    for text in ("RENAME a1 b1", "SINTERSTORE a1 a2 x", "EVAL return 2 a1 b1", "SORT a1 STORE b1"):
        assert world.ask(text) == CROSSED
    assert world.ask("MSET a1 1 b1") == b"-ERR wrong number of arguments for 'mset' command\r\n"
    assert world.a.seen == world.b.seen == world.rest.seen == []


def test_what_one_cluster_does_not_do_is_told_in_its_place() -> None:
    world = World()
    world.ask("MSET a1 1 x 3")
    world.b.error = MeshError(Kind.NO_ENDPOINT, "all are down")
    call, outcomes = world.begin("MGET a1 b1 x")
    gone = b"-MESHNOHOST no upstream host: all are down\r\n"
    assert outcomes[0].body == b"*3\r\n$1\r\n1\r\n" + gone + b"$1\r\n3\r\n"
    assert call.flags == ("UH",) and call.details == "all are down"
    assert world.ask("MSET a1 1 b1 2") == b"-ERR finished with 1 error(s)\r\n"
    world.b.error = None
    world.b.says = b"-LOADING Redis is loading\r\n"
    assert world.ask("DEL a1 b1") == b"-ERR finished with 1 error(s)\r\n"


def test_a_key_without_a_route() -> None:
    world = World()
    world.table.routes.pop()
    world.table._few.pop()
    reply = world.ask("MGET a1 x")
    assert reply.startswith(b"*2\r\n$-1\r\n-MESHNOHOST no route")


def test_replies_that_come_in_pieces_are_put_together() -> None:
    world = World()
    world.ask("MSET a1 1 b1 2")
    world.a.streams = True
    assert world.ask("MGET b1 a1") == bulks(b"2", b"1")


def test_what_is_behind_may_follow_once_all_parts_are_sent() -> None:
    world = World()
    world.b.parked = Parked()
    call, outcomes = world.begin("MGET a1 b1")
    assert not outcomes
    assert call.attempts == 1
    # Each part may say for itself that its time is over.
    assert call.timeout == 4.0
    world.b.parked.fire(None)
    assert outcomes[0].body == bulks(None, None)
    assert call.endpoint.address == "a"
    assert call.route is world.table.routes[0]


def test_nothing_is_left_for_the_garbage_collector() -> None:
    world = World()
    world.ask("MGET a1 b1")
    assert cycles_left(lambda: world.ask("MGET a1 b1 x")) == 0


def test_who_waits_no_longer_stops_all_parts() -> None:
    world = World()
    world.b.parked = Parked()
    _, outcomes = world.begin("MGET a1 b1")
    world.driver.cancel(Cancelled(Kind.CLIENT_GONE))
    assert isinstance(outcomes[0], Cancelled)
    assert world.a.completed == world.b.completed == 1


def test_what_is_wrong_with_a_filter_is_not_hidden() -> None:
    world = World()
    world.b.error = ValueError("odd")
    with pytest.raises(ValueError, match="odd"):
        world.ask("MGET a1 b1")


def test_transactions() -> None:
    world = World()
    session = Session([].append, [].append)
    session.watching = True
    assert world.ask("WATCH a1 b1", session) == CROSSED
    assert not session.watching
    session.multi = True
    assert world.ask("SET a1 1", session) == b"+OK\r\n"
    assert world.ask("EXEC", session) == b"+OK\r\n"
    # By the route of the first key.
    assert world.a.seen == ["SET a1 1", "EXEC"]
    assert not session.spoilt
    assert world.ask("MGET a1 b1", session) == CROSSED
    assert session.spoilt
    session.multi = False
    session.settle()
    assert session.key == b""


def test_a_route_that_sticks_to_keys_is_several_clusters() -> None:
    env, one, two = Env(), Server("one"), Server("two")
    route = Route(
        "split",
        lambda call: call.cluster.forward(call),
        targets=[Target(one), Target(two)],  # type: ignore[arg-type]
        dice=env.random.random,
        sticky=hashed([HashKey(part="key")]),
    )
    divided = Divided(Table([route]), None, env)  # type: ignore[arg-type]
    names = [f"k{each}" for each in range(20)]
    call, outcomes = several("MGET " + " ".join(names)), []
    Driver(call, lambda call, reply, error: outcomes.append(error or reply.body)).start(divided)
    assert outcomes == [bulks(*[None] * 20)]
    assert one.seen and two.seen
    for each in names:
        single = several(f"GET {each}")
        Driver(single, lambda call, reply, error: None).start(divided)
        assert each in single.cluster.seen[0].split()  # type: ignore[union-attr]

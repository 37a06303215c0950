"""Copies of Redis commands: which, in which order, and what their replies are compared with."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from tests.filters.redis_calls import Echo, lines, several
from twisted_mesh.chain import Driver
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.filters.redis_mirror import AGAIN_AFTER, RedisMirror
from twisted_mesh.redis_call import RedisCall, RedisReply
from twisted_mesh.redis_pending import Pending
from twisted_mesh.testing import Env


class World:
    """A mirror between a real server that echoes and a copy that `says`."""

    def __init__(self, says: Optional[Any] = None, **options: Any) -> None:
        self.env = Env()
        self.real, self.copy = Echo(), Echo(says)
        self.mirror = RedisMirror("new", self.copy, self.env, **options)
        self.outcomes: list[Any] = []

    def call(self, *commands: str) -> Any:
        """Run a call to its end; returns its reply, or raises."""
        call = several(*commands)
        Driver(call, lambda call, reply, error: self.outcomes.append(error or reply)).start(
            lambda call: self.mirror(call, self.real)
        )
        outcome = self.outcomes[-1]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def calls(self, result: str) -> float:
        return self.env.count("twisted_mesh_upstream_mirror_calls_total", "-", "new", result)

    def compared(self, result: str) -> float:
        return self.env.count("twisted_mesh_upstream_mirror_compared_total", "-", "new", result)


def test_all_or_some_commands_are_copied() -> None:
    world = World()
    assert lines(world.call("GET a", "SET b 1")) == ["+GET a", "+SET b 1"]
    assert world.copy.seen == [["GET a", "SET b 1"]]
    assert world.calls("answered") == 2
    world = World(operations={"SET", "DEL"})
    world.call("GET a")
    world.call("GET a", "SET b 1", "GET c", "DEL d")
    assert world.copy.seen == [["SET b 1", "DEL d"]]
    assert world.copy.keys == [b"b"]
    assert world.real.seen == [["GET a"], ["GET a", "SET b 1", "GET c", "DEL d"]]


def test_a_copy_that_fails_changes_nothing() -> None:
    world = World(lambda call: MeshError(Kind.RESET, "gone"))
    assert lines(world.call("SET a 1")) == ["+SET a 1"]
    assert world.calls("failed") == 1


def test_a_share_of_the_calls() -> None:
    world = World(percent=25.0)
    for _ in range(1000):
        world.call("SET a 1")
    assert 200 < len(world.copy.seen) < 300


def test_no_more_than_so_many_are_under_way() -> None:
    env = Env()
    held: list[Pending] = []

    def hold(call: Any) -> Pending:
        held.append(Pending(call))
        return held[-1]

    mirror = RedisMirror("new", hold, env, most=2)
    for _ in range(3):
        mirror(several("SET a 1"), Echo()).close()  # type: ignore[attr-defined]
    assert len(held) == 2
    assert env.count("twisted_mesh_upstream_mirror_calls_total", "-", "new", "skipped_busy") == 1
    held[0].fire(RedisReply(b"+OK\r\n"))
    mirror(several("SET a 1"), Echo()).close()  # type: ignore[attr-defined]
    assert len(held) == 3
    mirror(several("SET a 1"), Echo()).close()  # type: ignore[attr-defined]
    assert len(held) == 3
    assert env.count("twisted_mesh_upstream_mirror_calls_total", "-", "new", "skipped_busy") == 2


def test_what_belongs_to_a_session_is_not_copied() -> None:
    world = World()
    call = several("EXEC")
    call.session = object()
    Driver(call, lambda *ended: None).start(lambda call: world.mirror(call, world.real))
    assert world.copy.seen == []
    assert world.calls("skipped_session") == 1


def answering(text: bytes) -> Any:
    def says(call: RedisCall) -> RedisReply:
        return RedisReply(text, call.count)

    return says


def test_replies_that_are_the_same_and_writes_that_are_not() -> None:
    world = World(compare=True)
    world.call("GET a", "GET b")
    assert (world.compared("same"), world.compared("different")) == (2, 0)
    world = World(answering(b"+SET a 1\r\n-ERR no\r\n"), compare=True)
    world.call("SET a 1", "SET b 1")
    assert (world.compared("same"), world.compared("different")) == (1, 1)
    assert any("answers SET b in another way: 10 bytes of + and ERR no" in each for each in world.env.logged)


@pytest.mark.parametrize(("later", "same", "different"), [(b"+GET a\r\n", 1, 0), (b"+else\r\n", 0, 1)])
def test_a_read_that_differs_is_asked_once_more(later: bytes, same: int, different: int) -> None:
    said = [b"+else\r\n", later]
    world = World(lambda call: RedisReply(said.pop(0), call.count), compare=True)
    world.call("GET a")
    assert (world.compared("same"), world.compared("different")) == (0, 0)
    world.env.advance(AGAIN_AFTER)
    assert (world.compared("same"), world.compared("different")) == (same, different)
    assert len(world.real.seen) == 2


def test_a_real_failure_is_the_callers_and_the_copy_is_sent_all_the_same() -> None:
    world = World(compare=True)
    world.real = Echo(lambda call: MeshError(Kind.TIMEOUT, "late"))
    with pytest.raises(MeshError, match="late"):
        world.call("SET a 1")
    assert world.copy.seen == [["SET a 1"]]


class Slow:
    """A real server whose replies come when the test says."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.pending: list[Pending] = []
        self.driver: Any = None

    def begin(self, *commands: str) -> None:
        call = several(*commands)

        def upstream(call: Any) -> Pending:
            self.pending.append(Pending(call))
            return self.pending[-1]

        self.driver = Driver(call, lambda call, reply, error: self.world.outcomes.append(error or reply))
        self.driver.start(lambda call: self.world.mirror(call, upstream))

    def reply(self, body: bytes) -> None:
        """Answer the oldest call."""
        pending = self.pending.pop(0)
        pending.fire(RedisReply(body, pending.call.count, errors=int(body.startswith(b"-"))))


def test_what_does_something_else_each_time_is_copied_as_what_it_did() -> None:
    world = World()
    slow = Slow(world)
    slow.begin("XADD s * f v", "SET a 1", "SPOP t", "XADD s * f w")
    slow.begin("DEL s")
    assert world.copy.seen == [], "what is behind waits, or it would be overtaken"
    slow.reply(b"$3\r\n7-0\r\n+OK\r\n$1\r\nm\r\n$3\r\n7-1\r\n")
    assert world.copy.seen == [["XADD s 7-0 f v", "SET a 1", "SREM t m", "XADD s 7-1 f w"], ["DEL s"]]
    assert world.calls("answered") == 5
    world.call("SET b 1")
    assert world.copy.seen[-1] == ["SET b 1"]


def test_what_has_done_nothing_is_not_copied() -> None:
    world = World(operations={"SPOP", "XADD"})
    slow = Slow(world)
    slow.begin("GET a", "SPOP t", "XADD s 1-1 f v", "SPOP u")
    slow.reply(b"$1\r\n1\r\n$-1\r\n$3\r\n1-1\r\n$1\r\nm\r\n")
    slow.begin("SPOP t 3")
    slow.reply(b"*0\r\n")
    assert world.copy.seen == [["XADD s 1-1 f v", "SREM u m"]]
    assert world.copy.keys == [b"s"]


def test_where_nobody_knows_what_was_done_an_entry_is_copied_and_no_member_is_taken() -> None:
    world = World()
    slow = Slow(world)
    slow.begin("SPOP t", "XADD s * f v")
    slow.begin("SPOP t")
    slow.pending.pop(0).fail(MeshError(Kind.TIMEOUT, "late"))
    slow.pending.pop(0).fail(MeshError(Kind.TIMEOUT, "late"))
    assert world.copy.seen == [["XADD s * f v"]]
    slow.begin("SPOP t")
    gone = slow.driver
    slow.begin("SET a 1")
    assert len(world.copy.seen) == 1
    gone.cancel(Cancelled(Kind.CLIENT_GONE))
    assert world.copy.seen[1:] == [["SET a 1"]]
    slow.pending.clear()
    slow.begin("SPOP t")
    slow.reply(b"-WRONGTYPE of another kind\r\n")
    assert world.copy.seen[2:] == [["SPOP t"]], "it is refused there, too"


def test_copies_that_wait_are_bounded() -> None:
    world = World(most=2)
    slow = Slow(world)
    for _ in range(3):
        slow.begin("XADD s * f v")
    assert world.calls("skipped_busy") == 1


def test_entries_are_compared_and_members_are_not() -> None:
    world = World(lambda call: RedisReply(b"$3\r\n7-0\r\n"), compare=True)
    slow = Slow(world)
    slow.begin("XADD s * f v")
    slow.reply(b"$3\r\n7-0\r\n")
    assert (world.compared("same"), world.compared("different")) == (1, 0)
    slow.begin("SPOP t")
    slow.reply(b"$1\r\nm\r\n")
    assert (world.compared("same"), world.compared("different")) == (1, 0)
    assert world.copy.seen[-1] == ["SREM t m"]

"""Copies of Redis commands: which, in which order, and what their replies are compared with."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from tests.filters.redis_calls import Echo, lines, several
from twisted_mesh.chain import Driver
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.filters.redis_mirror import AGAIN_AFTER, RedisMirror
from twisted_mesh.redis_call import Pending, RedisCall, RedisReply
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

"""Redis commands that are tried again: what may be done twice, and what a server says that it has not done."""

from __future__ import annotations

from typing import Any, Optional, Union

import pytest

from tests.upstream.fakes import FakeEnv
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver
from twisted_mesh.codec.commands import find
from twisted_mesh.codec.resp import pack
from twisted_mesh.codec.resp_reply import ReplyReader
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.filters.redis_retry import RedisRetry, redis_layers
from twisted_mesh.filters.retry import BackoffSettings, BudgetSettings, RetrySettings
from twisted_mesh.redis_call import RedisCall, RedisReply
from twisted_mesh.redis_pending import Pending

LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"
UNSENT = MeshError(Kind.CONNECT_FAILED, retryable=True)


def a_call(*commands: bytes, write: bool = False) -> RedisCall:
    name = commands[0].split()[0]
    row = find(name, None)
    assert row is not None
    found, data = [], b""
    for each in commands:
        words = each.split()
        packed = pack(words)
        found.append((words[0], words[1] if len(words) > 1 else None, len(words), len(data), len(data) + len(packed)))
        data += packed
    call = RedisCall("cache", row, found, data, data)
    call.count = len(commands)
    call.write = write
    return call


def reply_of(body: bytes) -> RedisReply:
    answers = ReplyReader(limit=len(body) + 1).feed(body)
    made = RedisReply(body, len(answers), errors=sum(kind in b"-!" for kind, _, _ in answers))
    made.found(answers, 0)
    return made


class World:
    """A chain of one retry before a server that the test plays."""

    def __init__(self, **settings: Any) -> None:
        self.env = FakeEnv()
        self.env.random.random = lambda: 0.5  # type: ignore[method-assign]
        self.tries: list[Pending] = []
        self.at_once: list[BaseException] = []
        env: Any = self.env
        settings.setdefault("backoff", BackoffSettings(0.1, 0.1))
        self.retry = RedisRetry(RetrySettings(**settings), env)
        self.outcome: Union[Reply, BaseException, None] = None

    def proceed(self, call: Call) -> Pending:
        call.attempts += 1
        endpoint: Any = f"endpoint {len(self.tries)}"
        call.endpoint = endpoint
        pending = Pending(call)  # type: ignore[arg-type]
        self.tries.append(pending)
        if self.at_once:
            raise self.at_once.pop(0)
        return pending

    def run(self, call: RedisCall) -> Any:
        """Run a call as the adapter does; returns what the chain has returned."""
        self.call = call
        try:
            awaitable: Any = self.retry(call, self.proceed)
        except MeshError as error:
            self.outcome = error
            return None
        if isinstance(awaitable, Pending):
            awaitable.resume = lambda: self._ended(awaitable.value, awaitable.error)
        else:
            driver = Driver(call, lambda call, reply, error: self._ended(reply, error))
            driver.follow(awaitable)
        return awaitable

    def _ended(self, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        assert self.outcome is None
        self.outcome = reply if error is None else error

    def advance(self) -> None:
        self.env.clock.advance(0.05)

    def count(self, name: str) -> float:
        return self.env.count(f"upstream_{name}_total", "redis", "-")


def test_a_reply_passes_and_nothing_is_a_coroutine() -> None:
    world, reply = World(), reply_of(b"$1\r\n1\r\n")
    assert world.run(a_call(b"GET a")) is world.tries[0]
    world.tries[0].fire(reply)
    assert world.outcome is reply


@pytest.mark.parametrize("how", ["at once", "later"])
def test_what_was_not_sent_is_tried_again_elsewhere(how: str) -> None:
    world, reply = World(), reply_of(b"+OK\r\n")
    if how == "at once":
        world.at_once = [UNSENT]
    world.run(a_call(b"SET a 1", write=True))
    if how == "later":
        world.tries[0].fail(UNSENT)
    assert len(world.tries) == 1
    world.advance()
    world.tries[1].fire(reply)
    assert world.outcome is reply
    assert world.call.tried == ("endpoint 0",)
    assert world.count("retries") == 1
    assert world.env.clock.getDelayedCalls() == []


@pytest.mark.parametrize(("retryable", "tries"), [(True, 3), (False, 1)])
def test_after_a_reset_only_what_says_that_it_may(retryable: bool, tries: int) -> None:
    world = World()
    world.run(a_call(b"GET a"))
    last = None
    while world.outcome is None:
        last = MeshError(Kind.RESET, retryable=retryable)
        world.tries[-1].fail(last)
        world.advance()
    assert world.outcome is last
    assert len(world.tries) == tries
    assert world.call.flags == (("UR", "URX") if tries > 1 else ())


def test_the_budget_bounds_what_is_added() -> None:
    world = World(budget=BudgetSettings(percent=0, least=0.1))
    for expected in (2, 1):
        world.tries.clear()
        world.outcome = None
        world.run(a_call(b"GET a"))
        world.tries[0].fail(MeshError(Kind.RESET, retryable=True))
        world.advance()
        assert len(world.tries) == expected
    assert world.count("retries_refused") == 1


def test_who_has_gone_is_not_tried_for_again() -> None:
    world = World()
    awaitable = world.run(a_call(b"GET a"))
    awaitable.resume = None
    world.tries[0].fail(UNSENT)
    world.advance()
    assert len(world.tries) == 1


@pytest.mark.parametrize(
    ("commands", "write", "body", "again"),
    [
        ((b"GET a",), False, LOADING, True),
        ((b"SET a 1",), True, LOADING, True),
        ((b"SET a 1",), True, b"!30\r\nLOADING it is loading its data\r\n", True),
        ((b"SET a 1",), True, b"-READONLY You can't write against a read only replica.\r\n", False),
        ((b"GET a",), False, b"-WRONGTYPE Operation against a key\r\n", False),
        ((b"GET a",), False, b"$8\r\n-LOADING\r\n", False),
        ((b"GET a", b"GET b"), False, b"$1\r\n1\r\n" + LOADING, True),
        ((b"SET a 1", b"SET b 1"), True, b"+OK\r\n" + LOADING, False),
        ((b"SET a 1", b"SET b 1"), True, LOADING * 2, True),
    ],
)
def test_what_a_server_has_not_done(commands: Any, write: bool, body: bytes, again: bool) -> None:
    """Its answer says so, and nothing is done twice by asking again: a write of several commands only if all say so."""
    world = World(when=("loading", "cluster_down"))
    world.run(a_call(*commands, write=write))
    first, second = reply_of(body), reply_of(b"+OK\r\n" * len(commands))
    world.tries[0].fire(first)
    if not again:
        assert world.outcome is first
        return
    assert world.outcome is None
    world.advance()
    world.tries[1].fire(second)
    assert world.outcome is second
    assert world.count("retries") == 1


def test_the_last_refusal_is_what_the_client_gets() -> None:
    world = World(when=("loading",), attempts=2)
    world.run(a_call(b"GET a"))
    world.tries[0].fire(reply_of(LOADING))
    world.advance()
    last = reply_of(LOADING)
    world.tries[1].fire(last)
    assert world.outcome is last
    assert world.call.flags == ("URX",)


def test_inside_of_a_session_nothing_is_asked_again() -> None:
    world, call = World(when=("loading",)), a_call(b"GET a")
    call.session = object()
    world.run(call)
    reply = reply_of(LOADING)
    world.tries[0].fire(reply)
    assert world.outcome is reply


def test_layers_for_the_time_of_a_try_and_for_hedges() -> None:
    env: Any = FakeEnv()

    def make(**more: Any) -> list[str]:
        return [type(each).__name__ for each in redis_layers(RetrySettings(**more), env)]

    assert make() == ["RedisRetry"]
    assert make(per_try_timeout=0.5) == ["RedisRetry", "PerTry"]

"""Some commands of a call go on, the others are refused."""

from __future__ import annotations

from typing import Any, Callable, Optional, Sequence

import pytest

from tests.filters.drive import Run
from tests.filters.redis_calls import Echo, lines, several
from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.filters.redis_part import proceed_beside, proceed_with
from twisted_mesh.redis_call import RedisCall, RedisReply
from twisted_mesh.redis_pending import PartOfReplies
from twisted_mesh.stream import ByteStream

REFUSAL = MeshError(Kind.RATE_LIMITED, "over the rate limit", origin=Origin.CLIENT)
NO = "-MESHLIMIT rate limited: over the rate limit"


class World:
    def __init__(self, *texts: str, fail: Optional[Callable[[RedisCall], Any]] = None) -> None:
        self.call = several(*texts)
        self.upstream = Echo(fail)

    def run(self, admitted: Sequence[bool]) -> Any:
        return self.begin(admitted).result

    def begin(self, admitted: Sequence[bool]) -> Run:
        def proceed(call: Call) -> Any:
            assert isinstance(call, RedisCall)
            return proceed_with(call, self.upstream, admitted, REFUSAL)

        async def whole(call: Call) -> Reply:
            reply: Reply = await proceed(call)
            return reply

        return Run(whole, self.call)


def test_all_or_none_are_the_call_as_it_is() -> None:
    world = World("GET a", "GET b")
    assert lines(world.run([True, True])) == ["+GET a", "+GET b"]
    assert world.run([False, False]) is REFUSAL
    assert world.upstream.seen == [["GET a", "GET b"]] and world.call.flags == ()


@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_is_refused_and_the_others_are_answered_in_order(at: int) -> None:
    world = World("GET a", "SET b 1", "GET c")
    reply = world.run([each != at for each in range(3)])
    expected = ["+GET a", "+SET b 1", "+GET c"]
    expected[at] = NO
    assert lines(reply) == expected
    assert (reply.count, reply.errors) == (3, 1)
    assert world.upstream.keys == [b"b" if at == 0 else b"a"]
    # The call is what it was: the log and the metrics see all of it.
    assert (world.call.count, world.call.key, world.call.operation, len(world.call.commands)) == (3, b"a", "GET", 3)
    assert world.call.data == world.call.body == several("GET a", "SET b 1", "GET c").data
    assert (world.call.flags, world.call.details) == (("RL",), "over the rate limit")


def test_what_fails_further_in_fails_those_that_went_on() -> None:
    error = MeshError(Kind.NO_ENDPOINT, "no endpoint", origin=Origin.UPSTREAM)
    world = World("GET a", "GET b", "GET c", fail=lambda call: error)
    reply = world.run([True, False, True])
    gone = "-MESHNOHOST no upstream host: no endpoint"
    assert lines(reply) == [gone, NO, gone]
    assert world.call.flags == ("UH", "RL") and world.call.count == 3


def test_replies_that_were_there_before_it_failed_are_kept() -> None:
    lost = MeshError(Kind.RESET, "lost", origin=Origin.UPSTREAM)
    world = World("GET a", "GET b", "GET c", fail=lambda call: PartOfReplies(lost, b"$1\r\nA\r\n", 1))
    reply = world.run([True, False, True])
    assert lines(reply) == ["$1", "A", NO, "-MESHFAILURE upstream failure: lost"]


def test_replies_that_come_as_a_stream_are_waited_for() -> None:
    stream = ByteStream()
    world = World("GET a", "GET b", fail=lambda call: RedisReply(stream, call.count))
    run = world.begin([False, True])
    stream.write(b"$3\r\nab")
    assert run.result is None
    stream.write(b"c\r\n")
    stream.end()
    assert lines(run.result) == [NO, "$3", "abc"]


def test_what_a_filter_breaks_is_not_hidden() -> None:
    world = World("GET a", "GET b", fail=lambda call: ZeroDivisionError())
    assert isinstance(world.run([False, True]), ZeroDivisionError)
    assert world.call.count == 2


@pytest.mark.parametrize(
    ("here", "seen", "local"),
    [
        ({}, 3, False),
        ({1: b"+here\r\n"}, 2, False),
        ({0: b"-no\r\n", 2: b"+here\r\n"}, 1, False),
        ({0: b"+0\r\n", 1: b"+1\r\n", 2: b"+2\r\n"}, 0, True),
    ],
)
def test_some_are_answered_here_and_the_others_sent_on(here: dict[int, bytes], seen: int, local: bool) -> None:
    upstream, call = Echo(), several("GET a", "GET b", "GET c")

    async def whole(call: Call) -> Reply:
        assert isinstance(call, RedisCall)
        return await proceed_beside(call, upstream, here)

    reply = Run(whole, call).result
    expected = [b"+GET a\r\n", b"+GET b\r\n", b"+GET c\r\n"]
    assert reply.body == b"".join(here.get(at, each) for at, each in enumerate(expected))
    assert sum(map(len, upstream.seen)) == seen
    assert (reply.local, reply.errors, call.flags) == (local, int(b"-no\r\n" in here.values()), ())

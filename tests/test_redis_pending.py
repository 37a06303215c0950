"""What waits for replies: it hears of them once, and of failures unless somebody takes care of them."""

from __future__ import annotations

from tests.filters.redis_calls import several
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.redis_call import RedisReply
from twisted_mesh.redis_pending import PartOfReplies, Pending, answered
from twisted_mesh.stream import ByteStream


def test_a_failure_can_be_taken_care_of_once() -> None:
    pending = Pending(several("GET a"))
    seen: list[BaseException] = []
    woken: list[bool] = []
    pending.resume = lambda: woken.append(True)
    pending.rescue = lambda which, error: bool(seen.append(error)) or True
    error = MeshError(Kind.RESET, "lost")
    pending.fail(error)
    assert seen == [error]
    assert not pending.done
    pending.fail(error)
    assert pending.done
    assert pending.error is error
    assert woken == [True]


def test_what_had_come_before_a_failure_is_told_with_it() -> None:
    cause = OSError("x")
    error = MeshError(Kind.RESET, "lost", retryable=True)
    error.__cause__ = cause
    part = PartOfReplies(error, b"+1\r\n", 1)
    assert (part.kind, part.detail, part.retryable, part.had, part.answered) == (Kind.RESET, "lost", True, b"+1\r\n", 1)
    assert part.__cause__ is cause


def test_a_reply_on_its_way_for_which_nobody_waits_any_more_waits_for_nobody() -> None:
    pending = Pending(several("GET a"))
    assert not pending.wanted
    pending.resume = lambda: None
    assert pending.wanted
    pending.forget()
    assert not pending.wanted
    stream = ByteStream()
    stream.write(b"$1000000\r\nab")
    pending.fire(RedisReply(stream))
    assert stream.cancelled
    # Who has only not come for it yet gets it.
    other, kept = Pending(several("GET a")), ByteStream()
    other.fire(RedisReply(kept))
    assert not kept.cancelled


def test_what_is_answered_here_is_no_servers_and_may_be_an_error() -> None:
    for reply, errors in ((b"+OK\r\n", 0), (b"-ERR no\r\n", 1)):
        value = answered(several("GET a"), reply).value
        assert (value.body, value.errors, value.local) == (reply, errors, True)

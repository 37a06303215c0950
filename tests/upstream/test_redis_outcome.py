"""The answers to the commands of one call, by themselves; errands that gather them are in test_redis_errand.py."""

from __future__ import annotations

import pytest

from tests.upstream.redis_told import LOST, OK
from twisted_mesh.codec.commands import Command, find
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.redis_call import RedisCall
from twisted_mesh.redis_pending import Pending
from twisted_mesh.upstream.redis_outcome import Outcome

SET: Command = find(b"SET")  # type: ignore[assignment]  # there is one


def a_call(count: int) -> RedisCall:
    call = RedisCall("cache", SET, (), b"", b"")
    call.count = count
    return call


def test_replies_are_one_in_the_order_of_the_commands() -> None:
    outcome = Outcome(a_call(3), 3)
    for place, reply in ((2, b"+c\r\n"), (0, b"+a\r\n"), (1, b"-ERR b\r\n")):
        outcome._end()
        assert not outcome.pending.done
        outcome._settle(place, reply)
    outcome._end()
    reply = outcome.pending.value
    assert (reply.body, reply.count, reply.errors) == (b"+a\r\n-ERR b\r\n+c\r\n", 3, 1)


def test_the_first_answer_of_a_command_is_the_one_that_counts() -> None:
    outcome = Outcome(a_call(1), 1)
    outcome._settle(0, OK)
    outcome._settle(0, LOST)
    outcome._end()
    assert outcome.pending.value.body == OK
    # Nothing comes behind the end.
    outcome._end()


def test_what_has_failed_has_an_error_in_its_place_and_the_call_says_why() -> None:
    call = a_call(2)
    outcome = Outcome(call, 2)
    outcome._settle(0, OK)
    outcome._cut([1], LOST)
    assert outcome.pending.value.body == OK + b"-MESHFAILURE upstream failure: it was lost\r\n"
    assert call.details == "it was lost"
    assert list(call.flags) == ["UR"]


def test_where_nothing_was_answered_the_call_fails() -> None:
    error = MeshError(Kind.RESET, "it was lost", origin=Origin.UPSTREAM, retryable=True)
    outcome = Outcome(a_call(2), 2)
    outcome._cut([0, 1], error)
    failed = outcome.pending.error
    assert isinstance(failed, MeshError)
    assert (failed.kind, failed.detail, failed.retryable) == (Kind.RESET, "it was lost", True)
    assert failed is not error, "who has each may add to it"


@pytest.mark.parametrize(("reply", "errors"), [(b":3\r\n", 0), (b"-ERR a\r\n", 1), (b"!5\r\nERR a\r\n", 1)])
def test_one_reply_may_be_made_of_all(reply: bytes, errors: int) -> None:
    outcome = Outcome(a_call(1), 2, lambda replies: reply if replies == [b":1\r\n", b":2\r\n"] else b"")
    outcome._settle(0, b":1\r\n")
    outcome._settle(1, b":2\r\n")
    outcome._end()
    assert (outcome.pending.value.body, outcome.pending.value.errors) == (reply, errors)


def test_who_waits_already_is_what_fires() -> None:
    call = a_call(1)
    waiter = call.waiter = Pending(call)
    assert Outcome(call, 1).pending is waiter
    assert call.waiter is None

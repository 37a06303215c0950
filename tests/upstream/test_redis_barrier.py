"""Commands keep their order when another server takes them."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from tests.upstream.redis_told import RedisWorld, Sent, body, slots_reply
from twisted_mesh.codec.slots import slot
from twisted_mesh.redis_pending import Pending
from twisted_mesh.upstream.redis_pool import RedisPool


def test_what_is_sent_again_is_not_overtaken(slots: RedisWorld) -> None:
    """`SET a 3` comes after the slot has moved, but `SET a 2` has not come back from its old server yet."""

    marks: list[object] = []

    slots.call("SET a 1")
    slots.call("SET a 2")
    first, second = slots.take()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("twisted_mesh.upstream.redis_barrier.Barrier.wait_for", _waits_for(marks))
        first.reply(b"-MOVED %d 10.0.0.2:6379\r\n" % slot(b"a"))
    slots.call("SET a 3")
    assert slots.texts() == [(2, "SET a 1")]
    second.reply(b"-MOVED %d 10.0.0.2:6379\r\n" % slot(b"a"))
    marks[0]()  # type: ignore[operator]
    assert slots.texts() == [(2, "SET a 1"), (2, "SET a 2"), (2, "SET a 3")]


def _waits_for(marks: list[object]) -> object:
    def wait_for(self: object, endpoint: object, passed: object) -> None:
        self.left += 1  # type: ignore[attr-defined]
        marks.append(passed)

    return wait_for


def test_a_server_that_does_not_answer_holds_others_up_for_a_moment_only(slots: RedisWorld) -> None:
    slots.call("SET a 1")
    (sent,) = slots.take()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("twisted_mesh.upstream.redis_barrier.Barrier.wait_for", _waits_for([]))
        sent.reply(b"-MOVED %d 10.0.0.2:6379\r\n" % slot(b"a"))
    slots.take()
    slots.call("SET a 2")
    assert slots.sent == []
    slots.env.clock.advance(2)
    assert slots.texts() == [(2, "SET a 2")]


def _moved_while_the_old_server_says_nothing(slots: RedisWorld) -> tuple[Pending, Sent]:
    """`SET a 1` is on its way to server 1, which hangs; another command has been told that the slot is at server 2."""
    late = slots.call("SET a 1")
    (sent,) = slots.take()
    slots.call("GET a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("twisted_mesh.upstream.redis_barrier.Barrier.wait_for", _waits_for([]))
        slots.take()[0].reply(b"-MOVED %d 10.0.0.2:6379\r\n" % slot(b"a"))
    slots.take()
    slots.call("SET a 2")
    assert slots.sent == []
    slots.env.clock.advance(2)
    assert slots.texts() == [(2, "SET a 2")]
    slots.take()
    return late, sent


def test_what_was_passed_by_is_not_sent_behind_what_came_later(slots: RedisWorld) -> None:
    """`SET a 2` has gone to the new server as the old one did not answer; then it does."""
    late, sent = _moved_while_the_old_server_says_nothing(slots)
    sent.reply(b"-MOVED %d 10.0.0.2:6379\r\n" % slot(b"a"))
    assert slots.take() == []
    assert body(late) == b"-TRYAGAIN the key has moved to another server; try again\r\n"
    # What is sent afterwards follows as ever.
    slots.env.clock.advance(1)
    pending = slots.call("SET a 3")
    slots.take()[0].reply(b"-MOVED %d 10.0.0.1:6379\r\n" % slot(b"a"))
    assert slots.texts() == [(1, "SET a 3")]
    assert not pending.done


@pytest.mark.parametrize(("primary", "ended"), [(1, False), (2, True)])
def test_a_server_that_was_replaced_and_does_not_answer_is_given_up(
    slots: RedisWorld, primary: int, ended: bool
) -> None:
    """One that still has slots only has one less, and may be busy."""
    old = slots.cluster.endpoints[0]
    pool = old.pools["redis"] = Mock(spec=RedisPool, mark=lambda passed: 1)
    slots.env.clock.advance(6)
    slots.tell(slots_reply((0, 100, primary), (101, 16383, 2)))
    slots.env.clock.advance(2)
    assert pool.abort.called is ended

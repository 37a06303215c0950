"""Commands keep their order when another server takes them."""

from __future__ import annotations

import pytest

from tests.upstream.redis_told import RedisWorld
from twisted_mesh.codec.slots import slot


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

"""Ordinary commands by themselves: when they become calls, and what is counted for those that never do.

What becomes of them in conversations is in test_redis_shortcut.py, and of those in parts in test_redis_several.py.
"""

from __future__ import annotations

import pytest

from tests.adapters.test_redis_shortcut import GET, SET, World
from twisted_mesh.adapters.redis_ordinary import Ordinary, RowTally


def sent(world: World) -> Ordinary:
    exchange = world.client.queue[-1]
    assert isinstance(exchange, Ordinary)
    return exchange


def test_the_call_is_made_once_and_no_reply_is_tallied_from_then_on() -> None:
    world = World(True)
    world.ask(SET)
    exchange = sent(world)
    tally = exchange.tally
    assert tally is not None
    call = exchange.call
    assert exchange.call is call
    assert exchange.tally is None
    assert (call.command.name, call.key, call.write, call.body) == ("SET", b"k", True, SET)
    assert call.connected == exchange.began
    world.reply(b"+OK\r\n")
    assert tally.count == 0
    assert call.completed


def test_replies_of_one_read_are_counted_together() -> None:
    world = World(True)
    world.ask(GET, GET)
    tally = sent(world).tally
    assert isinstance(tally, RowTally)
    calls, times = tally.row.calls.value, sum(tally.row.seconds.counts)
    world.reply(b"$1\r\na\r\n$2\r\nbb\r\n")
    assert (tally.count, tally.received, tally.sent, tally.seconds, set(tally.counts)) == (0, 0, 0, 0.0, {0})
    assert sum(tally.row.seconds.counts) == times + 2
    assert tally.row.calls.value == calls


@pytest.mark.parametrize(("in_parts", "tries"), [(False, 1), (True, 0)])
def test_what_goes_out_in_parts_is_no_try_itself(in_parts: bool, tries: int) -> None:
    world = World(True)
    shortcut = world.adapter.shortcut
    assert shortcut is not None
    row = world.adapter.rows.find(b"MGET")
    assert row is not None
    tally = RowTally(shortcut, row, in_parts)

    def upstream() -> float:
        (line,) = [each for each in world.counted if each.startswith("twisted_mesh_upstream_calls_total{")]
        return float(line.rsplit(" ", 1)[1])

    before = upstream()
    tally.count, tally.counts[0] = 1, 1
    tally.settle()
    assert upstream() - before == tries
    assert sum(row.seconds.counts) == 1

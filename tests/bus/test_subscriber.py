"""Messages from a real server, and what becomes of them when it is away."""

from __future__ import annotations

import time
from typing import Any, Callable

import pytest
from twisted.internet.defer import CancelledError, gatherResults

from tests.servers import Live, Server
from twisted_mesh.bus.client import BusError, Subscriber
from twisted_mesh.metrics import Registry

MakeServer = Callable[..., Server]
MakeSubscriber = Callable[..., Subscriber]


def subscribed(live: Live, one: Subscriber, *channels: str) -> list[tuple[str, bytes]]:
    """Subscribe to channels; returns the list that messages are added to."""
    got: list[tuple[str, bytes]] = []

    def begin() -> Any:
        return gatherResults(
            [one.subscribe(each, lambda payload, each=each: got.append((each, payload))) for each in channels]  # type: ignore[misc]
        )

    live.run(begin)
    return got


def test_messages_come_from_the_acknowledgement_on(
    live: Live, redis_server: Server, subscriber: MakeSubscriber, metrics: Registry
) -> None:
    one = subscriber(redis_server.url)
    got = subscribed(live, one, "a", "b", "ü")
    assert [redis_server("PUBLISH", each, b"1\xff") for each in ("a", "b", "ü", "c")] == [1, 1, 1, 0]
    live.until(lambda: len(got) == 3)
    assert got == [("a", b"1\xff"), ("b", b"1\xff"), ("ü", b"1\xff")]
    assert "3 of 3 channels" in repr(one)
    assert 'twisted_mesh_bus_messages_total{link="messages"} 3' in metrics.expose().decode()
    assert 'twisted_mesh_bus_connected{link="messages"} 1' in metrics.expose().decode()


def test_a_channel_may_be_left_and_taken_again(live: Live, redis_server: Server, subscriber: MakeSubscriber) -> None:
    one = subscriber(redis_server.url)
    got = subscribed(live, one, "a", "b")
    with pytest.raises(ValueError, match="subscribed already"):
        live.run(lambda: one.subscribe("a", got.append))
    live.run(lambda: one.unsubscribe("a"))
    live.run(lambda: one.unsubscribe("a"))
    live.until(lambda: redis_server("PUBSUB", "CHANNELS") == [b"b"])
    again = subscribed(live, one, "a")
    redis_server("PUBLISH", "a", "x")
    live.until(lambda: again == [("a", b"x")])
    assert got == []


def test_what_is_wanted_and_not_wanted_in_one_breath(
    live: Live, redis_server: Server, subscriber: MakeSubscriber
) -> None:
    one = subscriber(redis_server.url)

    def both() -> Any:
        first = one.subscribe("a", lambda payload: None)
        one.unsubscribe("a")
        second = one.subscribe("a", lambda payload: None)
        return [first.addErrback(lambda failure: failure.type), second]

    first, second = live.run(both)
    live.until(lambda: second.called)
    assert first.result is CancelledError
    assert redis_server("PUBSUB", "CHANNELS") == [b"a"]
    live.run(lambda: [one.subscribe(f"n{each}", lambda payload: None) and None for each in range(50)])
    live.run(lambda: [one.unsubscribe(f"n{each}") for each in range(0, 50, 2)])
    live.until(lambda: len(redis_server("PUBSUB", "CHANNELS")) == 26)


def test_a_channel_that_is_left_and_taken_again_before_the_server_hears_of_it(
    live: Live, redis_server: Server, subscriber: MakeSubscriber
) -> None:
    one = subscriber(redis_server.url)
    subscribed(live, one, "a")
    got: list[bytes] = []

    def breath() -> Any:
        other = one.subscribe("b", lambda payload: None)
        one.unsubscribe("a")
        return gatherResults([other, one.subscribe("a", got.append)])

    live.run(breath)
    redis_server("PUBLISH", "a", "x")
    live.until(lambda: got == [b"x"])


def test_many_channels_take_no_time_to_speak_of(live: Live, redis_server: Server, subscriber: MakeSubscriber) -> None:
    one = subscriber(redis_server.url)
    names = [f"c{each}" for each in range(3000)]
    subscribed(live, one, *names)
    redis_server.restart()
    live.until(lambda: one.connected)
    assert len(redis_server("PUBSUB", "CHANNELS")) == 3000


def test_all_channels_are_there_before_it_is_said_that_it_is_up(
    live: Live, redis_server: Server, subscriber: MakeSubscriber, metrics: Registry
) -> None:
    """What is published from that moment on comes, at the start and after each restart."""
    one = subscriber(redis_server.url)
    channels = [f"c{each}" for each in range(20)]
    got = subscribed(live, one, *channels)
    seen: list[Any] = []
    one.on_up.append(lambda: seen.append(sorted(redis_server("PUBSUB", "CHANNELS"))))
    one.on_down.append(lambda: seen.append("down"))
    for _ in range(2):
        redis_server.restart()
        live.until(lambda: one.connected)
        redis_server("PUBLISH", "c19", "x")
        live.until(lambda: got[-1:] == [("c19", b"x")])
        got.clear()
    assert seen == ["down", sorted(each.encode() for each in channels)] * 2
    assert 'twisted_mesh_bus_connects_total{link="messages"} 3' in metrics.expose().decode()


def test_a_channel_that_is_wanted_while_it_is_down_is_acknowledged_later(
    live: Live, redis_server: Server, subscriber: MakeSubscriber
) -> None:
    one = subscriber(redis_server.url)
    redis_server.kill()
    live.until(lambda: not one.connected)
    got: list[bytes] = []
    waiting = live.run(lambda: [one.subscribe("a", got.append), one.subscribe("b", got.append)])
    live.run(lambda: one.unsubscribe("b"))
    waiting[1].addErrback(lambda failure: failure.trap(CancelledError) and None)
    assert not waiting[0].called
    redis_server.start()
    live.until(lambda: waiting[0].called)
    redis_server("PUBLISH", "a", "x")
    live.until(lambda: got == [b"x"])


def test_a_server_that_hangs_is_noticed(
    live: Live, redis_server: Server, subscriber: MakeSubscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twisted_mesh.bus.upkeep.PING_EVERY", 0.05)
    one = subscriber(redis_server.url, timeout=0.2)
    got = subscribed(live, one, "a")
    redis_server.pause()
    live.until(lambda: not one.connected)
    last = one.last_message
    redis_server.resume()
    live.until(lambda: one.connected)
    live.until(lambda: one.last_message > last)
    redis_server("PUBLISH", "a", "x")
    live.until(lambda: got == [("a", b"x")])


def test_what_comes_before_a_slow_message_is_not_lost_with_it(
    live: Live, redis_server: Server, subscriber: MakeSubscriber
) -> None:
    """Whoever takes a message and fails does not harm the others."""
    one = subscriber(redis_server.url)
    got: list[bytes] = []
    live.run(lambda: one.subscribe("broken", lambda payload: 1 / 0))  # type: ignore[arg-type,return-value]
    live.run(lambda: one.subscribe("sound", got.append))
    for each in range(3):
        redis_server("PUBLISH", "broken", each)
        redis_server("PUBLISH", "sound", each)
    live.until(lambda: got == [b"0", b"1", b"2"])
    assert one.connected


def test_a_channel_that_is_not_allowed(live: Live, redis_server: Server, subscriber: MakeSubscriber) -> None:
    """A new one is refused; an old one that is forbidden later leaves the others in place, and comes back."""
    redis_server("ACL", "SETUSER", "mesh", "on", ">pw", "~*", "&a", "&b", "+@all")
    one = subscriber(f"redis://mesh:pw@{redis_server.address}")
    got = subscribed(live, one, "a", "b")
    with pytest.raises(BusError, match="NOPERM"):
        live.run(lambda: one.subscribe("c", lambda payload: None))
    redis_server("ACL", "SETUSER", "mesh", "resetchannels", "&a")
    live.until(lambda: one.connected and one.trouble != "")
    assert one.trouble == f"redis {redis_server.address} refuses the channel b"
    redis_server("PUBLISH", "a", "x")
    live.until(lambda: got == [("a", b"x")])
    redis_server("ACL", "SETUSER", "mesh", "&b")
    redis_server("CLIENT", "KILL", "TYPE", "pubsub")
    live.until(lambda: one.connected and one.trouble == "")
    redis_server("PUBLISH", "b", "y")
    live.until(lambda: got[-1] == ("b", b"y"))


def test_its_age_is_shown(live: Live, redis_server: Server, subscriber: MakeSubscriber, metrics: Registry) -> None:
    one = subscriber(redis_server.url)
    subscribed(live, one, "a")
    live.run(lambda: setattr(one, "last_message", time.monotonic() - 100))
    lines = dict(each.rsplit(" ", 1) for each in metrics.expose().decode().splitlines() if not each.startswith("#"))
    assert 99 < float(lines["twisted_mesh_bus_last_message_age_seconds"]) < 200


def test_after_its_end_nothing_is_left(live: Live, redis_server: Server, subscriber: MakeSubscriber) -> None:
    before = len(live.run(live.reactor.getDelayedCalls))
    one = subscriber(redis_server.url)
    got = subscribed(live, one, "a")
    redis_server.pause()
    waiting = live.run(lambda: [one.subscribe("b", lambda payload: None).addErrback(lambda failure: failure.value)])
    live.run(one.stop)
    redis_server.resume()
    assert (waiting[0].result.kind, one.trouble, one.connected) == ("down", "stopped", False)
    live.until(lambda: redis_server("PUBSUB", "CHANNELS") == [])
    redis_server("PUBLISH", "a", "x")
    assert got == []
    assert len(live.run(live.reactor.getDelayedCalls)) == before

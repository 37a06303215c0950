"""Two joined sockets, moved by hand: what one turn passes on, what is held, and how a pair breaks."""

from __future__ import annotations

import select
import socket
import time
from typing import Any, Callable, Iterator

import pytest

from tests.net.support import reset, tcp_pair
from tests.support import PATIENCE
from twisted_mesh.net import pair as module
from twisted_mesh.net.pair import CLIENT_RESET, COPY, STOPPED, UPSTREAM_RESET, Broken, Pair, Way
from twisted_mesh.net.pipes import Pipes


class FakeRelay:
    """What a pair needs of its relay: a buffer, pipes and the time."""

    def __init__(self, limit: int) -> None:
        self.buffer = memoryview(bytearray(COPY))
        self.pipes = Pipes(limit)
        self.now = 7.0
        self.ended: list[tuple[str, bool]] = []

    def end(self, pair: Pair, how: str, reset: bool) -> None:
        self.ended.append((how, reset))


class Joined:
    """A client and a server with a pair in between."""

    def __init__(self, limit: int = 1, first: bytes = b"") -> None:
        self.relay: Any = FakeRelay(limit)
        self.client, self.inner = tcp_pair()
        self.outer, self.server = tcp_pair()
        self.client.settimeout(PATIENCE)
        self.server.settimeout(PATIENCE)
        self.pair = Pair(self.relay, self.inner, self.outer, lambda pair: None, first)

    def move(self, way: Way) -> bool:
        return way.move(self.relay)

    def move_until(self, way: Way, done: Callable[[], bool]) -> None:
        """Move as often as it takes: what the peer has sent may be on its way still."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline
            readable(way.reader)
            self.move(way)

    def close(self) -> None:
        for each in (self.client, self.inner, self.outer, self.server):
            each.close()
        self.relay.pipes.close()


@pytest.fixture(params=[1, 0], ids=["with a pipe", "copying"])
def both(request: pytest.FixtureRequest) -> Iterator[Joined]:
    made = Joined(request.param)
    yield made
    made.close()


def readable(sock: socket.socket) -> None:
    """Wait until there is something to read: bytes, a FIN or a RST."""
    assert select.select([sock], [], [], PATIENCE)[0]


def receive(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return data


def test_what_comes_is_passed_on_and_counted(both: Joined) -> None:
    both.client.sendall(b"ping")
    both.move_until(both.pair.inward, lambda: both.pair.inward.count == 4)
    assert receive(both.server, 4) == b"ping"
    both.server.sendall(b"pong!")
    both.move_until(both.pair.outward, lambda: both.pair.outward.count == 5)
    assert receive(both.client, 5) == b"pong!"
    assert (both.pair.bytes_in, both.pair.bytes_out, both.pair.last_activity) == (4, 5, 7.0)
    assert repr(both.pair) == "<Pair open in=4 out=5>"
    assert not both.pair.inward.waiting and not both.pair.outward.waiting


def test_what_was_read_before_goes_first() -> None:
    both = Joined(first=b"early ")
    assert both.pair.inward.waiting
    both.client.sendall(b"and late")
    both.move_until(both.pair.inward, lambda: both.pair.inward.count == 14)
    assert receive(both.server, 14) == b"early and late"
    both.close()


def test_a_fin_is_passed_on_once(both: Joined) -> None:
    both.client.sendall(b"all")
    both.client.shutdown(socket.SHUT_WR)
    way = both.pair.inward
    both.move_until(way, lambda: way.ended)
    assert (way.eof, way.ended, way.waiting) == (True, True, False)
    assert receive(both.server, 3) == b"all" and both.server.recv(1) == b""
    assert both.move(way) is False


def test_what_a_slow_peer_does_not_take_is_held(both: Joined) -> None:
    way, sent = both.pair.inward, 0
    both.client.setblocking(False)
    for _ in range(10_000):
        try:
            sent += both.client.send(bytes(256 * 1024))
        except BlockingIOError:
            before = way.count
            both.move(way)
            if way.waiting and way.count == before:
                break
    assert way.waiting
    both.client.settimeout(PATIENCE)
    both.client.shutdown(socket.SHUT_WR)
    got, deadline = 0, time.monotonic() + PATIENCE
    while got < sent:
        assert time.monotonic() < deadline
        if select.select([both.server], [], [], 0.01)[0]:
            got += len(both.server.recv(1 << 20))
        both.move(way)
    assert got == way.count == sent


def test_a_turn_ends_although_there_is_more(both: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN", 1024)
    both.client.sendall(bytes(64 * 1024))
    readable(both.inner)
    assert both.move(both.pair.inward) is True
    assert 0 < both.pair.bytes_in < 64 * 1024


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reset_names_the_side_that_broke(both: Joined, who: str) -> None:
    way = both.pair.inward if who == "client" else both.pair.outward
    reset(both.client if who == "client" else both.server)
    readable(way.reader)
    with pytest.raises(Broken) as broken:
        both.move(way)
    assert str(broken.value) == (CLIENT_RESET if who == "client" else UPSTREAM_RESET)


def test_nobody_to_write_to_breaks_the_other_side(both: Joined) -> None:
    reset(both.server)
    both.client.sendall(b"x")
    for each in (both.outer, both.inner):
        readable(each)
    with pytest.raises(Broken) as broken:
        both.move(both.pair.inward)
    assert str(broken.value) == UPSTREAM_RESET


def test_what_is_held_is_dropped_at_the_end(both: Joined) -> None:
    pair = both.pair
    inward, outward = pair.inward, pair.outward
    inward.release(both.relay.pipes)
    outward.release(both.relay.pipes)
    assert inward.over and outward.over and not inward.waiting
    # Nothing refers back: the pair is freed without the garbage collector.
    assert not hasattr(inward, "pair") and not hasattr(inward, "back")


def test_stopping_is_the_relays_to_do(both: Joined) -> None:
    both.pair.stop()
    both.pair.stop(reset=False)
    assert both.relay.ended == [(STOPPED, True), (STOPPED, False)]


def test_what_the_kernel_still_holds_can_be_asked(both: Joined) -> None:
    assert both.pair.untaken == (0, 0)

"""Sockets joined by the kernel."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import socket
from typing import Any

import pytest

from tests.net.conftest import Run
from tests.net.support import read, read_to_end, reset, tcp_pair, turns, until
from twisted_mesh.net import pair as pairs
from twisted_mesh.net import relay as module
from twisted_mesh.net.pair import CLIENT_RESET, CLOSED, FAILED, STOPPED, UPSTREAM_RESET, Pair
from twisted_mesh.net.pipes import Pipes
from twisted_mesh.net.relay import Relay

pytestmark = pytest.mark.skipif(not module.AVAILABLE, reason="the relay needs epoll")

MEGABYTE = 1024 * 1024


class Joined:
    """A client and a server, joined by a relay in between."""

    def __init__(self, relay: Relay, first: bytes = b"", family: int = socket.AF_INET) -> None:
        def two() -> tuple[socket.socket, socket.socket]:
            if family != socket.AF_UNIX:
                return tcp_pair(family)
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            theirs.setblocking(False)
            return ours, theirs

        self.client, inner = two()
        outer, self.server = two()
        self.ends: list[Pair] = []
        self.pair = relay.join(inner, outer, self.ends.append, first)

    def close(self) -> None:
        """Close what a test leaves open."""
        self.client.close()
        self.server.close()


class Relays:
    """A relay with a clock and a pool of its own."""

    def __init__(self, limit: int = 8) -> None:
        self.time = 100.0
        self.pipes = Pipes(limit)
        self.relay = Relay(asyncio.get_running_loop(), lambda: self.time, self.pipes)

    def join(self, first: bytes = b"", family: int = socket.AF_INET) -> Joined:
        """Join a new client with a new server."""
        return Joined(self.relay, first, family)

    def end(self) -> None:
        """Nothing may be left."""
        assert self.relay._ways == {} and self.relay._watched == {}
        assert len(self.pipes.idle) == self.pipes.made
        self.relay.close()
        self.pipes.close()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_both_ways(run: Run, family: int) -> None:
    """Bytes, then FINs, go both ways; then both sockets are closed and the end is told once."""

    async def go() -> None:
        one = Relays()
        both = one.join(family=family)
        both.client.send(b"ping")
        assert await read(both.server, 4) == b"ping"
        one.time = 105.0
        both.server.send(b"pong!")
        assert await read(both.client, 5) == b"pong!"
        assert both.pair.last_activity == 105.0
        assert repr(both.pair) == "<Pair open in=4 out=5>"
        both.client.shutdown(socket.SHUT_WR)
        assert await read_to_end(both.server) == b""
        assert both.ends == []
        both.server.send(b"bye")
        both.server.close()
        assert await read_to_end(both.client) == b"bye"
        await until(lambda: both.ends)
        assert both.ends == [both.pair]
        assert (both.pair.how, both.pair.bytes_in, both.pair.bytes_out) == (CLOSED, 4, 8)
        both.close()
        one.end()

    run(go())


async def push(sock: socket.socket, data: bytes, seed: int) -> None:
    """Send in pieces of random sizes, then half-close."""
    dice = random.Random(seed)
    loop = asyncio.get_running_loop()
    view, at = memoryview(data), 0
    while at < len(data):
        size = dice.choice([1, 10, 1000, 16 * 1024, 16 * 1024 + 1, 100_000, 1_000_000])
        await loop.sock_sendall(sock, view[at : at + size])
        at += size
        if dice.random() < 0.05:
            await asyncio.sleep(0.001)
    sock.shutdown(socket.SHUT_WR)


async def pull(sock: socket.socket, seed: int) -> bytes:
    """Read to the end, sometimes slowly."""
    dice = random.Random(seed)
    loop = asyncio.get_running_loop()
    data = bytearray()
    while piece := await loop.sock_recv(sock, dice.choice([10_000, 65_536, 500_000])):
        data += piece
        if dice.random() < 0.05:
            await asyncio.sleep(0.002)
    return bytes(data)


@pytest.mark.parametrize("limit", [8, 1, 0])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_every_byte_arrives(run: Run, limit: int, family: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the pieces, the readers and the number of pipes, both directions arrive whole and in order."""
    monkeypatch.setattr(pairs, "TURN", 128 * 1024)
    monkeypatch.setattr(module, "WAKE", 256 * 1024)

    async def go() -> None:
        one = Relays(limit)
        data = [random.Random(each).randbytes(8 * MEGABYTE) for each in range(4)]
        links = [one.join(family=family) for _ in range(2)]
        got = await asyncio.gather(
            push(links[0].client, data[0], 1),
            pull(links[0].server, 2),
            push(links[0].server, data[1], 3),
            pull(links[0].client, 4),
            push(links[1].client, data[2], 5),
            pull(links[1].server, 6),
            push(links[1].server, data[3], 7),
            pull(links[1].client, 8),
        )
        for sent, received in zip(data, [got[1], got[3], got[5], got[7]], strict=True):
            assert received == sent
        for link in links:
            await until(lambda link=link: link.ends)
            assert (link.pair.how, link.pair.bytes_in, link.pair.bytes_out) == (CLOSED, 8 * MEGABYTE, 8 * MEGABYTE)
            link.close()
        assert (one.pipes.refused > 0) == (limit < 2)
        one.end()

    run(go())


def test_first(run: Run) -> None:
    """Bytes that were read before the sockets were joined go out first."""

    async def go() -> None:
        one = Relays()
        both = one.join(first=b"early ")
        both.client.send(b"and late")
        assert await read(both.server, 14) == b"early and late"
        assert both.pair.bytes_in == 14
        both.pair.stop()
        both.close()
        one.end()

    run(go())


@pytest.mark.parametrize("size", [0, 100, 300_000])
@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reset_is_passed_on(run: Run, who: str, size: int) -> None:
    """A RST comes out as a RST on the other side, behind the bytes that came before it."""

    async def go() -> None:
        one = Relays()
        both = one.join()
        breaks, other = (both.client, both.server) if who == "client" else (both.server, both.client)
        await asyncio.get_running_loop().sock_sendall(breaks, bytes(size))
        assert len(await read(other, size)) == size
        reset(breaks)
        with pytest.raises(ConnectionResetError):
            await read_to_end(other)
        await until(lambda: both.ends)
        assert both.pair.how == (CLIENT_RESET if who == "client" else UPSTREAM_RESET)
        assert both.ends == [both.pair]
        both.close()
        one.end()

    run(go())


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reset_is_seen_while_nothing_is_read(run: Run, who: str) -> None:
    """A RST shows although its sender is not being read, as the other side takes nothing."""

    async def go() -> None:
        one = Relays()
        both = one.join()
        breaks, other = (both.client, both.server) if who == "client" else (both.server, both.client)
        way = both.pair.inward if who == "client" else both.pair.outward
        moved = -1
        while moved != way.count:
            # Until the other side's buffers are full.
            moved = way.count
            try:
                while True:
                    breaks.send(bytes(MEGABYTE))
            except BlockingIOError:
                await turns()
        assert way.waiting and one.pipes.made == 1
        reset(breaks)
        await until(lambda: both.ends)
        assert both.pair.how == (CLIENT_RESET if who == "client" else UPSTREAM_RESET)
        with pytest.raises(ConnectionResetError):
            await read_to_end(other)
        # A pipe that held bytes is gone.
        assert one.pipes.made == 0
        both.close()
        one.end()

    run(go())


def test_a_reset_after_half_close(run: Run) -> None:
    """A client that has half-closed and then resets takes the answer with it."""

    async def go() -> None:
        one = Relays()
        both = one.join()
        both.client.send(b"request")
        both.client.shutdown(socket.SHUT_WR)
        assert await read_to_end(both.server) == b"request"
        reset(both.client)
        await until(lambda: both.ends)
        # A socket that had its FIN reports a RST as a broken pipe.
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            both.server.send(b"answer")
        assert both.pair.how == CLIENT_RESET
        both.close()
        one.end()

    run(go())


def test_closed_without_reading(run: Run) -> None:
    """A server that closes with bytes unread resets, after its last answer: both arrive."""

    async def go() -> None:
        one = Relays()
        both = one.join()
        both.client.send(b"much more than the server reads")
        assert await read(both.server, 4) == b"much"
        both.server.send(b"no")
        await until(lambda: both.pair.bytes_out == 2)
        both.server.close()
        assert await read(both.client, 2) == b"no"
        with pytest.raises(ConnectionResetError):
            await read_to_end(both.client)
        await until(lambda: both.ends)
        assert both.pair.how == UPSTREAM_RESET
        both.close()
        one.end()

    run(go())


def test_unix_closed_with_bytes_behind(run: Run) -> None:
    """A unix peer that sends and closes at once has its bytes delivered, although the kernel reports a hang-up."""

    async def go() -> None:
        one = Relays()
        ours, theirs = socket.socketpair()
        ours.send(b"x" * 50_000)
        ours.close()
        theirs.setblocking(False)
        outer, server = tcp_pair()
        ends: list[Pair] = []
        one.relay.join(theirs, outer, ends.append)
        assert await read_to_end(server) == b"x" * 50_000
        server.close()
        await until(lambda: ends)
        one.end()

    run(go())


@pytest.mark.parametrize("hold", [False, True])
def test_stop(run: Run, hold: bool) -> None:
    """stop() makes both peers see a RST; stop(reset=False) a FIN, unless something is left that one did not take."""

    async def go() -> None:
        one = Relays()
        both = one.join()
        both.pair.stop()
        both.pair.stop()
        assert both.ends == [both.pair] and both.pair.how == STOPPED
        for each in (both.client, both.server):
            with pytest.raises(ConnectionResetError):
                await read_to_end(each)
        both.close()
        both = one.join()
        if hold:
            while not both.pair.inward.waiting:
                try:
                    both.client.send(bytes(MEGABYTE))
                except BlockingIOError:
                    await turns()
        else:
            both.client.send(b"all")
            assert await read(both.server, 3) == b"all"
        both.pair.stop(reset=False)
        for each in (both.client, both.server):
            if hold:
                with pytest.raises(ConnectionResetError):
                    await read_to_end(each)
            else:
                assert await read_to_end(each) == b""
        both.close()
        one.end()

    run(go())


def test_the_end_may_fail_to_be_told(run: Run) -> None:
    """What `done` raises is logged, and the other connections go on."""

    async def go() -> None:
        one = Relays()

        def fail(pair: Pair) -> None:
            raise ValueError("no")

        both = one.join()
        both.pair.done = fail
        other = one.join()
        reset(both.client)
        other.client.send(b"on")
        assert await read(other.server, 2) == b"on"
        await until(lambda: both.pair.how)
        other.pair.stop()
        both.close()
        other.close()
        one.end()

    run(go())


def test_turns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bulk transfers take turns with each other and with the rest of the loop."""
    monkeypatch.setattr(pairs, "TURN", 64 * 1024)
    monkeypatch.setattr(module, "WAKE", 128 * 1024)

    async def go() -> None:
        one = Relays()
        links = [one.join() for _ in range(4)]
        for link in links:
            try:
                while True:
                    link.client.send(bytes(MEGABYTE))
            except BlockingIOError:
                pass
        one.relay._wake()
        moved = [link.pair.bytes_in for link in links]
        # Two had a turn, and the rest waits for the loop's next one.
        assert sum(1 for each in moved if each) == 2 and max(moved) < MEGABYTE
        assert one.relay._scheduled
        await until(lambda: all(link.pair.bytes_in >= MEGABYTE for link in links))
        for link in links:
            link.pair.stop()
            link.close()
        await turns()
        one.end()

    run(go())


def test_watch(run: Run) -> None:
    """A reset of a watched socket is told once, without reading it; bytes and FINs are not, and stay."""

    async def go() -> None:
        one = Relays()
        gone: list[str] = []
        client, ours = tcp_pair()
        one.relay.watch(ours, lambda: gone.append("reset"))
        client.send(b"early")
        client.shutdown(socket.SHUT_WR)
        await turns()
        assert gone == []
        outer, server = tcp_pair()
        ends: list[Pair] = []
        one.relay.join(ours, outer, ends.append)
        assert await read_to_end(server) == b"early"
        server.close()
        await until(lambda: ends)
        client.close()

        client, ours = tcp_pair()
        one.relay.watch(ours, lambda: gone.append("reset"))
        reset(client)
        await until(lambda: gone)
        await turns()
        assert gone == ["reset"]
        ours.close()

        client, ours = tcp_pair()
        one.relay.watch(ours, lambda: gone.append("again"))
        one.relay.unwatch(ours)
        one.relay.unwatch(ours)
        reset(client)
        await turns()
        assert gone == ["reset"]
        ours.close()
        one.end()

    run(go())


def test_what_a_watch_raises(run: Run) -> None:
    """It is logged, and the relay goes on."""

    async def go() -> None:
        one = Relays()
        told: list[Any] = []

        def fail() -> None:
            told.append(1)
            raise ValueError("no")

        client, ours = tcp_pair()
        one.relay.watch(ours, fail)
        reset(client)
        await until(lambda: told)
        both = one.join()
        both.client.send(b"on")
        assert await read(both.server, 2) == b"on"
        both.pair.stop()
        both.close()
        ours.close()
        one.end()

    run(go())


class _Full:
    """An epoll that takes no more sockets."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def register(self, number: int, events: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def test_the_kernel_takes_no_more(run: Run) -> None:
    """A connection that cannot be watched goes on; one that cannot be joined is reset, and its end is told."""

    async def go() -> None:
        one = Relays()
        one.relay._epoll = _Full(one.relay._epoll)  # type: ignore[assignment]
        client, ours = tcp_pair()
        one.relay.watch(ours, lambda: None)
        one.relay.unwatch(ours)
        both = one.join()
        assert both.ends == []
        await until(lambda: both.ends)
        assert both.pair.how == FAILED
        with pytest.raises(ConnectionResetError):
            await read_to_end(both.client)
        for each in (client, ours):
            each.close()
        both.close()
        one.end()

    run(go())


def test_no_descriptor_is_left(run: Run) -> None:
    """After everything has ended there are as many descriptors as before."""

    async def go() -> None:
        before = len(os.listdir("/proc/self/fd"))
        one = Relays()
        for number in range(20):
            both = one.join()
            await asyncio.get_running_loop().sock_sendall(both.client, bytes(100_000))
            await read(both.server, 100_000)
            if number % 2:
                reset(both.client)
            both.close()
            await until(lambda both=both: both.ends)
        one.end()
        assert len(os.listdir("/proc/self/fd")) == before

    run(go())

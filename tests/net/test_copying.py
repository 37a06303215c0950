"""Sides joined by copying."""

from __future__ import annotations

import asyncio
import random
import socket
from typing import Callable, Optional

import pytest

from tests.net.conftest import Run
from tests.net.support import read, read_to_end, reset, tcp_pair, turns, until
from tests.net.test_relay import pull, push
from twisted_mesh.errors import Kind
from twisted_mesh.net import side as sides
from twisted_mesh.net.copying import Copying
from twisted_mesh.net.pair import CLIENT_RESET, CLOSED, FAILED, STOPPED, UPSTREAM_RESET
from twisted_mesh.net.side import Side
from twisted_mesh.stream import ByteStream

MEGABYTE = 1024 * 1024


class Joined:
    """A client and a server with a Copying between them."""

    def __init__(self, change: Optional[Callable[[bytes], bytes]] = None) -> None:
        loop = asyncio.get_running_loop()
        self.client, inner = tcp_pair()
        outer, self.server = tcp_pair()
        self.time = 100.0
        self.ends: list[Copying] = []
        self.one = Side(loop, inner, Kind.CLIENT_GONE, "the client")
        self.two = Side(loop, outer, Kind.RESET, "the server")
        inward: ByteStream = self.one.body()
        outward: ByteStream = self.two.body()
        if change is not None:
            inward, outward = inward.map(change), outward.map(change)
        self.pair = Copying(self.one, self.two, inward, outward, lambda: self.time, self.ends.append)

    async def end(self, how: str) -> None:
        """It ends, once, and both connections are gone."""
        await until(lambda: self.ends)
        assert self.ends == [self.pair] and self.pair.how == how
        assert self.one.lost and self.two.lost
        self.client.close()
        self.server.close()


@pytest.mark.parametrize("change", [None, bytes.upper])
def test_both_ways(run: Run, change: Optional[Callable[[bytes], bytes]]) -> None:
    """Bytes and FINs go both ways, through what a filter made of the streams."""

    async def go() -> None:
        both = Joined(change)
        both.client.send(b"ping")
        assert (await read(both.server, 4)).lower() == b"ping"
        both.time = 105.0
        both.server.send(b"Pong!")
        assert await read(both.client, 5) == (b"PONG!" if change else b"Pong!")
        assert both.pair.last_activity == 105.0
        assert repr(both.pair) == "<Copying open in=4 out=5>"
        both.client.shutdown(socket.SHUT_WR)
        assert await read_to_end(both.server) == b""
        both.server.send(b"bye")
        both.server.close()
        assert (await read_to_end(both.client)).lower() == b"bye"
        await both.end(CLOSED)
        assert (both.pair.bytes_in, both.pair.bytes_out) == (4, 8)

    run(go())


def test_every_byte_arrives(run: Run) -> None:
    """Both directions arrive whole, with slow readers and little in memory."""

    async def go() -> None:
        both = Joined()
        data = [random.Random(each).randbytes(8 * MEGABYTE) for each in range(2)]
        got = await asyncio.gather(
            push(both.client, data[0], 1), pull(both.server, 2), push(both.server, data[1], 3), pull(both.client, 4)
        )
        assert [got[1], got[3]] == data
        await both.end(CLOSED)

    run(go())


@pytest.mark.parametrize("who", ["client", "server"])
@pytest.mark.parametrize("after_fin", [False, True])
def test_a_reset_is_passed_on(run: Run, who: str, after_fin: bool) -> None:
    """A RST comes out as a RST, also from a peer that had half-closed."""

    async def go() -> None:
        both = Joined()
        breaks, other = (both.client, both.server) if who == "client" else (both.server, both.client)
        breaks.send(b"part")
        assert await read(other, 4) == b"part"
        if after_fin:
            breaks.shutdown(socket.SHUT_WR)
            assert await read_to_end(other) == b""
        reset(breaks)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            # A connection that is half-closed is not read any more, so its reset shows when something is sent to it.
            while True:
                other.send(b"x")
                await asyncio.sleep(0.001)
        await both.end(CLIENT_RESET if who == "client" else UPSTREAM_RESET)

    run(go())


def test_backpressure(run: Run) -> None:
    """A receiver that stands still stops the sender, and its FIN does not pretend that all had come."""

    async def go() -> None:
        both = Joined()
        sent, before = 0, -1
        while before != sent:
            before = sent
            try:
                while True:
                    sent += both.client.send(bytes(MEGABYTE))
            except BlockingIOError:
                for _ in range(5):
                    await turns()
        assert both.pair.bytes_in < 16 * MEGABYTE
        assert both.two.transport.buffered < MEGABYTE
        both.pair.stop(reset=False)
        with pytest.raises(ConnectionResetError):
            await read_to_end(both.server)
        await both.end(STOPPED)

    run(go())


@pytest.mark.parametrize("hard", [True, False])
def test_stop(run: Run, hard: bool) -> None:
    """stop() makes both peers see a RST, stop(reset=False) a FIN."""

    async def go() -> None:
        both = Joined()
        both.client.send(b"x")
        assert await read(both.server, 1) == b"x"
        both.pair.stop(reset=hard)
        both.pair.stop(reset=hard)
        for each in (both.client, both.server):
            if hard:
                with pytest.raises(ConnectionResetError):
                    await read_to_end(each)
            else:
                assert await read_to_end(each) == b""
        await both.end(STOPPED)

    run(go())


def test_stopped_before_it_is_made(run: Run) -> None:
    """A pair can be ended before its connections are in the loop."""

    async def go() -> None:
        both = Joined()
        both.pair.stop()
        await both.end(STOPPED)

    run(go())


def test_the_loop_refuses_a_socket(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pair ends at once, and both peers see a cut."""

    def refuse(loop: object, transport: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(sides, "attach", refuse)

    async def go() -> None:
        both = Joined()
        for each in (both.client, both.server):
            try:
                assert await read_to_end(each) == b""
            except ConnectionResetError:
                pass
        assert len(both.ends) == 1 and both.ends[0].how == CLIENT_RESET
        both.client.close()
        both.server.close()

    run(go())


def test_a_filter_fails_on_the_bytes(run: Run) -> None:
    """Both connections are reset, and nobody else is blamed."""

    def fail(data: bytes) -> bytes:
        raise ValueError("no")

    async def go() -> None:
        both = Joined(fail)
        both.client.send(b"x")
        with pytest.raises(ConnectionResetError):
            await read_to_end(both.server)
        await both.end(FAILED)

    run(go())


def test_a_filter_cuts_the_bytes(run: Run) -> None:
    """A stream that a filter fails cuts both connections."""

    async def go() -> None:
        loop = asyncio.get_running_loop()
        client, inner = tcp_pair()
        outer, server = tcp_pair()
        ends: list[Copying] = []
        one = Side(loop, inner, Kind.CLIENT_GONE, "the client")
        two = Side(loop, outer, Kind.RESET, "the server")
        mine = ByteStream()
        Copying(one, two, mine, two.body(), lambda: 0.0, ends.append)
        mine.write(b"first")
        assert await read(server, 5) == b"first"
        mine.fail(ValueError("enough"))
        await until(lambda: ends)
        assert ends[0].how == FAILED
        client.close()
        server.close()

    run(go())


def test_a_reply_of_our_own(run: Run) -> None:
    """Without an upstream the client gets what the mesh says, whole, though it is still sending."""

    async def go() -> None:
        loop = asyncio.get_running_loop()
        client, inner = tcp_pair()
        client.send(b"z" * 100_000)
        ends: list[Copying] = []
        reply = ByteStream()
        reply.write(b"go away")
        reply.end()
        side = Side(loop, inner, Kind.CLIENT_GONE, "the client")
        pair = Copying(side, None, None, reply, lambda: 0.0, ends.append)
        client.send(b"z" * 100_000)
        assert await read_to_end(client) == b"go away"
        client.close()
        await until(lambda: ends)
        assert (pair.how, pair.bytes_in, pair.bytes_out) == (CLOSED, 0, 7)

    run(go())

"""One TCP connection: the call, the bytes, and its ends, on both loops."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.adapters.tcp_listening import Listening, way
from tests.net.conftest import Run, raised, run
from tests.net.support import read, read_to_end, reset, turns, until
from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Cancelled, Kind, MeshError, Origin
from twisted_mesh.net import relay as relays
from twisted_mesh.net.side import Side
from twisted_mesh.park import Parked
from twisted_mesh.stream import ByteStream

__all__ = ["raised", "run", "way"]


def test_a_connection_is_a_call(run: Run, way: str) -> None:
    """The call says who connects; it lasts as long as the connection, and counts its bytes."""

    async def go() -> None:
        one = Listening()
        client = one.connect()
        client.send(b"ping")
        await until(lambda: one.servers)
        server = one.servers[0]
        assert await read(server, 4) == b"ping"
        server.send(b"pong!")
        assert await read(client, 5) == b"pong!"
        assert (one.adapter.active, one.adapter.connections, one.calls) == (1, 1, [])
        assert "1 connections, 0 connecting" in repr(one.adapter)
        assert "in=4 out=5" in repr(next(iter(one.adapter.open)))
        # A total timeout never cuts what is established.
        one.env.advance(1000.0)
        client.shutdown(socket.SHUT_WR)
        assert await read_to_end(server) == b""
        server.send(b"bye")
        server.close()
        assert await read_to_end(client) == b"bye"
        host, port = client.getsockname()
        call = await one.end(client)
        assert (call.protocol, call.listener, call.operation) == ("tcp", "db", "CONNECT")
        assert (call.peer, call.client) == (f"{host}:{port}", "127.0.0.1")
        assert (call.bytes_in, call.bytes_out, call.flags, call.timeout) == (4, 8, (), None)
        assert call.started == call.received == call.head_at == 1000.0
        assert call.ended == 2000.0
        assert call.id.endswith("-1") and len(call.id) > 10

    run(go())


def test_early_bytes_and_half_close_wait(run: Run, way: str) -> None:
    """What a client sends before the upstream is connected arrives, and its FIN behind it."""
    parked: Parked[None] = Parked()

    async def later(self: Listening, call: Call) -> Reply:
        call.timeout = 5.0
        await parked
        return self.reply()

    async def go() -> None:
        one = Listening(later)
        client = one.connect()
        client.send(b"early")
        client.shutdown(socket.SHUT_WR)
        await turns()
        assert "connecting" in repr(next(iter(one.adapter.open)))
        assert "1 connecting" in repr(one.adapter)
        parked.fire(None)
        assert await read_to_end(one.servers[0]) == b"early"
        one.env.advance(10.0)
        one.servers[0].send(b"answer")
        one.servers[0].close()
        assert await read_to_end(client) == b"answer"
        call = await one.end(client)
        assert (call.bytes_in, call.bytes_out, call.flags) == (5, 6, ())

    run(go())


def test_a_failed_call_resets_the_client(run: Run, way: str) -> None:
    """The client sees a reset, and the call says why."""

    async def refused(self: Listening, call: Call) -> Reply:
        raise MeshError(Kind.CONNECT_FAILED, "127.0.0.1:1: connection refused", origin=Origin.UPSTREAM)

    async def go() -> None:
        one = Listening(refused)
        client = one.connect()
        with pytest.raises(ConnectionResetError):
            await read_to_end(client)
        call = await one.end(client)
        assert (call.flags, call.details) == (("UF",), "127.0.0.1:1: connection refused")

    run(go())


@pytest.mark.parametrize("what", ["raise", "return", "tunnel"])
def test_a_filter_that_misbehaves(run: Run, what: str) -> None:
    """It costs its call, one log line and one count."""

    class Odd:
        first = b""
        aborted = 0

        def abort(self) -> None:
            self.aborted += 1

    odd = Odd()

    async def misbehave(self: Listening, call: Call) -> Any:
        if what == "raise":
            raise ZeroDivisionError("oops")
        return Reply(tunnel=odd) if what == "tunnel" else "nonsense"

    async def go() -> None:
        one = Listening(misbehave)
        client = one.connect()
        with pytest.raises(ConnectionResetError):
            await read_to_end(client)
        call = await one.end(client)
        assert call.flags == ("INT",)
        assert one.env.count("twisted_mesh_filter_errors_total", "unknown") == 1
        assert len(one.env.logged) == 1
        assert odd.aborted == (1 if what == "tunnel" else 0)

    run(go())


def test_the_routes_timeout(run: Run) -> None:
    """A chain that takes longer than the route's timeout is cancelled and the client reset."""

    async def never(self: Listening, call: Call) -> Any:
        call.timeout = 2.0
        try:
            await Parked[None]()
        finally:
            self.cleaned.append("yes")

    async def go() -> None:
        one = Listening(never)
        client = one.connect()
        one.env.advance(1.9)
        assert one.calls == []
        one.env.advance(0.2)
        assert one.cleaned == ["yes"]
        with pytest.raises(ConnectionResetError):
            await read_to_end(client)
        assert (await one.end(client)).flags == ("UT",)

    run(go())


@pytest.mark.skipif(not relays.AVAILABLE, reason="seen on Linux only")
def test_a_client_that_resets_while_connecting(run: Run) -> None:
    """Its call is cancelled, and every finally runs."""

    async def never(self: Listening, call: Call) -> Any:
        try:
            await Parked[None]()
        except Cancelled as cancelled:
            self.cleaned.append(cancelled.kind.value)
            raise

    async def go() -> None:
        one = Listening(never)
        client = one.connect()
        await turns()
        reset(client)
        await until(lambda: one.cleaned)
        assert one.cleaned == ["client_gone"]
        assert (await one.end()).flags == ("DC",)

    run(go())


def test_a_reply_that_comes_too_late(run: Run, way: str) -> None:
    """A filter that swallows its cancellation gets its reply thrown away, and the upstream a reset."""

    async def stubborn(self: Listening, call: Call) -> Reply:
        try:
            await Parked[None]()
        except Cancelled:
            pass
        return self.reply()

    async def go() -> None:
        one = Listening(stubborn)
        client = one.connect()
        await turns()
        one.adapter.close_all()
        with pytest.raises(ConnectionResetError):
            await read_to_end(one.servers[0])
        with pytest.raises(ConnectionResetError):
            await read_to_end(client)
        assert (await one.end(client)).flags == ("LR",)

    run(go())


@pytest.mark.parametrize("who,flag", [("client", "DC"), ("server", "UR")])
def test_resets_are_flags(run: Run, way: str, who: str, flag: str) -> None:
    """A reset of what was established goes through, and is noted."""

    async def go() -> None:
        one = Listening()
        client = one.connect()
        client.send(b"x")
        await until(lambda: one.servers)
        server = one.servers[0]
        assert await read(server, 1) == b"x"
        reset(client if who == "client" else server)
        with pytest.raises(ConnectionResetError):
            await read_to_end(server if who == "client" else client)
        call = await one.end(client)
        assert call.flags == (flag,) and call.bytes_in == 1

    run(go())


def _moved(one: Listening) -> int:
    pair = next(iter(one.adapter.open))._pair
    return 0 if pair is None else pair.bytes_in + pair.bytes_out


def test_idle(run: Run, way: str) -> None:
    """A connection that stands still in both directions is ended; one that moves is not."""

    async def go() -> None:
        one = Listening(idle_timeout="10s")
        client = one.connect()
        await until(lambda: one.servers)
        await turns()
        for number in range(1, 4):
            one.env.advance(9.0)
            (client if number % 2 else one.servers[0]).send(b"x")
            await until(lambda number=number: _moved(one) == number)
        one.env.advance(9.0)
        assert one.calls == []
        one.env.advance(1.5)
        assert await read_to_end(client) == b"x"
        assert await read_to_end(one.servers[0]) == b"xx"
        call = await one.end(client)
        assert (call.flags, call.details) == (("SI",), "idle for 10 s")

    run(go())


def test_max_duration(run: Run, way: str) -> None:
    """A connection may last so long; cutting it looks cut."""

    async def go() -> None:
        one = Listening(max_duration="1m", idle_timeout="off")
        client = one.connect()
        await until(lambda: one.servers)
        await turns()
        one.env.advance(59.0)
        assert one.calls == []
        one.env.advance(1.5)
        for each in (client, one.servers[0]):
            with pytest.raises(ConnectionResetError):
                await read_to_end(each)
        assert (await one.end(client)).flags == ("DT",)

    run(go())


def test_a_route_may_have_limits_of_its_own(run: Run) -> None:
    """The call's limits go before the listener's."""

    async def limited(self: Listening, call: Call) -> Reply:
        call.idle_timeout = 5.0
        call.max_duration = 1000.0
        return self.reply()

    async def go() -> None:
        one = Listening(limited, idle_timeout="1h", max_duration="1s")
        client = one.connect()
        await until(lambda: one.servers)
        await turns()
        one.env.advance(4.5)
        assert one.calls == []
        one.env.advance(1.0)
        assert await read_to_end(client) == b""
        assert (await one.end(client)).flags == ("SI",)

    run(go())


@pytest.mark.parametrize("body", ["bytes", "stream"])
def test_an_answer_of_a_filters_own(run: Run, body: str) -> None:
    """A filter may answer the client itself, whole, although the client is sending."""

    async def answer(self: Listening, call: Call) -> Reply:
        if body == "bytes":
            return Reply(body=b"-DENIED\r\n", local=True)
        stream = ByteStream()
        stream.write(b"-DENIED\r\n")
        stream.end()
        return Reply(body=stream, local=True)

    async def go() -> None:
        one = Listening(answer)
        client = one.connect()
        client.send(b"x" * 50_000)
        assert await read_to_end(client) == b"-DENIED\r\n"
        client.close()
        call = await one.end()
        assert (call.flags, call.bytes_out) == ((), 9)

    run(go())


@pytest.mark.parametrize("which", ["in", "out", "both"])
def test_a_filter_that_looks_at_the_bytes(run: Run, which: str) -> None:
    """A filter may change either direction, and the bytes are then copied through it."""

    async def upper(self: Listening, call: Call) -> Reply:
        assert isinstance(call.body, ByteStream)
        if which != "out":
            call.body = call.body.map(bytes.upper)
        reply = self.reply()
        assert isinstance(reply.body, ByteStream)
        if which != "in":
            reply.body = reply.body.map(bytes.upper)
        return reply

    async def go() -> None:
        one = Listening(upper)
        client = one.connect()
        client.send(b"question")
        await until(lambda: one.servers)
        assert await read(one.servers[0], 8) == (b"question" if which == "out" else b"QUESTION")
        one.servers[0].send(b"answer")
        assert await read(client, 6) == (b"answer" if which == "in" else b"ANSWER")
        client.shutdown(socket.SHUT_WR)
        assert await read_to_end(one.servers[0]) == b""
        one.servers[0].close()
        assert await read_to_end(client) == b""
        call = await one.end(client)
        assert (call.bytes_in, call.bytes_out, call.flags) == (8, 6, ())

    run(go())


def test_a_slow_reader_is_not_idle(run: Run, way: str) -> None:
    """What it takes out of the kernel's buffers counts, long before they have room for more."""

    async def take(sock: socket.socket, size: int) -> None:
        while size > 0:
            size -= len(await read(sock, min(size, 65536)))

    async def go() -> None:
        one = Listening(idle_timeout=8.0)
        client = one.connect()
        await until(lambda: one.servers)
        server = one.servers[0]
        server.setblocking(False)
        sent = full = 0
        # Until neither kernel nor sidecar takes any more.
        while full < 5:
            try:
                sent += server.send(bytes(1 << 20))
                full = 0
            except BlockingIOError:
                full += 1
            await turns()
        for _ in range(10):
            for _ in range(3):
                one.env.advance(1.0)
                await turns()
            await take(client, sent // 20)
        assert one.calls == []
        # It takes no more; what the kernels still move between them, at their own timers, counts too.
        for _ in range(500):
            if one.calls:
                break
            one.env.advance(1.0)
            await turns()
        call = await one.end(client)
        assert call.flags == ("SI",)

    run(go())


class First:
    """Waits for the first bytes of a stream."""

    def __init__(self) -> None:
        self.parked: Parked[bytes] = Parked()

    def body_data(self, data: bytes) -> None:
        if not self.parked.done:
            self.parked.fire(data)

    def body_ended(self, trailers: Any) -> None:
        self.body_data(b"")

    def body_failed(self, error: BaseException) -> None:
        if not self.parked.done:
            self.parked.fail(error)


class Into:
    """Writes one stream into another."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream

    def body_data(self, data: bytes) -> None:
        self.stream.write(data)

    def body_ended(self, trailers: Any) -> None:
        self.stream.end()

    def body_failed(self, error: BaseException) -> None:
        self.stream.fail(error)


def test_a_filter_that_waits_for_the_first_bytes(run: Run, way: str) -> None:
    """It may decide by them; a client that goes away meanwhile cancels the call."""

    async def look(self: Listening, call: Call) -> Reply:
        assert isinstance(call.body, ByteStream)
        first = First()
        call.body.attach(first)
        try:
            data = await first.parked
        except BaseException as error:
            self.cleaned.append(type(error).__name__)
            raise
        call.body.detach()
        reply = self.reply()
        assert isinstance(reply.tunnel, Side)
        rest, call.body = call.body, ByteStream()
        call.body.write(data)
        rest.attach(Into(call.body))
        return reply

    async def go() -> None:
        one = Listening(look)
        client = one.connect()
        client.send(b"GET ")
        await until(lambda: one.servers)
        client.send(b"rest")
        assert await read(one.servers[0], 8) == b"GET rest"
        one.adapter.close_all()
        await one.end(client)

        one = Listening(look)
        client = one.connect()
        await turns()
        reset(client)
        await until(lambda: one.cleaned)
        assert (await one.end()).flags == ("DC",)

    run(go())


def test_a_filter_that_fails_on_the_bytes(run: Run) -> None:
    """It costs its call, and is counted; neither the client nor the endpoint is blamed."""

    def fail(data: bytes) -> bytes:
        raise ZeroDivisionError("oops")

    async def failing(self: Listening, call: Call) -> Reply:
        reply = self.reply()
        assert isinstance(reply.body, ByteStream)
        reply.body = reply.body.map(fail)
        return reply

    async def go() -> None:
        one = Listening(failing)
        client = one.connect()
        await until(lambda: one.servers)
        one.servers[0].send(b"x")
        with pytest.raises(ConnectionResetError):
            await read_to_end(client)
        call = await one.end(client)
        assert call.flags == ("INT",)
        assert one.env.count("twisted_mesh_filter_errors_total", "unknown") == 1

    run(go())

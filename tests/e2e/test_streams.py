"""Long bodies: they flow, they wait for slow readers on either side, and they cost a bounded amount of memory."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path
from typing import Iterator

import pytest

from tests.e2e.support import Edge, start_edge
from tests.support import RawClient, TcpUpstream, until

MEGABYTE = 1024 * 1024
# 2 GB is what is promised; what each costs does not depend on the length, so a run of the tests takes less.
LENGTH = int(os.environ.get("MESH_TEST_STREAM_MB", "384")) * MEGABYTE
# What a body may cost over an idle sidecar.
ALLOWED = 16 * MEGABYTE
PIECE = bytes(MEGABYTE)
# More than the kernel holds, little enough to be out of the upstream's hands while the client pauses.
FEW = 4 * MEGABYTE

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")


class Bulk:
    """An upstream that sends or takes LENGTH bytes; it takes nothing while `open` is cleared."""

    def __init__(self) -> None:
        self.sent = 0
        self.taken = 0
        self.open = threading.Event()
        self.open.set()
        self.upstream = TcpUpstream(self._talk)

    def _talk(self, link: RawClient) -> None:
        while True:
            head = link.read_until(b"\r\n\r\n")
            if head.startswith(b"GET /small"):
                link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            elif head.startswith(b"GET /few"):
                self._send(link, FEW)
            elif head.startswith(b"GET"):
                self._send(link, LENGTH, chunked=b"/chunked" in head)
            else:
                self._take(link)

    def _send(self, link: RawClient, length: int, chunked: bool = False) -> None:
        self.sent = 0
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % length
        link.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        piece = b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE
        while self.sent < length:
            link.send(piece)
            self.sent += len(PIECE)
        if chunked:
            link.send(b"0\r\n\r\n")

    def _take(self, link: RawClient) -> None:
        self.taken = len(link.buffer)
        link.buffer = b""
        while self.taken < LENGTH:
            self.open.wait(60)
            data = link.sock.recv(MEGABYTE)
            if not data:
                return
            self.taken += len(data)
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.fixture(scope="module")
def bulk() -> Iterator[Bulk]:
    """The upstream."""
    one = Bulk()
    yield one
    one.upstream.stop()


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, bulk: Bulk) -> Iterator[Edge]:
    """The sidecar."""
    one = start_edge(tmp_path_factory.mktemp("edge"), {"bulk": [bulk.upstream.address]})
    yield one
    one.mesh.stop()


class Peak:
    """The sidecar's resident memory: what it was, and its highest since."""

    def __init__(self, edge: Edge) -> None:
        self._pid = edge.mesh.pid
        with RawClient(edge.port) as client:
            client.send(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n")
            client.read_answer()
        self.before = edge.resident()
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")

    def grown(self) -> int:
        """Bytes by which the highest since then is over what it was."""
        status = Path(f"/proc/{self._pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024 - self.before


def drain(client: RawClient, size: int) -> None:
    """Read and drop so many bytes."""
    left = size - len(client.buffer)
    client.buffer = b""
    while left > 0:
        data = client.sock.recv(min(left, MEGABYTE))
        assert data, f"closed with {left} bytes to come"
        left -= len(data)


def stands(count: object) -> int:
    """Wait until a number that grows grows no more, and return it."""
    assert callable(count)
    last, since = count(), time.monotonic()

    def still() -> bool:
        nonlocal last, since
        now = count()
        if now != last or not now:
            last, since = now, time.monotonic()
        return time.monotonic() - since > 0.5

    until(still, "the stream to stand still", 30)
    return int(last)


@pytest.mark.parametrize("slow", [False, True], ids=["fast", "slow"])
def test_download(edge: Edge, bulk: Bulk, slow: bool) -> None:
    """A long answer waits for its reader, and costs no more than 16 MiB."""
    peak = Peak(edge)
    with RawClient(edge.port, timeout=60) as client:
        client.send(b"GET /counted HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_until(b"\r\n\r\n")
        if slow:
            assert stands(lambda: bulk.sent) < 64 * MEGABYTE
        drain(client, LENGTH)
        client.send(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.read_answer().body == b"ok"
    assert peak.grown() <= ALLOWED


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_pause_before_the_end(edge: Edge, bulk: Bulk, version: bytes) -> None:
    """A reader that pauses while the sidecar has all and wants to close still gets all."""
    with RawClient(edge.port, timeout=60) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(b"GET /few %b\r\nHost: a\r\nConnection: close\r\n\r\n" % version)
        client.read_until(b"\r\n\r\n")
        stands(lambda: bulk.sent)
        size = len(client.buffer)
        while data := client.sock.recv(MEGABYTE):
            size += len(data)
    assert size == FEW


def test_chunked_download(edge: Edge, bulk: Bulk) -> None:
    """The same with a chunked answer and a slow reader."""
    peak = Peak(edge)
    with RawClient(edge.port, timeout=60) as client:
        client.send(b"GET /chunked HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        client.read_until(b"\r\n\r\n")
        assert stands(lambda: bulk.sent) < 64 * MEGABYTE
        total = tail = b""
        size = 0
        while data := client.sock.recv(MEGABYTE):
            size += len(data)
            tail = (tail + data)[-5:]
        assert tail == b"0\r\n\r\n", total
        assert size > LENGTH - MEGABYTE
    assert peak.grown() <= ALLOWED


@pytest.mark.parametrize("slow", [False, True], ids=["fast", "slow"])
def test_upload(edge: Edge, bulk: Bulk, slow: bool) -> None:
    """A long request waits for the server that takes it, and costs no more than 16 MiB."""
    peak = Peak(edge)
    sent = 0
    if slow:
        bulk.open.clear()
    with RawClient(edge.port, timeout=60) as client:
        client.send(b"PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % LENGTH)

        def send() -> None:
            nonlocal sent
            while sent < LENGTH:
                client.sock.sendall(PIECE)
                sent += len(PIECE)

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        if slow:
            assert stands(lambda: sent) < 64 * MEGABYTE
            bulk.open.set()
        assert client.read_answer().body == b"ok"
        thread.join(30)
    assert bulk.taken == LENGTH
    assert peak.grown() <= ALLOWED


def test_many_slow_readers(edge: Edge, bulk: Bulk) -> None:
    """Thirty readers that take nothing cost what their buffers hold, and others are served meanwhile."""
    peak = Peak(edge)
    clients = [RawClient(edge.port, timeout=60) for _ in range(30)]
    try:
        for client in clients:
            client.send(b"GET /counted HTTP/1.1\r\nHost: a\r\n\r\n")
            client.read_until(b"\r\n\r\n")
        with RawClient(edge.port) as other:
            for _ in range(50):
                other.send(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n")
                assert other.read_answer().body == b"ok"
    finally:
        for client in clients:
            client.reset()
    assert peak.grown() <= 30 * MEGABYTE
    until(lambda: edge.mesh.metric("twisted_mesh_downstream_calls_active", listener="edge") == 0, "calls to end")

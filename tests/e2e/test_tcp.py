"""TCP through a sidecar: half-close, resets, many bytes, unix sockets, and thousands of connections at once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import shutil
import socket
import threading
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.support import (
    HttpUpstream,
    Mesh,
    RawClient,
    TcpUpstream,
    free_port,
    free_ports,
    program,
    request,
    start_mesh,
    until,
)

MEGABYTE = 1024 * 1024


def digest(link: RawClient) -> bytes:
    """Read to the end; how much it was, and its hash."""
    size, seen = 0, hashlib.sha256()
    while data := link.sock.recv(MEGABYTE):
        size += len(data)
        seen.update(data)
    return b"%d bytes, %s" % (size, seen.hexdigest().encode())


def digest_of(data: bytes) -> bytes:
    """What `digest` says of these bytes."""
    return b"%d bytes, %s" % (len(data), hashlib.sha256(data).hexdigest().encode())


def say_back_at_the_end(link: RawClient) -> None:
    """Read to the end, then answer: only half-close lets that work."""
    link.send(digest(link))


def reset_after_greeting(link: RawClient) -> None:
    """Greet, wait for a byte, reset."""
    link.send(b"hello")
    link.read_exactly(1)
    link.reset()


@pytest.fixture(scope="module")
def echo() -> Iterator[TcpUpstream]:
    """Says back what it hears."""
    one = TcpUpstream()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def answering() -> Iterator[TcpUpstream]:
    """Answers when all has been said."""
    one = TcpUpstream(say_back_at_the_end)
    yield one
    one.stop()


@pytest.fixture(scope="module")
def resetting() -> Iterator[TcpUpstream]:
    """Greets and resets."""
    one = TcpUpstream(reset_after_greeting)
    yield one
    one.stop()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the sockets and the log are."""
    return tmp_path_factory.mktemp("tcp")


@pytest.fixture(scope="module")
def mesh(directory: Path, echo: TcpUpstream, answering: TcpUpstream, resetting: TcpUpstream) -> Iterator[Mesh]:
    """A sidecar with a TCP listener for each server, and one whose first endpoint refuses."""
    names = ("echo", "answering", "resetting", "half", "refused", "brief")
    ports = dict(zip(names, free_ports(len(names))))
    nobody = f"127.0.0.1:{free_port()}"
    endpoints = {
        "echo": [echo.address],
        "answering": [answering.address],
        "resetting": [resetting.address],
        "half": [nobody, echo.address],
        "refused": [nobody],
        "brief": [echo.address],
    }
    listeners: dict[str, Any] = {
        name: {"protocol": "tcp", "bind": f"127.0.0.1:{ports[name]}", "routes": [{"to": name}]} for name in names
    }
    listeners["brief"]["tcp"] = {"idle_timeout": "300ms"}
    config = {
        "access_log": {"path": str(directory / "access.log"), "format": "json"},
        "listeners": listeners,
        "clusters": {name: {"endpoints": each} for name, each in endpoints.items()},
    }
    one = start_mesh(json.dumps(config), directory)
    one.ports = ports
    yield one
    one.stop()


def lines(directory: Path, listener: str) -> list[dict[str, Any]]:
    """The access log's lines about a listener."""
    text = (directory / "access.log").read_text()
    return [each for each in map(json.loads, text.splitlines()) if each["listener"] == listener]


def test_echo_and_log(mesh: Mesh, directory: Path) -> None:
    """Bytes go both ways; the log has one line with their counts."""
    with RawClient(mesh.ports["echo"]) as client:
        for number in range(10):
            client.send(b"message %d\n" % number)
            assert client.read_until(b"\n") == b"message %d\n" % number
        client.half_close()
        assert client.read_to_end() == b""
    line = until(lambda: lines(directory, "echo"))[-1]
    assert (line["protocol"], line["method"], line["bytes_in"], line["bytes_out"]) == ("tcp", "CONNECT", 100, 100)


def test_routes_by_the_port_and_the_source(tmp_path: Path) -> None:
    """One listener with several ports, whose table tells them apart; what is for none is reset."""

    def named(name: bytes) -> Any:
        return lambda link: link.send(name)

    one, two = TcpUpstream(named(b"one")), TcpUpstream(named(b"two"))
    ports = free_ports(3)
    routes = [
        {"match": {"port": ports[0], "source": "127.0.0.0/8"}, "to": "one"},
        {"match": {"port": ports[1], "source": "10.0.0.0/8"}, "to": "one"},
        {"match": {"port": ports[:2]}, "to": "two"},
    ]
    config = {
        "listeners": {"db": {"protocol": "tcp", "bind": [f"127.0.0.1:{each}" for each in ports], "routes": routes}},
        "clusters": {"one": {"endpoints": [one.address]}, "two": {"endpoints": [two.address]}},
    }
    mesh = start_mesh(json.dumps(config), tmp_path)
    try:
        seen = []
        for port in ports[:2]:
            with RawClient(port) as client:
                seen.append(client.read_to_end())
        assert seen == [b"one", b"two"]
        with RawClient(ports[2]) as client, pytest.raises(ConnectionResetError):
            client.read_to_end()
    finally:
        mesh.stop()
        one.stop()
        two.stop()


@pytest.mark.parametrize("size", [0, 1, 100_000, 64 * MEGABYTE])
def test_half_close(mesh: Mesh, size: int) -> None:
    """A client may say all it has to, end its side, and then hear the answer."""
    data = os.urandom(min(size, MEGABYTE)) * max(1, size // MEGABYTE)
    with RawClient(mesh.ports["answering"], timeout=60) as client:
        client.send(data)
        client.half_close()
        told = client.read_to_end()
    assert told == digest_of(data)


def test_both_ways_at_once(mesh: Mesh) -> None:
    """Many bytes in both directions arrive whole, however the two sides read."""
    data = os.urandom(MEGABYTE) * 48
    with RawClient(mesh.ports["echo"], timeout=60) as client:

        def send() -> None:
            client.sock.sendall(data)
            client.half_close()

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        back = digest(client)
        thread.join()
    assert back == digest_of(data)


def test_reset_by_the_server(mesh: Mesh) -> None:
    """A reset of the server is a reset for the client."""
    with RawClient(mesh.ports["resetting"]) as client:
        assert client.read_exactly(5) == b"hello"
        client.send(b"x")
        with pytest.raises(ConnectionResetError):
            client.read_to_end()


def test_reset_by_the_client(mesh: Mesh) -> None:
    """A reset of the client is a reset for the server."""
    ends: list[object] = []

    def listen(link: RawClient) -> None:
        try:
            link.read_until(b"never")
        except Exception as error:
            ends.append(type(error))

    upstream = TcpUpstream(listen)
    port = free_port()
    config = {
        "listeners": {"in": {"protocol": "tcp", "bind": f"127.0.0.1:{port}", "routes": [{"to": "out"}]}},
        "clusters": {"out": {"endpoints": [upstream.address]}},
        "access_log": "off",
    }
    directory = mesh.log.parent / "reset"
    directory.mkdir()
    other = start_mesh(json.dumps(config), directory)
    try:
        client = RawClient(port)
        client.send(b"hello")
        until(lambda: upstream.accepted == 1)
        client.reset()
        until(lambda: ends == [ConnectionResetError], f"a reset; {ends}")
    finally:
        other.stop()
        upstream.stop()


def test_retry_on_another_endpoint(mesh: Mesh) -> None:
    """A connect that fails is tried on another endpoint, unseen by the client."""
    for _ in range(10):
        with RawClient(mesh.ports["half"]) as client:
            client.send(b"hello\n")
            assert client.read_until(b"\n") == b"hello\n"


def test_refused(mesh: Mesh, directory: Path) -> None:
    """Where nobody listens the client's connection ends, and the log says UF."""
    with RawClient(mesh.ports["refused"]) as client:
        try:
            assert client.read_to_end() == b""
        except ConnectionResetError:
            pass
    assert "UF" in until(lambda: lines(directory, "refused"))[-1]["flags"]


def test_idle(mesh: Mesh) -> None:
    """A connection in which nothing moves is closed."""
    with RawClient(mesh.ports["brief"]) as client:
        client.send(b"hello\n")
        assert client.read_until(b"\n") == b"hello\n"
        try:
            assert client.read_to_end() == b""
        except ConnectionResetError:
            pass


def test_unix_sockets(directory: Path) -> None:
    """Unix sockets as binds and as endpoints, for HTTP and for TCP, with the mode that was asked for."""
    inner = str(directory / "inner.sock")
    outer = {name: str(directory / f"{name}.sock") for name in ("http", "tcp")}
    web = HttpUpstream("web")
    echo = TcpUpstream(where=inner)
    config = {
        "access_log": "off",
        "listeners": {
            "http": {"protocol": "http", "bind": "unix:" + outer["http"], "routes": [{"to": "web"}]},
            "tcp": {
                "protocol": "tcp",
                "bind": {"address": "unix:" + outer["tcp"], "mode": "0600"},
                "routes": [{"to": "echo"}],
            },
            "second": {
                "protocol": "http",
                "bind": (second := f"127.0.0.1:{free_port()}"),
                "routes": [{"to": "first"}],
            },
        },
        "clusters": {
            "web": {"endpoints": [web.address]},
            "echo": {"endpoints": ["unix:" + inner]},
            "first": {"endpoints": ["unix:" + outer["http"]]},
        },
    }
    place = directory / "unix"
    place.mkdir()
    mesh = start_mesh(json.dumps(config), place)
    try:
        assert request("unix:" + outer["http"], "/a").body == b"web /a"
        assert request(second, "/b").body == b"web /b"
        with RawClient("unix:" + outer["tcp"]) as client:
            client.send(b"hello\n")
            assert client.read_until(b"\n") == b"hello\n"
        assert os.stat(outer["tcp"]).st_mode & 0o777 == 0o600
        assert os.stat(outer["http"]).st_mode & 0o777 == 0o660
    finally:
        mesh.stop()
        web.stop()
        echo.stop()


# --- many connections, as an ordinary user

CONNECTIONS = 2000
BYTES_EACH = 50_000
# Both ends of each are in the sidecar, and a pipe of two for each direction that moves just now.
FILES = CONNECTIONS * 2 + 2000


def as_ordinary_user() -> list[str]:
    """What to put before a command so that it runs as one whose pipes the kernel limits, as it does for all but root.

    Skips where this process is root and has no way to become somebody else.
    """
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root, and no setpriv")
    # Of root's powers it keeps the one to read files, as the checkout may be where others cannot look.
    keep = "-all,+dac_override,+dac_read_search"
    nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"]
    return [setpriv, *nobody, f"--inh-caps={keep}", "--ambient-caps=+dac_override,+dac_read_search"]


async def _talk(port: int, number: int, opened: asyncio.Event, waiting: list[int]) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    waiting.append(number)
    if len(waiting) == CONNECTIONS:
        opened.set()
    await opened.wait()
    data = number.to_bytes(4, "big") * (BYTES_EACH // 4)
    writer.write(data)
    writer.write_eof()
    back = await reader.read(-1)
    writer.close()
    return back == data


async def _many(port: int) -> int:
    opened = asyncio.Event()
    waiting: list[int] = []
    results = await asyncio.gather(*(_talk(port, number, opened, waiting) for number in range(CONNECTIONS)))
    return sum(results)


class AsyncEcho:
    """An echo server that a few thousand connections do not turn into as many threads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        sock = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = sock.getsockname()[1]
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, sock=sock, backlog=4096))
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


@pytest.mark.slow
def test_two_thousand_connections_as_an_ordinary_user(tmp_path: Path) -> None:
    """All are open at once, every byte arrives, and nothing is left behind."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < FILES:
        pytest.skip(f"the limit on open files is {hard}, and {FILES} are needed")
    prefix = as_ordinary_user()
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))
    os.chmod(tmp_path, 0o777)
    echo = AsyncEcho()
    port = free_port()
    config = {
        "access_log": "off",
        "listeners": {
            "in": {
                "protocol": "tcp",
                "bind": {"address": f"127.0.0.1:{port}", "backlog": 4096},
                "routes": [{"to": "out"}],
            }
        },
        "clusters": {"out": {"endpoints": [f"127.0.0.1:{echo.port}"], "connect_timeout": "10s"}},
    }
    command = [*prefix, program("twistd"), "-n", "--pidfile=", "mesh"]
    mesh = start_mesh(json.dumps(config), tmp_path, command=command)
    try:
        uid = Path(f"/proc/{mesh.pid}/status").read_text().split("Uid:")[1].split()[0]
        assert uid != "0"
        assert asyncio.run(asyncio.wait_for(_many(port), 90)) == CONNECTIONS
        until(lambda: mesh.metric("twisted_mesh_downstream_connections_active", listener="in") == 0)
        until(lambda: len(os.listdir(f"/proc/{mesh.pid}/fd")) < 200, "the descriptors to be given back")
    finally:
        mesh.stop()
        echo.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

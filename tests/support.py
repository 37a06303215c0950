"""What the tests that need processes and sockets share: ports, polling, `twistd mesh`, small servers, raw clients.

Nothing here waits for a fixed time: `until` polls with a deadline, and every socket has a timeout.
"""

from __future__ import annotations

import http.client
import http.server
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional, Sequence, TypeVar, Union

ROOT = Path(__file__).resolve().parent.parent
# Long enough for a machine that is busy with other things; nothing waits that long when all is well.
PATIENCE = 30.0

T = TypeVar("T")


def until(condition: Callable[[], T], what: str = "", within: float = PATIENCE) -> T:
    """Poll `condition` until it gives something true, and return that.

    An exception counts as "not yet", and stands in the failure when time is up.

    :raises AssertionError: it did not happen within `within` seconds.
    """
    deadline = time.monotonic() + within
    last: object = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except Exception as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what or condition!r}; last seen: {last!r}")
        time.sleep(0.01)


def _outside_of_the_ephemeral() -> range:
    """The ports that the kernel gives to no connection by itself."""
    try:
        low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        low = 32768
    return range(10000, low) if low > 12000 else range(61000, 65536)


def _own_share(ports: range) -> range:
    """The ports of this one of several processes that run tests: two must not take the same one for free."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return ports[number :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]


_PORTS = _own_share(_outside_of_the_ephemeral())
_given: set[int] = set()
_dice = random.SystemRandom()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on, and that this process has not been given before.

    It is none of those that the kernel gives to outgoing connections: one of these is free only until the next of them.
    """
    for _ in range(1000):
        port = _dice.choice(_PORTS)
        if port in _given:
            continue
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise AssertionError(f"no port of {_PORTS} is free")


def free_ports(count: int) -> list[int]:
    """Return `count` different free TCP ports of 127.0.0.1."""
    return [free_port() for _ in range(count)]


def address_of(where: Union[int, str, tuple[str, int]]) -> Union[str, tuple[str, int]]:
    """Turn a port, "host:port", "unix:PATH" or a pair into what `socket.connect` takes."""
    if isinstance(where, int):
        return ("127.0.0.1", where)
    if isinstance(where, tuple):
        return where
    if where.startswith("unix:"):
        return where[5:]
    host, _, port = where.rpartition(":")
    return (host.strip("[]"), int(port))


def connect(where: Union[int, str, tuple[str, int]], timeout: float = PATIENCE) -> socket.socket:
    """Open a stream socket to `where` (see `address_of`), with a timeout on every operation."""
    address = address_of(where)
    if isinstance(address, str):
        family = socket.AF_UNIX
    else:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    sock.connect(address)
    return sock


# --- clients


@dataclass
class Answer:
    """An HTTP answer, read whole."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> Optional[str]:
        """The first value of a header, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = connect("unix:" + self._path)


def request(
    where: Union[int, str],
    path: str = "/",
    method: str = "GET",
    body: Optional[bytes] = None,
    headers: Optional[dict[str, str]] = None,
    timeout: float = PATIENCE,
) -> Answer:
    """Send one HTTP request on a connection of its own and read the answer whole."""
    address = address_of(where)
    if isinstance(address, str):
        connection: http.client.HTTPConnection = _UnixConnection(address, timeout)
    else:
        connection = http.client.HTTPConnection(address[0], address[1], timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, answer.getheaders(), answer.read())
    finally:
        connection.close()


class RawClient:
    """A socket with the few verbs that a conversation in bytes needs."""

    def __init__(self, where: Union[int, str, socket.socket], timeout: float = PATIENCE) -> None:
        self.sock = where if isinstance(where, socket.socket) else connect(where, timeout)
        self.sock.settimeout(timeout)
        self.buffer = b""

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def half_close(self) -> None:
        """Say that nothing more will be sent."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()

    def _more(self) -> bool:
        data = self.sock.recv(262144)
        self.buffer += data
        return bool(data)

    def read_until(self, mark: bytes) -> bytes:
        """Read up to and with `mark`.

        :raises EOFError: the peer closed before.
        """
        while mark not in self.buffer:
            if not self._more():
                raise EOFError(f"closed before {mark!r}; had {self.buffer[-200:]!r}")
        found, self.buffer = self.buffer.split(mark, 1)
        return found + mark

    def read_exactly(self, size: int) -> bytes:
        """Read `size` bytes.

        :raises EOFError: the peer closed before.
        """
        while len(self.buffer) < size:
            if not self._more():
                raise EOFError(f"closed after {len(self.buffer)} of {size} bytes")
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    def read_to_end(self) -> bytes:
        """Read until the peer closes; a reset raises ConnectionResetError."""
        while self._more():
            pass
        found, self.buffer = self.buffer, b""
        return found

    def read_answer(self, *, head_only: bool = False) -> Answer:
        """Read one HTTP answer: by length, by chunks, or to the end of the connection."""
        head = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:] if line)]
        answer = Answer(status, headers, b"")
        if head_only or status in (204, 304) or status < 200:
            return answer
        length = answer.header("content-length")
        if length is not None:
            answer.body = self.read_exactly(int(length))
        elif "chunked" in (answer.header("transfer-encoding") or ""):
            answer.body = self._read_chunks()
        else:
            answer.body = self.read_to_end()
        return answer

    def _read_chunks(self) -> bytes:
        body = b""
        while True:
            size = int(self.read_until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                while self.read_until(b"\r\n") != b"\r\n":
                    pass
                return body
            body += self.read_exactly(size)
            self.read_exactly(2)


# --- servers


@dataclass
class Seen:
    """A request as an `HttpUpstream` saw it."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> Optional[str]:
        """The first value of a header, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


Respond = Callable[[Seen], Answer]


class HttpUpstream:
    """A small threaded HTTP/1.1 server with keep-alive that notes what it is asked.

    `respond` makes the answers (the default says ``name`` and the path).  While `hold` is cleared answers wait.
    """

    def __init__(self, name: str = "upstream", respond: Optional[Respond] = None, port: int = 0) -> None:
        self.name = name
        self.respond = respond or self._default
        self.seen: list[Seen] = []
        self.hold = threading.Event()
        self.hold.set()
        self._server = _QuietServer(("127.0.0.1", port), _Handling)
        self._server.owner = self
        self.port: int = self._server.server_address[1]
        self.address = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def _default(self, seen: Seen) -> Answer:
        return Answer(200, [("content-type", "text/plain")], f"{self.name} {seen.path}".encode())

    def stop(self) -> None:
        """Stop listening and cut what is open."""
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.cut()


class _QuietServer(http.server.ThreadingHTTPServer):
    owner: HttpUpstream
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""

    def cut(self) -> None:
        for each in list(self._open):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Handling(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes; on a kept connection the second would wait 40 ms for an acknowledgement.
    disable_nagle_algorithm = True
    server: _QuietServer

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        owner = self.server.owner
        seen = Seen(self.command, self.path, list(self.headers.items()), self._read_body())
        owner.seen.append(seen)
        owner.hold.wait(PATIENCE)
        answer = owner.respond(seen)
        self.send_response_only(answer.status)
        names = {name.lower() for name, _ in answer.headers}
        for name, value in answer.headers:
            self.send_header(name, value)
        if "content-length" not in names and "transfer-encoding" not in names:
            self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _read_body(self) -> bytes:
        if "chunked" in (self.headers.get("transfer-encoding") or ""):
            body = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                if size == 0:
                    while self.rfile.readline() not in (b"\r\n", b""):
                        pass
                    return body
                body += self.rfile.read(size)
                self.rfile.readline()
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = _answer


class TcpUpstream:
    """Accepts connections and runs `talk(client)` for each in a thread; the default echoes."""

    def __init__(self, talk: Optional[Callable[[RawClient], None]] = None, where: Union[int, str] = 0) -> None:
        self._talk = talk or echo
        self.accepted = 0
        self.errors: list[BaseException] = []
        self._open: list[socket.socket] = []
        if isinstance(where, str):
            self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._sock.bind(where)
            self.address = f"unix:{where}"
            self.port = 0
        else:
            self._sock = socket.socket()
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._sock.bind(("127.0.0.1", where))
            self.port = self._sock.getsockname()[1]
            self.address = f"127.0.0.1:{self.port}"
        self._sock.listen(512)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._sock.accept()
            except OSError:
                return
            self.accepted += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with RawClient(sock) as client:
            try:
                self._talk(client)
            except (EOFError, OSError):
                return
            except BaseException as error:
                self.errors.append(error)

    def stop(self) -> None:
        """Stop listening and cut what is open."""
        for each in [self._sock, *self._open]:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()


def echo(client: RawClient) -> None:
    """Send back what comes, then close."""
    while True:
        data = client.sock.recv(65536)
        if not data:
            return
        client.send(data)


# --- twistd mesh


def environment(**more: str) -> dict[str, str]:
    """The environment for a child process that runs this checkout."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **more}


def program(name: str) -> str:
    """The path of a console script that was installed beside this interpreter."""
    return str(Path(sys.executable).parent / name)


@dataclass
class Mesh:
    """A running `twistd -n mesh`.  `config` is the file it reads; write to it and send SIGHUP, or just write."""

    process: subprocess.Popen[bytes]
    config: Path
    admin: str
    log: Path
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        return self.process.pid

    def output(self) -> str:
        """All it has printed, both streams."""
        return self.log.read_text("utf-8", "replace")

    def get(self, path: str, method: str = "GET") -> Answer:
        """Ask the admin address."""
        return request(self.admin, path, method)

    def ready(self) -> bool:
        """Whether /ready says so.

        :raises AssertionError: the process has ended.
        """
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.output()}"
        return self.get("/ready").status == 200

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that carry these labels."""
        total = 0.0
        for line in self.get("/metrics").text.splitlines():
            if line.partition("{")[0].split(" ")[0] != name:
                continue
            if all(f'{key}="{value}"' in line for key, value in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, within: float = PATIENCE) -> int:
        """Wait for its end and return the exit status."""
        return self.process.wait(within)

    def stop(self) -> None:
        """End it, gently if it will."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)


def start_mesh(
    config: Union[str, Path],
    directory: Path,
    *,
    arguments: Sequence[str] = (),
    twistd: Sequence[str] = (),
    env: Optional[dict[str, str]] = None,
    command: Optional[Sequence[str]] = None,
    wait: bool = True,
) -> Mesh:
    """Start ``twistd -n mesh`` and wait until /ready says 200.

    :param config: YAML text (written to ``mesh.yaml`` in `directory`) or the path of a file or directory.
    :param arguments: more options of ``mesh``; an admin address on a free port is given unless one is among them.
    :param command: what to run instead of ``twistd -n``, such as ``python -m twisted_mesh`` (without ``--config``).
    """
    path = config
    if isinstance(path, str):
        path = directory / "mesh.yaml"
        path.write_text(str(config))
    options = list(arguments)
    if "--admin" in options:
        admin = options[options.index("--admin") + 1]
    else:
        admin = f"127.0.0.1:{free_port()}"
        options += ["--admin", admin]
    handle, log = tempfile.mkstemp(prefix="mesh-", suffix=".out", dir=directory)
    first = list(command) if command else [program("twistd"), "-n", "--pidfile=", *twistd, "mesh"]
    try:
        process = subprocess.Popen(
            [*first, "--config", str(path), *options],
            cwd=directory,
            env=environment(**(env or {})),
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
        )
    finally:
        os.close(handle)
    mesh = Mesh(process, Path(path), admin, Path(log))
    if wait:
        try:
            until(lambda: mesh.process.poll() is not None or mesh.ready(), f"{admin}/ready", within=PATIENCE)
            assert mesh.process.poll() is None, f"ended with {mesh.process.returncode}"
        except BaseException as error:
            mesh.stop()
            raise AssertionError(f"{error}\n{mesh.output()}") from None
    return mesh

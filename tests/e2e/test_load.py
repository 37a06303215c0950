"""Change under load, with clients that never retry: no call is lost, and everybody has counted the same."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Iterator, Optional

import pytest

from tests.e2e.support import Edge, edge_config, start_edge
from tests.support import Answer, HttpUpstream, RawClient, Seen, TcpUpstream, request, until

CALLS = "twisted_mesh_downstream_calls_total"


class Clients:
    """Threads that ask without a pause, each on a connection of its own while it is kept, and never twice.

    `outcomes` counts statuses, and exceptions by their name; `refused` are connections that nobody accepted, on
    which nothing was asked.

    :param breath: seconds between two requests of one: a change is read while the processors have nothing else to do,
        or seconds later.
    """

    def __init__(
        self, port: int, count: int = 6, method: str = "GET", path: str = "/load", breath: float = 0.0
    ) -> None:
        self._breath = breath
        self.outcomes: Counter[object] = Counter()
        self.by_body: Counter[bytes] = Counter()
        self.refused = 0
        self._port = port
        self._method = method
        self._path = path
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for each in self._threads:
            each.start()

    def _run(self) -> None:
        connection: Optional[http.client.HTTPConnection] = None
        while not self._stop.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
                    connection.connect()
            except ConnectionRefusedError:
                with self._lock:
                    self.refused += 1
                return
            except OSError as error:
                self._count(f"connect: {error!r}")
                connection = None
                continue
            connection = self._ask(connection)
            if self._breath:
                self._stop.wait(self._breath)

    def _ask(self, connection: http.client.HTTPConnection) -> Optional[http.client.HTTPConnection]:
        try:
            connection.request(self._method, self._path, b"x" if self._method == "POST" else None)
            answer = connection.getresponse()
            body = answer.read()
        except Exception as error:
            self._count(repr(error))
            connection.close()
            return None
        self._count(answer.status, body)
        if answer.will_close:
            connection.close()
            return None
        return connection

    def _count(self, outcome: object, body: bytes = b"") -> None:
        with self._lock:
            self.outcomes[outcome] += 1
            self.by_body[body] += 1

    @property
    def total(self) -> int:
        """Requests that came to an end."""
        with self._lock:
            return sum(self.outcomes.values())

    def more(self, count: int) -> None:
        """Wait until so many more requests have ended."""
        aim = self.total + count
        until(lambda: self.total >= aim, f"{count} more requests; {self.outcomes}", 30)

    def stop(self) -> None:
        """Let each finish the request it is at."""
        self._stop.set()
        self.join()

    def join(self) -> None:
        """Wait until all have ended."""
        for each in self._threads:
            each.join(30)
        assert not any(each.is_alive() for each in self._threads)


class Server(TcpUpstream):
    """Answers with its name, head and body in one piece: cut at any moment, it has answered or it has not."""

    def __init__(self, name: str, port: int = 0) -> None:
        self.name = name.encode()
        self.seen = 0
        super().__init__(self._answer, port)

    def _answer(self, link: RawClient) -> None:
        while True:
            head = link.read_until(b"\r\n\r\n")
            if b"content-length: 1\r\n" in head:
                link.read_exactly(1)
            self.seen += 1
            link.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(self.name), self.name))


@pytest.fixture
def upstreams() -> Iterator[list[Server]]:
    """Two servers."""
    two = [Server("one"), Server("two")]
    yield two
    for each in two:
        each.stop()


@pytest.fixture
def edge(tmp_path: Path, upstreams: list[Server]) -> Iterator[Edge]:
    """A sidecar before both."""
    one = start_edge(tmp_path, {"web": [each.address for each in upstreams]})
    yield one
    one.mesh.stop()


def log_counts(edge: Edge, path: str = "/load") -> Counter[object]:
    """The access log's lines about a path, by status."""
    return Counter(line["status"] for line in edge.lines() if line.get("path") == path)


def test_counts_agree(edge: Edge, upstreams: list[Server]) -> None:
    """Client, sidecar's log, sidecar's metrics and server have counted the same."""
    clients = Clients(edge.port)
    clients.more(1000)
    clients.stop()
    assert set(clients.outcomes) == {200}
    total = clients.total
    until(lambda: log_counts(edge) == {200: total}, "the log")
    assert edge.mesh.metric(CALLS, listener="edge", code="2xx") == total
    assert edge.mesh.metric("twisted_mesh_upstream_calls_total", cluster="web") == total
    assert sum(each.seen for each in upstreams) == total
    # Least request of two takes both.
    assert all(each.seen > total / 10 for each in upstreams)


def test_upstream_restarts(edge: Edge, upstreams: list[Server]) -> None:
    """A server that is cut and comes back costs no GET: what it loses is sent to the other."""
    clients = Clients(edge.port)
    clients.more(200)
    for _ in range(3):
        port = upstreams[0].port
        upstreams[0].stop()
        clients.more(200)
        upstreams[0] = Server("one again", port)
        clients.more(200)
        # One that could not be connected to is left alone for a moment.
        until(lambda: upstreams[0].seen, "calls for the one that is back")
    clients.stop()
    assert set(clients.outcomes) == {200}
    until(lambda: log_counts(edge) == clients.outcomes, "the log")
    assert clients.by_body[b"one again"] > 0


def test_upstream_restarts_under_posts(edge: Edge, upstreams: list[Server]) -> None:
    """A POST is never sent twice once it may have been read, so those that were being answered may fail; no others."""
    clients = Clients(edge.port, count=4, method="POST")
    clients.more(200)
    for _ in range(3):
        port = upstreams[0].port
        assert upstreams[0].seen
        upstreams[0].stop()
        clients.more(100)
        upstreams[0] = Server("one again", port)
        clients.more(100)
        until(lambda: upstreams[0].seen, "calls for the one that is back")
    clients.stop()
    lost = clients.total - clients.outcomes[200]
    assert set(clients.outcomes) <= {200, 502}
    # At most what was in flight at one server, each time it was cut.
    assert lost <= 3 * 4
    until(lambda: log_counts(edge) == clients.outcomes, "the log")


def test_reload(edge: Edge, tmp_path: Path, upstreams: list[Server]) -> None:
    """Changes of route, filters and cluster cost no call, and open connections stay open."""
    clients = Clients(edge.port, count=3, breath=0.002)
    clients.more(200)
    name = "twisted_mesh_downstream_connections_total"
    before = edge.mesh.metric(name, listener="edge")
    for number in range(5):
        config = edge_config(
            tmp_path,
            edge.port,
            {"web": [each.address for each in upstreams[: 1 + number % 2]], f"other{number}": [upstreams[0].address]},
            [{"to": "web", "name": f"route{number}", "timeout": f"{10 + number}s"}],
            listener={"filters": [{"headers": {"response": {"set": {"x-version": str(number)}}}}]},
        )
        edge.mesh.config.write_text(json.dumps(config))
        edge.mesh.signal(signal.SIGHUP)

        def current(number: int = number) -> bool:
            return request(edge.port, "/probe").header("x-version") == str(number)

        until(current, f"change {number}")
        clients.more(100)
    clients.stop()
    assert set(clients.outcomes) == {200}
    until(lambda: log_counts(edge) == clients.outcomes, "the log")
    probes = sum(1 for line in edge.lines() if line.get("path") == "/probe")
    assert edge.mesh.metric(name, listener="edge") == before + probes


def test_bad_reload(edge: Edge) -> None:
    """A change that is wrong changes nothing."""
    clients = Clients(edge.port, breath=0.002)
    clients.more(100)
    good = edge.mesh.config.read_text()
    edge.mesh.config.write_text(good.replace('"web"', '"nowhere"', 1) + "\nlisteners: {}")
    edge.mesh.signal(signal.SIGHUP)
    until(lambda: "mesh.yaml:" in edge.mesh.output(), "the problems in the log")
    clients.more(100)
    clients.stop()
    assert set(clients.outcomes) == {200}


def test_drain(tmp_path: Path) -> None:
    """SIGTERM: every call that was sent is answered, kept connections are told to close, and the end is a 0."""

    def slowly(seen: Seen) -> Answer:
        time.sleep(0.005)
        return Answer(200, [], b"slowly")

    upstream = HttpUpstream("one", slowly)
    edge = start_edge(tmp_path, {"web": [upstream.address]}, drain={"wait": "300ms"})
    try:
        clients = Clients(edge.port, count=12)
        clients.more(300)
        edge.mesh.signal(signal.SIGTERM)
        clients.join()
        assert edge.mesh.wait() == 0, edge.mesh.output()
    finally:
        edge.mesh.stop()
        upstream.stop()
    assert set(clients.outcomes) == {200}
    assert clients.refused == 12
    assert log_counts(edge) == clients.outcomes
    assert len(upstream.seen) == clients.total


@pytest.mark.parametrize("held", [True, False], ids=["call in flight", "idle connection"])
def test_drain_one(tmp_path: Path, held: bool) -> None:
    """A call in flight is finished with ``Connection: close``; an idle connection is closed at once."""
    upstream = HttpUpstream("one")
    edge = start_edge(tmp_path, {"web": [upstream.address]}, drain={"wait": "50ms"})
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=15)
    try:
        connection.request("GET", "/first")
        connection.getresponse().read()
        if held:
            upstream.hold.clear()
            connection.request("GET", "/second")
            until(lambda: len(upstream.seen) == 2, "the call to arrive")
        edge.mesh.signal(signal.SIGTERM)
        if held:
            until(lambda: refuses(edge.port), "the listener to stop")
            assert edge.mesh.process.poll() is None
            upstream.hold.set()
            answer = connection.getresponse()
            assert (answer.read(), answer.getheader("connection")) == (b"one /second", "close")
        else:
            assert connection.sock.recv(1) == b""
        assert edge.mesh.wait() == 0
    finally:
        connection.close()
        edge.mesh.stop()
        upstream.stop()


def refuses(port: int) -> bool:
    """Whether nobody accepts connections there."""
    try:
        http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
    except OSError:
        return True
    return False

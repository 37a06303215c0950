"""What breaks off: clients that go, upstreams that fail, times that run out. Each looks like what it is."""

from __future__ import annotations

import http.client
import threading
from typing import Iterator

import pytest

from tests.e2e.support import OK, AioServer, Edge, ScriptedUpstream, start_edge
from tests.support import PATIENCE, RawClient, free_port, request, until


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, app: AioServer, script: ScriptedUpstream) -> Iterator[Edge]:
    """The sidecar; what a route does stands in its host's name."""
    routes = [
        {"match": {"host": "app"}, "to": "app"},
        {"match": {"host": "refused"}, "to": "refused"},
        {"match": {"host": "half"}, "to": "half"},
        {"match": {"host": "short"}, "to": "app", "timeout": "300ms"},
        {"match": {"host": "short-faulty"}, "to": "faulty", "timeout": "300ms"},
        {"match": {"host": "still"}, "to": "faulty", "idle_timeout": "300ms"},
        {"match": {"host": "long"}, "to": "app", "max_duration": "500ms"},
        {"match": {"host": "small"}, "to": "app", "body_limit": 1000},
        {"match": {"host": "faulty"}, "to": "faulty"},
    ]
    nobody = f"127.0.0.1:{free_port()}"
    clusters = {
        "app": [app.address],
        "faulty": [script.upstream.address],
        "refused": [nobody],
        "half": [nobody, app.address],
    }
    one = start_edge(tmp_path_factory.mktemp("edge"), clusters, routes)
    yield one
    one.mesh.stop()


def get(host: str, path: str = "/", method: str = "GET", more: str = "") -> bytes:
    """A request head."""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


# --- clients that go


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("path", ["/late", "/forever"])
def test_client_goes(edge: Edge, app: AioServer, path: str, how: str) -> None:
    """A client that goes, waiting or while its answer flows, is seen by the upstream, and the log says DC."""
    before = app.ended.count(path)
    client = RawClient(edge.port)
    client.send(get("app", path))
    if path == "/forever":
        client.read_until(b"begun")
    else:
        until(lambda: edge.mesh.metric("twisted_mesh_downstream_calls_active", listener="edge") == 1, "the call")
    getattr(client, how)()
    until(lambda: app.ended.count(path) > before, "the upstream to see it")
    line = until(lambda: [each for each in edge.lines() if each.get("path") == path][before:])[-1]
    assert line["flags"] == ["DC"]


def test_client_goes_within_its_body(edge: Edge, script: ScriptedUpstream) -> None:
    """A request that is cut looks cut to the upstream, whether counted or chunked."""
    ends: list[object] = []

    def say(head: bytes, link: RawClient) -> str:
        try:
            while True:
                ends.append(link.read_exactly(1))
        except (EOFError, ConnectionResetError) as error:
            ends.append(type(error).__name__)
        return "close"

    script.say = say
    for framing, piece in (("Content-Length: 10", b"hello"), ("Transfer-Encoding: chunked", b"5\r\nhello\r\n")):
        ends.clear()
        client = RawClient(edge.port)
        client.send(get("faulty", method="POST", more=f"{framing}\r\n") + piece)
        until(lambda: ends, "the beginning to arrive")
        client.close()
        until(lambda: isinstance(ends[-1], str), "the end to arrive")
        assert b"".join(each for each in ends if isinstance(each, bytes)) == piece


def test_client_goes_behind_many_requests(edge: Edge, app: AioServer) -> None:
    """It is seen to go although what it sent has filled what is kept, and the connection is not read."""
    before = app.ended.count("/late")
    client = RawClient(edge.port)
    client.send(get("app", "/late") + get("app", "/status/200") * 5000)
    until(lambda: app.seen["/late"] > before, "the call")
    client.close()
    until(lambda: app.ended.count("/late") > before, "the upstream to see it")


def test_client_goes_behind_a_body_that_nobody_takes(edge: Edge, script: ScriptedUpstream) -> None:
    """The upstream reads nothing, so nor do we; it sees the end all the same."""
    gone = threading.Event()

    def say(head: bytes, link: RawClient) -> str:
        if not gone.wait(PATIENCE):
            return "close"
        try:
            while link.read_exactly(1):
                continue
        except (EOFError, ConnectionResetError):
            gone.clear()
        return "close"

    script.say = say
    client = RawClient(edge.port)
    client.send(get("faulty", "/untaken", "POST", "Content-Length: 100000000\r\n"))
    client.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        while True:
            client.send(bytes(100_000))
    # A FIN would wait behind what the client could not send.
    client.reset()
    line = edge.line("/untaken")
    assert line["flags"] == ["DC"]
    gone.set()
    until(lambda: not gone.is_set(), "the upstream to see it")


def test_half_closing_client(edge: Edge) -> None:
    """A client that half-closes counts as gone, unless the listener says otherwise: nothing is answered."""
    with RawClient(edge.port) as client:
        client.send(get("app", "/late"))
        client.half_close()
        assert client.read_to_end() == b""


# --- upstreams that fail


def test_refused(edge: Edge) -> None:
    """Nobody listens: 503 with UF, after the tries that the route allows."""
    answer = request(edge.port, "/refused", headers={"Host": "refused"})
    assert answer.status == 503
    assert "UF" in answer.text
    assert edge.line("/refused")["attempts"] == 3


def test_refused_by_one_of_two(edge: Edge) -> None:
    """Nobody listens at one of two endpoints: the other answers every call."""
    for _ in range(20):
        assert request(edge.port, "/bytes/1", headers={"Host": "half"}).status == 200


def test_no_route(edge: Edge) -> None:
    """No route matches: 404 with NR; JSON where the client takes it."""
    answer = request(edge.port, "/lost", headers={"Host": "other", "Accept": "application/json"})
    assert (answer.status, answer.header("content-type")) == (404, "application/json")
    assert '"NR"' in answer.text
    assert edge.line("/lost")["flags"] == ["NR"]


def test_reset_before_the_answer(edge: Edge, script: ScriptedUpstream) -> None:
    """A connection that ends before any byte of an answer: a GET is sent again, a POST never."""

    def say(head: bytes, link: RawClient) -> str:
        link.reset()
        return "close"

    script.say = say
    for method, tries in (("GET", 3), ("POST", 1)):
        script.heads.clear()
        answer = request(edge.port, f"/reset-{method}", method, b"x", {"Host": "faulty"})
        assert answer.status in (502, 503)
        # The first may have gone out on a connection from an earlier test, which is no try.
        assert tries <= len(script.heads) <= tries + 1
        line = edge.line(f"/reset-{method}")
        assert line["attempts"] == tries
        assert line["flags"][0] in ("UR", "UC")


def test_kept_connection_closed_by_the_upstream(edge: Edge, script: ScriptedUpstream) -> None:
    """An upstream that closes kept connections without a word, again and again, costs no call, not even a POST."""

    def say(head: bytes, link: RawClient) -> str:
        if b"content-length: 1\r\n" in head.lower():
            link.read_exactly(1)
        link.send(OK)
        return "close"

    script.say = say
    client = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=15)
    for number in range(300):
        client.request("POST" if number % 2 else "GET", "/kept", b"x" if number % 2 else None, {"Host": "faulty"})
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, b"ok"), number
    client.close()


@pytest.mark.parametrize(
    "framing",
    [b"Content-Length: 200000", b"Transfer-Encoding: chunked", b"Connection: close"],
    ids=["counted", "chunked", "until close"],
)
def test_answer_cut(edge: Edge, script: ScriptedUpstream, framing: bytes) -> None:
    """An answer that breaks off looks broken off to the client, in every framing."""
    body = b"x" * 100_000

    def say(head: bytes, link: RawClient) -> str:
        piece = b"%x\r\n%b\r\n" % (len(body), body) if b"chunked" in framing else body
        link.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + piece)
        taken.wait(15)
        link.reset()
        return "close"

    taken = threading.Event()
    script.say = say
    with RawClient(edge.port) as client:
        client.send(get("faulty", "/cut"))
        head = client.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        client.read_exactly(50_000)
        taken.set()
        with pytest.raises(ConnectionResetError):
            client.read_to_end()
        assert not client.buffer.endswith(b"0\r\n\r\n")
    line = until(lambda: [each for each in edge.lines() if each.get("path") == "/cut" and each["flags"]])[-1]
    assert line["status"] == 200


def test_answer_before_the_end_of_the_request_and_a_reset(edge: Edge, script: ScriptedUpstream) -> None:
    """A server that refuses an upload and closes at once resets the connection; its answer is passed on all the same."""

    def say(head: bytes, link: RawClient) -> str:
        link.send(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
        return "close"

    script.say = say
    for framing in ("Content-Length: 20000000\r\n", "Transfer-Encoding: chunked\r\n"):
        with RawClient(edge.port) as client:
            client.send(get("faulty", "/early", "POST", framing))
            piece = bytes(50_000)
            try:
                for _ in range(400):
                    client.send(piece if "Length" in framing else b"c350\r\n" + piece + b"\r\n")
            except OSError:
                pass
            answer = client.read_answer()
            assert (answer.status, answer.body) == (413, b"big")


def test_late_head_of_a_dead_upstream(edge: Edge, script: ScriptedUpstream) -> None:
    """Half a head, then a close: 502."""
    script.say = lambda head, link: (link.send(b"HTTP/1.1 200 OK\r\nContent-"), "close")[1]
    answer = request(edge.port, "/half-head", headers={"Host": "faulty"})
    assert answer.status == 502


# --- times that run out


def test_route_timeout(edge: Edge, app: AioServer) -> None:
    """No head in the route's time: 504 with UT, and the upstream is let go."""
    before = app.ended.count("/late")
    answer = request(edge.port, "/late", headers={"Host": "short"})
    assert answer.status == 504
    assert "UT" in answer.text
    until(lambda: app.ended.count("/late") > before, "the upstream to see it")


def test_route_timeout_does_not_cut_bodies(edge: Edge, script: ScriptedUpstream) -> None:
    """A body that flows for longer than the route's timeout is not cut."""

    def say(head: bytes, link: RawClient) -> None:
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        for _ in range(10):
            pause.wait(0.06)
            link.send(b".")

    pause = threading.Event()
    script.say = say
    assert request(edge.port, "/flows", headers={"Host": "short-faulty"}).body == b"." * 10


def test_route_timeout_counts_from_the_end_of_the_request(edge: Edge, app: AioServer) -> None:
    """A request that takes longer to arrive than the route's timeout is served."""
    pause = threading.Event()
    with RawClient(edge.port) as client:
        client.send(get("short", "/sink", "POST", "Content-Length: 10\r\n"))
        for _ in range(10):
            pause.wait(0.06)
            client.send(b".")
        assert client.read_answer().status == 200


def test_stream_idle(edge: Edge, script: ScriptedUpstream) -> None:
    """An answer in which nothing moves is cut, with SI."""
    over = threading.Event()

    def say(head: bytes, link: RawClient) -> str:
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        over.wait(10)
        return "close"

    script.say = say
    with RawClient(edge.port) as client:
        client.send(get("still", "/still"))
        client.read_until(b"12345")
        with pytest.raises(ConnectionResetError):
            client.read_to_end()
    over.set()
    assert "SI" in edge.line("/still")["flags"]


def test_request_body_idle(edge: Edge, script: ScriptedUpstream) -> None:
    """A request in which nothing moves is answered with 408."""
    over = threading.Event()

    def say(head: bytes, link: RawClient) -> str:
        over.wait(10)
        return "close"

    script.say = say
    with RawClient(edge.port) as client:
        client.send(get("still", "/still-body", "POST", "Content-Length: 10\r\n") + b"12345")
        assert client.read_answer().status == 408
        assert client.read_to_end() == b""
    over.set()


def test_max_duration(edge: Edge) -> None:
    """A call that lasts longer than its route allows is cut, with DT."""
    with RawClient(edge.port) as client:
        client.send(get("long", "/forever"))
        client.read_until(b"begun")
        with pytest.raises(ConnectionResetError):
            client.read_to_end()
    until(lambda: any("DT" in each.get("flags", ()) for each in edge.lines()), "a line with DT")


def test_body_limit(edge: Edge, app: AioServer) -> None:
    """A body over the route's limit is a 413, and no upstream takes it for a whole one."""
    count = app.seen["/sink"]
    with RawClient(edge.port) as client:
        client.send(get("small", "/sink", "POST", "Content-Length: 1001\r\n"))
        assert client.read_answer().status == 413
    assert app.seen["/sink"] == count
    with RawClient(edge.port) as client:
        client.send(get("small", "/sink", "POST", "Transfer-Encoding: chunked\r\n") + b"3e9\r\n" + b"x" * 1001)
        assert client.read_answer().status == 413
    assert request(edge.port, "/sink", "POST", b"x" * 1000, {"Host": "small"}).status == 200


def test_nothing_is_left(edge: Edge, app: AioServer) -> None:
    """After all that no call is in flight and no connection held."""
    for name in ("connections_active", "calls_active"):
        until(lambda name=name: edge.mesh.metric(f"twisted_mesh_downstream_{name}", listener="edge") == 0, name)
    until(lambda: edge.mesh.metric("twisted_mesh_upstream_calls_active") == 0, "upstream calls to end")

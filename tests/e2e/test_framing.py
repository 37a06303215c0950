"""What happens on the wire: framing, pipelining, interim answers, HTTP/1.0, byte for byte over real sockets."""

from __future__ import annotations

import re
import threading
from typing import Iterator

import pytest

from tests.e2e.support import OK, AioServer, Edge, ScriptedUpstream, start_edge
from tests.support import RawClient, until

HEAD = b"Host: a\r\n\r\n"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, script: ScriptedUpstream, app: AioServer) -> Iterator[Edge]:
    """The sidecar: the host ``app`` goes to aiohttp, all else to the script."""
    one = start_edge(
        tmp_path_factory.mktemp("edge"),
        {"script": [script.upstream.address], "app": [app.address]},
        [{"match": {"host": "app"}, "to": "app"}, {"to": "script"}],
        http={"timeouts": {"header": "1s"}},
    )
    yield one
    one.mesh.stop()


@pytest.fixture
def client(edge: Edge) -> Iterator[RawClient]:
    """A connection of one's own."""
    with RawClient(edge.port) as one:
        yield one


def answers(script: ScriptedUpstream, data: bytes) -> None:
    """Have the script answer every request so."""
    script.say = lambda head, link: link.send(data)


def test_pipelined(client: RawClient) -> None:
    """Requests that come in one read are answered in order."""
    client.send(b"".join(b"GET /bytes/%d HTTP/1.1\r\nHost: app\r\n\r\n" % n for n in range(100)))
    for number in range(100):
        assert len(client.read_answer().body) == number


def test_pipelined_with_bodies(client: RawClient) -> None:
    """Counted and chunked requests behind each other keep apart."""
    counted = b"POST /stream HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\n\r\nfirst"
    chunked = (
        b"POST /stream HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nsec\r\n3\r\nond\r\n0\r\n\r\n"
    )
    client.send((counted + chunked) * 10)
    for _ in range(10):
        assert client.read_answer().body == b"first"
        assert client.read_answer().body == b"second"


def test_more_pipelined_than_is_kept(client: RawClient) -> None:
    """A flood of pipelined requests is taken bit by bit; none is lost and the order holds."""
    count = 5000

    def send() -> None:
        client.send(b"".join(b"GET /echo?%d HTTP/1.1\r\nHost: app\r\n\r\n" % n for n in range(count)))

    threading.Thread(target=send, daemon=True).start()
    for number in range(count):
        assert b'"/echo?%d"' % number in client.read_answer().body


@pytest.mark.parametrize("pieces", ["whole", "bytes"])
def test_trailers(client: RawClient, script: ScriptedUpstream, pieces: str) -> None:
    """Trailers pass in both directions, as trailers."""
    seen = []

    def say(head: bytes, link: RawClient) -> None:
        seen.append(link.read_until(b"\r\n\r\n"))
        answer = b"HTTP/1.1 200 OK\r\nTrailer: X-Down\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer += b"4\r\nback\r\n0\r\nX-Down: 2\r\n\r\n"
        for piece in [answer] if pieces == "whole" else [bytes([each]) for each in answer]:
            link.send(piece)

    script.say = say
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.send(b"4\r\nforw\r\n0\r\nX-Up: 1\r\n\r\n")
    answer = client.read_until(b"X-Down: 2\r\n\r\n")
    assert b"x-up: 1\r\n" in seen[0].lower()
    assert b"forw" in seen[0]
    assert answer.lower().count(b"x-down: 2") == 1
    assert b"0\r\nx-down: 2" in answer.lower()
    answers(script, OK)
    client.send(b"GET / HTTP/1.1\r\n" + HEAD)
    assert client.read_answer().body == b"ok"


def test_head_204_304(client: RawClient, script: ScriptedUpstream) -> None:
    """Answers without a body keep the connection in step, on both sides."""
    before = script.upstream.accepted
    for method, answer, length in (
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "1000"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: x\r\n\r\n", "1000"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", None),
    ):
        answers(script, answer)
        client.send(method + b" / HTTP/1.1\r\n" + HEAD)
        got = client.read_answer(head_only=True)
        assert got.status == int(answer[9:12])
        assert got.header("content-length") == length
        assert not client.buffer
    assert script.upstream.accepted <= before + 1


def test_expect_100(client: RawClient, script: ScriptedUpstream) -> None:
    """Expect: 100-continue goes to the upstream, its 100 comes back, and only then the body goes."""

    def say(head: bytes, link: RawClient) -> None:
        assert b"expect: 100-continue" in head.lower()
        link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert link.read_exactly(5) == b"hello"
        link.send(OK)

    script.say = say
    client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
    client.send(b"hello")
    assert client.read_answer().body == b"ok"
    assert script.upstream.errors == []


def test_expect_100_refused(client: RawClient, script: ScriptedUpstream) -> None:
    """An upstream that refuses the body by a final answer is heard before the body is sent."""
    answers(script, b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno")
    client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert client.read_answer().status == 413


def test_long_chunked_answer_then_another(client: RawClient, script: ScriptedUpstream) -> None:
    """A chunked answer of more than a stream holds, sent at once, leaves its connection fit for the next."""
    body = b"x" * 100_000
    answers(script, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n" + body + b"\r\n0\r\n\r\n")
    for _ in range(3):
        client.send(b"GET / HTTP/1.1\r\n" + HEAD)
        assert client.read_answer().body == body


def test_early_hints(client: RawClient, script: ScriptedUpstream) -> None:
    """A 103 passes before its answer, with its fields."""
    answers(script, b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" + OK)
    client.send(b"GET / HTTP/1.1\r\n" + HEAD)
    hints = client.read_answer(head_only=True)
    assert (hints.status, hints.header("link")) == (103, "</a.css>; rel=preload")
    assert client.read_answer().body == b"ok"


def test_early_hints_not_for_http_1_0(client: RawClient, script: ScriptedUpstream) -> None:
    """A client of HTTP/1.0 knows no interim answers and gets none."""
    answers(script, b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" + OK)
    client.send(b"GET / HTTP/1.0\r\n" + HEAD)
    assert client.read_answer().status == 200


@pytest.mark.parametrize("keep", [True, False])
def test_http_1_0_client(client: RawClient, script: ScriptedUpstream, keep: bool) -> None:
    """A client of HTTP/1.0 is answered as one: no chunks, and kept only if it asked."""
    answers(script, OK)
    extra = b"Connection: keep-alive\r\n" if keep else b""
    for _ in range(2 if keep else 1):
        client.send(b"GET / HTTP/1.0\r\n" + extra + HEAD)
        head = client.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 200 ")
        assert (b"connection: keep-alive" in head.lower()) is keep
        assert client.read_exactly(2) == b"ok"
    if not keep:
        assert client.read_to_end() == b""
    assert script.heads[-1].split(b"\r\n")[0] == b"GET / HTTP/1.1"


def test_http_1_0_client_and_chunked_answer(client: RawClient, script: ScriptedUpstream) -> None:
    """A chunked answer reaches a client of HTTP/1.0 until the connection ends."""

    def say(head: bytes, link: RawClient) -> None:
        link.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        link.send(b"6\r\n world\r\n0\r\n\r\n")

    script.say = say
    client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n" + HEAD)
    data = client.read_to_end()
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    # Where all of the body was there at once it may be counted.
    assert body == b"hello world"


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_until_close_answer(client: RawClient, script: ScriptedUpstream, version: bytes) -> None:
    """An answer that ends with its connection reaches a client of 1.1 in a frame, and the client's connection lives."""

    def say(head: bytes, link: RawClient) -> None:
        link.send(b"HTTP/%b 200 OK\r\nConnection: close\r\n\r\n" % version)
        link.send(b"x" * 100_000)
        link.sock.shutdown(2)

    script.say = say
    client.send(b"GET / HTTP/1.1\r\n" + HEAD)
    assert client.read_answer().body == b"x" * 100_000
    answers(script, OK)
    client.send(b"GET / HTTP/1.1\r\n" + HEAD)
    assert client.read_answer().body == b"ok"


def test_hop_by_hop(client: RawClient, script: ScriptedUpstream) -> None:
    """What is between two neighbours stays there, what Connection names included; all else passes in order."""
    answers(
        script,
        b"HTTP/1.1 200 Fine\r\nX-A: 1\r\nX-Drop: 1\r\nConnection: X-Drop\r\nKeep-Alive: timeout=5\r\n"
        b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok",
    )
    client.send(
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nX-Hop: 1\r\nConnection: X-Hop, keep-alive\r\nKeep-Alive: 5\r\n"
        b"Proxy-Connection: keep-alive\r\nTE: gzip\r\nX-A: 2\r\n\r\n"
    )
    answer = client.read_answer()
    sent = script.heads[-1].lower()
    for name in (b"x-hop", b"keep-alive", b"proxy-connection", b"te:", b"connection"):
        assert b"\r\n" + name not in sent, sent
    assert re.search(rb"x-a: 1\r\n.*x-a: 2\r\n", sent, re.DOTALL)
    assert [value for name, value in answer.headers if name.lower() == "set-cookie"] == ["a=1", "b=2"]
    assert answer.header("x-a") == "1"
    for gone in ("x-drop", "keep-alive"):
        assert answer.header(gone) is None


def test_connection_cannot_name_what_others_rely_on(client: RawClient, script: ScriptedUpstream) -> None:
    """A client cannot have the proxy's own fields dropped by naming them in Connection."""
    answers(script, OK)
    names = b"X-Forwarded-For, Host, Content-Length, X-Request-Id, Authorization, Cookie"
    client.send(b"GET / HTTP/1.1\r\nAuthorization: x\r\nCookie: y\r\nConnection: " + names + b"\r\n" + HEAD)
    client.read_answer()
    sent = script.heads[-1].lower()
    for name in (b"x-forwarded-for", b"host", b"x-request-id", b"authorization", b"cookie"):
        assert b"\r\n" + name + b": " in sent


def test_rubbish_behind_a_request(client: RawClient, script: ScriptedUpstream) -> None:
    """A valid request that is followed by rubbish gets its answer first, then the rubbish its refusal."""
    answers(script, OK)
    client.send(b"GET / HTTP/1.1\r\n" + HEAD + b"\x00\x01rubbish\r\n\r\n")
    assert client.read_answer().body == b"ok"
    assert client.read_answer().status == 400
    assert client.read_to_end() == b""


def test_data_behind_connection_close(client: RawClient, script: ScriptedUpstream) -> None:
    """What stands behind a request that closes is not looked at."""
    answers(script, OK)
    count = len(script.heads)
    client.send(b"GET / HTTP/1.1\r\nConnection: close\r\n" + HEAD + b"GET /second HTTP/1.1\r\n" + HEAD)
    answer = client.read_answer()
    assert (answer.body, answer.header("connection")) == (b"ok", "close")
    assert client.read_to_end() == b""
    assert len(script.heads) == count + 1


def test_slow_head(client: RawClient) -> None:
    """A head that does not come in time is a 408 and a close: no slot is held for ever (slowloris)."""
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
    answer = client.read_answer()
    assert (answer.status, answer.header("connection")) == (408, "close")
    assert client.read_to_end() == b""


def test_slow_head_drips(edge: Edge) -> None:
    """Sending a byte now and then does not extend the time for a head."""
    with RawClient(edge.port, timeout=0.1) as client:
        client.send(b"GET / HTTP/1.1\r\n")

        def closed() -> bool:
            try:
                client.send(b"X")
                return client.sock.recv(1000).startswith(b"HTTP/1.1 408")
            except TimeoutError:
                return False

        until(closed, "the 408")


def test_one_byte_at_a_time(client: RawClient, app: AioServer) -> None:
    """A request in single bytes is a request."""
    for byte in b"POST /stream HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n":
        client.send(bytes([byte]))
    assert client.read_answer().body == b"hello"


def test_error_answers(client: RawClient, edge: Edge) -> None:
    """What the sidecar says itself carries the request id and the flag, as text or as JSON."""
    client.send(b"GET /bad path HTTP/1.1\r\n" + HEAD)
    answer = client.read_answer()
    assert answer.status == 400
    assert "DPE" in answer.text
    assert answer.header("x-request-id") in answer.text
    line = until(lambda: [each for each in edge.lines() if each["id"] == answer.header("x-request-id")])[0]
    assert (line["status"], line["flags"]) == (400, ["DPE"])

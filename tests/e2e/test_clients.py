"""Clients and servers that others wrote, through one sidecar: what one sends is what the other gets."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import subprocess
import threading
from typing import Any, Iterator

import aiohttp
import httpx
import pytest
import requests

from tests.e2e.support import PIECE, AioServer, Edge, PlainServer, start_edge

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[AioServer]:
    """aiohttp."""
    one = AioServer()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainServer]:
    """Python's http.server, which speaks HTTP/1.0."""
    directory = tmp_path_factory.mktemp("files")
    (directory / "hello.txt").write_text("hello from a file")
    (directory / "big.bin").write_bytes(PIECE * 32)
    one = PlainServer(directory)
    yield one
    one.stop()


@pytest.fixture(scope="module")
def httpbin() -> Iterator[str]:
    """httpbin on werkzeug's server."""
    flask_app = pytest.importorskip("httpbin").app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_request(self, *arguments: Any) -> None:
            """Say nothing."""

    one = make_server("127.0.0.1", 0, flask_app, threaded=True, request_handler=Quiet)
    threading.Thread(target=one.serve_forever, args=(0.02,), daemon=True).start()
    yield f"127.0.0.1:{one.server_port}"
    one.shutdown()


@pytest.fixture(scope="module")
def edge(
    tmp_path_factory: pytest.TempPathFactory, server: AioServer, files: PlainServer, httpbin: str
) -> Iterator[Edge]:
    """One sidecar: the servers are told apart by the host."""
    routes = [
        {"match": {"host": "files.example"}, "to": "files"},
        {"match": {"host": "bin.example"}, "to": "httpbin"},
        {"to": "app"},
    ]
    clusters = {"app": [server.address], "files": [files.address], "httpbin": [httpbin]}
    one = start_edge(tmp_path_factory.mktemp("edge"), clusters, routes)
    yield one
    one.mesh.stop()


# --- one request of each kind, by every client


def _requests(url: str, method: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    answer = requests.request(method, url, data=body, headers=headers, timeout=15)
    return answer.status_code, answer.content


def _httpx(url: str, method: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    answer = httpx.request(method, url, content=body, headers=headers, timeout=15)
    return answer.status_code, answer.content


def _aiohttp(url: str, method: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    async def ask() -> tuple[int, bytes]:
        async with aiohttp.request(method, url, data=body, headers=headers) as answer:
            return answer.status, await answer.read()

    return asyncio.run(ask())


def _http_client(url: str, method: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    address, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(address, timeout=15)
    connection.request(method, "/" + path, body, headers)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read()
    finally:
        connection.close()


def _curl(url: str, method: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    words = ["curl", "-sS", "--max-time", "15", "-o", "-", "-w", "\\n%{http_code}", "-X", method, "--data-binary", "@-"]
    words += [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    done = subprocess.run([*words, url], input=body, capture_output=True, check=True)
    content, _, status = done.stdout.rpartition(b"\n")
    return int(status), content


CLIENTS = [_requests, _httpx, _aiohttp, _http_client, _curl]
by_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__[1:])


@by_client
@pytest.mark.parametrize("size", [0, 5, 100_000])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_echo(edge: Edge, client: Any, method: str, size: int) -> None:
    """Method, target, headers and body arrive as they were sent; what a proxy adds is there."""
    body = (PIECE * 2)[:size]
    status, content = client(f"{edge.url}/echo?a=1&b=%20x", method, body, {"X-Own": "mine", "Accept": "*/*"})
    told = json.loads(content)
    headers = {name.lower(): value for name, value in told["headers"]}
    assert status == 200
    assert (told["method"], told["path"], told["version"]) == (method, "/echo?a=1&b=%20x", "1.1")
    assert told["body"].encode("latin-1") == body
    assert headers["x-own"] == "mine"
    assert headers["host"] == f"127.0.0.1:{edge.port}"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-request-id"]
    assert headers["via"].startswith("1.1 ")
    assert 'for=127.0.0.1;host="' in headers["forwarded"]


@by_client
@pytest.mark.parametrize("path", ["/bytes/3000000", "/chunked/3000000", "/bytes/0", "/chunked/0"])
def test_download(edge: Edge, client: Any, path: str) -> None:
    """Counted and chunked answers arrive whole, by every client."""
    size = int(path.rpartition("/")[2])
    status, content = client(edge.url + path, "GET", b"", {})
    assert status == 200
    assert content == (PIECE * (size // len(PIECE) + 1))[:size]


@by_client
def test_until_close_server(edge: Edge, client: Any) -> None:
    """A server of HTTP/1.0 that closes after each answer serves clients of 1.1."""
    status, content = client(f"{edge.url}/big.bin", "GET", b"", {"Host": "files.example"})
    assert (status, content) == (200, PIECE * 32)
    status, content = client(f"{edge.url}/nothing", "GET", b"", {"Host": "files.example"})
    assert status == 404


@by_client
def test_httpbin(edge: Edge, client: Any) -> None:
    """httpbin sees what was sent."""
    body = json.dumps({"a": [1, 2, 3]}).encode()
    headers = {"Host": "bin.example", "Content-Type": "application/json"}
    status, content = client(f"{edge.url}/anything?q=1", "POST", body, headers)
    told = json.loads(content)
    assert status == 200
    assert told["json"] == {"a": [1, 2, 3]}
    assert told["args"] == {"q": "1"}
    assert told["headers"]["Host"] == "bin.example"


@pytest.mark.parametrize("status", [200, 201, 204, 301, 304, 400, 404, 418, 500, 503])
def test_statuses(edge: Edge, status: int) -> None:
    """Statuses pass as they are, for GET and HEAD, on one connection."""
    with requests.Session() as session:
        for method in ("GET", "HEAD", "GET"):
            answer = session.request(method, f"{edge.url}/status/{status}", allow_redirects=False, timeout=15)
            assert answer.status_code == status
            assert answer.content == (b"a body" if method == "GET" and status not in (204, 304) else b"")


def test_httpbin_tour(edge: Edge) -> None:
    """Redirects, cookies, compression, streams and ranges of httpbin through one session."""
    with requests.Session() as session:
        session.headers["Host"] = "bin.example"

        def get(path: str, **more: Any) -> requests.Response:
            return session.get(edge.url + path, timeout=15, **more)

        assert get("/gzip").json()["gzipped"] is True
        assert get("/deflate").json()["deflated"] is True
        assert len(get("/stream/20").text.splitlines()) == 20
        assert len(get("/bytes/5000?seed=1").content) == 5000
        assert get("/range/1000", headers={"Range": "bytes=10-19"}).status_code == 206
        assert get("/redirect-to?url=/get&status_code=307", allow_redirects=False).headers["Location"] == "/get"
        assert get("/cookies/set?a=b", allow_redirects=False).headers["Set-Cookie"].startswith("a=b")
        assert get("/basic-auth/u/p", auth=("u", "p")).status_code == 200
        assert get("/response-headers?X-Two=1&X-Two=2").headers["X-Two"] == "1, 2"
        assert get("/get", headers={"X-Latin": "caf\u00e9".encode("latin-1")}).status_code == 200  # type: ignore[dict-item]
        assert get("/drip?duration=0.2&numbytes=10&code=200").content == b"*" * 10


def test_upload_in_chunks(edge: Edge) -> None:
    """Bodies of unknown length arrive whole, from each client that can send them."""

    def pieces() -> Iterator[bytes]:
        for _ in range(30):
            yield PIECE

    size = 30 * len(PIECE)
    assert requests.post(f"{edge.url}/sink", data=pieces(), timeout=15).json() == {"size": size}
    assert httpx.post(f"{edge.url}/sink", content=pieces(), timeout=15).json() == {"size": size}
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=15)
    connection.request("POST", "/sink", pieces(), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert json.loads(connection.getresponse().read()) == {"size": size}
    connection.close()


def test_body_streams_both_ways_at_once(edge: Edge) -> None:
    """An answer may flow while its request still does."""

    async def talk() -> None:
        sent: asyncio.Queue[bytes | None] = asyncio.Queue()

        async def body() -> Any:
            while (piece := await sent.get()) is not None:
                yield piece

        async with aiohttp.ClientSession() as session:
            sent.put_nowait(b"first")
            async with session.post(f"{edge.url}/stream", data=body()) as answer:
                assert await answer.content.readany() == b"first"
                for number in range(5):
                    text = b"%d" % number * 1000
                    sent.put_nowait(text)
                    assert await answer.content.readexactly(1000) == text
                sent.put_nowait(None)
                assert await answer.content.read() == b""

    asyncio.run(asyncio.wait_for(talk(), 15))


def test_keep_alive(edge: Edge) -> None:
    """A session uses one connection to the sidecar for many requests."""
    before = edge.mesh.metric("twisted_mesh_downstream_connections_total", listener="edge")
    with requests.Session() as session:
        for number in range(20):
            assert session.get(f"{edge.url}/bytes/{number}", timeout=15).content == PIECE[:number]
    assert edge.mesh.metric("twisted_mesh_downstream_connections_total", listener="edge") == before + 1


def test_access_log_and_metrics_agree(edge: Edge) -> None:
    """Every call is one line, and one more in the metrics."""
    name = "twisted_mesh_downstream_calls_total"
    before = edge.mesh.metric(name, listener="edge", route="edge[2]"), edge.mesh.metric(name, listener="edge")
    path = "/bytes/1234"
    with httpx.Client() as client:
        for _ in range(7):
            client.get(edge.url + path, headers={"X-Request-Id": "given-1"})
    line = edge.line(path)
    assert (line["method"], line["status"], line["bytes_out"], line["id"]) == ("GET", 200, 1234, "given-1")
    assert line["cluster"] == "app"
    assert edge.mesh.metric(name, listener="edge") == before[1] + 7

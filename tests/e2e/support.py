"""A sidecar with one HTTP listener, and servers that others wrote, for the end-to-end tests."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Union

from aiohttp import WSMsgType, web

from tests.support import PATIENCE, Mesh, RawClient, TcpUpstream, free_port, start_mesh, until

Endpoints = Union[list[str], Mapping[str, Any]]


@dataclass
class Edge:
    """A running sidecar; its HTTP listener `edge` is at `port`, its access log in `log`."""

    mesh: Mesh
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Where clients go."""
        return f"http://127.0.0.1:{self.port}"

    def lines(self) -> list[dict[str, Any]]:
        """The access log so far."""
        text = self.log.read_text("utf-8") if self.log.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def line(self, path: str) -> dict[str, Any]:
        """Wait for the access log's line about a path, the last if there are several."""
        found: list[dict[str, Any]] = until(
            lambda: [each for each in self.lines() if each.get("path") == path], f"a line about {path}"
        )
        return found[-1]

    def resident(self) -> int:
        """Bytes of resident memory of the sidecar."""
        return resident(self.mesh.pid)


def resident(pid: int) -> int:
    """Bytes of resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no VmRSS of {pid}")


def edge_config(
    directory: Path,
    port: int,
    clusters: Mapping[str, Endpoints],
    routes: Optional[list[dict[str, Any]]] = None,
    http: Optional[dict[str, Any]] = None,
    listener: Optional[dict[str, Any]] = None,
    **more: Any,
) -> dict[str, Any]:
    """A configuration with the listener `edge`; routes default to one that sends all to the first cluster."""
    first = next(iter(clusters))
    edge: dict[str, Any] = {"protocol": "http", "bind": f"127.0.0.1:{port}", "routes": routes or [{"to": first}]}
    if http:
        edge["http"] = http
    edge |= listener or {}
    made = {name: {"endpoints": each} if isinstance(each, list) else dict(each) for name, each in clusters.items()}
    log = {"path": str(directory / "access.log"), "format": "json"}
    config: dict[str, Any] = {"access_log": log, "listeners": {"edge": edge}, "clusters": made, **more}
    return config


def start_edge(
    directory: Path,
    clusters: Mapping[str, Endpoints],
    routes: Optional[list[dict[str, Any]]] = None,
    *,
    start: Optional[dict[str, Any]] = None,
    **more: Any,
) -> Edge:
    """Start a sidecar with the listener `edge` and wait until it is ready.

    :param start: arguments for `start_mesh`; what else is given goes to `edge_config`.
    """
    port = free_port()
    config = edge_config(directory, port, clusters, routes, **more)
    # JSON is YAML.
    mesh = start_mesh(json.dumps(config, indent=1), directory, **(start or {}))
    return Edge(mesh, port, directory / "access.log")


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class ScriptedUpstream:
    """An upstream in bytes: `say` is called with each request head and the connection, and answers as it likes.

    The connection is closed when it returns "close".
    """

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.say: Callable[[bytes, RawClient], Any] = lambda head, link: link.send(OK)
        self.upstream = TcpUpstream(self._talk)

    def _talk(self, link: RawClient) -> None:
        while True:
            head = link.read_until(b"\r\n\r\n")
            self.heads.append(head)
            if self.say(head, link) == "close":
                return


class AioServer:
    """An aiohttp application, served by a loop in a thread of its own.

    The default is `demo_app`: `seen` counts its requests by path, `ended` lists the paths of endless answers whose
    client has gone.
    """

    def __init__(self, app: Optional[web.Application] = None, port: int = 0, **options: Any) -> None:
        self.seen: Counter[str] = Counter()
        self.ended: list[str] = []
        self.app = app or demo_app(self.seen, self.ended)
        self.port = port
        self._options = options
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._runner: Optional[web.AppRunner] = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE)

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()

    async def _start(self) -> None:
        self._runner = web.AppRunner(self.app, shutdown_timeout=0.1, handler_cancellation=True, **self._options)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=512, reuse_address=True)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

    def call(self, coroutine: Any) -> Any:
        """Run a coroutine in the server's loop and return what it returns."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def stop(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            self.call(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)


def demo_app(seen: Counter[str], ended: list[str]) -> web.Application:
    """An application with an answer of every shape; see the routes below."""

    @web.middleware
    async def count(request: web.Request, handler: Any) -> Any:
        seen[request.path] += 1
        try:
            return await handler(request)
        finally:
            if request.path in ENDLESS:
                ended.append(request.path)

    app = web.Application(client_max_size=0, middlewares=[count])
    app.router.add_route("*", "/echo", _echo)
    app.router.add_route("*", "/stream", _stream)
    app.router.add_get("/bytes/{size}", _bytes)
    app.router.add_get("/chunked/{size}", _chunked)
    app.router.add_route("*", "/status/{status}", _status)
    app.router.add_post("/sink", _sink)
    app.router.add_get("/forever", _forever)
    app.router.add_get("/late", _late)
    app.router.add_get("/ws", _websocket)
    return app


ENDLESS = ("/forever", "/late", "/ws")


async def _echo(request: web.Request) -> web.Response:
    body = await request.read()
    told = {
        "method": request.method,
        "path": request.path_qs,
        "version": f"{request.version.major}.{request.version.minor}",
        "headers": [[name.decode(), value.decode("latin-1")] for name, value in request.raw_headers],
        "body": body.decode("latin-1"),
    }
    return web.json_response(told)


async def _stream(request: web.Request) -> web.StreamResponse:
    """Send the request's body back while it comes."""
    response = web.StreamResponse()
    await response.prepare(request)
    async for piece in request.content.iter_any():
        await response.write(piece)
    await response.write_eof()
    return response


PIECE = bytes(range(256)) * 256


async def _bytes(request: web.Request) -> web.StreamResponse:
    size = int(request.match_info["size"])
    response = web.StreamResponse(headers={"Content-Length": str(size)})
    return await _send(request, response, size)


async def _chunked(request: web.Request) -> web.StreamResponse:
    return await _send(request, web.StreamResponse(), int(request.match_info["size"]))


async def _send(request: web.Request, response: web.StreamResponse, size: int) -> web.StreamResponse:
    await response.prepare(request)
    if request.method != "HEAD":
        while size > 0:
            await response.write(PIECE[:size])
            size -= len(PIECE)
    await response.write_eof()
    return response


async def _status(request: web.Request) -> web.Response:
    return web.Response(status=int(request.match_info["status"]), text="a body")


async def _sink(request: web.Request) -> web.Response:
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
    return web.json_response({"size": size})


async def _forever(request: web.Request) -> web.StreamResponse:
    """Send a little, and a little more, for ever."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"begun")
    while True:
        await asyncio.sleep(0.02)
        await response.write(b".")


async def _late(request: web.Request) -> web.Response:
    """Never answer."""
    await asyncio.sleep(3600)
    return web.Response()


async def _websocket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(protocols=("echo",), max_msg_size=0)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            if message.data == "close":
                await socket.close(code=4001, message=b"as asked")
            else:
                await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


class PlainServer:
    """Python's own http.server: HTTP/1.0, one connection per request, files of a directory."""

    def __init__(self, directory: Path) -> None:
        def handle(*arguments: Any) -> http.server.SimpleHTTPRequestHandler:
            return _Quiet(*arguments, directory=str(directory))

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handle)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run `work(number)` in that many threads at once; what one raises is returned in its place."""
    results: list[Any] = [None] * count

    def run(number: int) -> None:
        try:
            results[number] = work(number)
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(120)
    return results

"""Filters as users write them, in a real process: they await treq, aiohttp, asyncio and Deferreds, and they fail."""

from __future__ import annotations

import os
from typing import Iterator

import pytest

from tests.e2e.support import AioServer, Edge, in_threads, start_edge
from tests.support import ROOT, RawClient, request, until

# What a user's file looks like.  `side` is another server that the filters ask.
PROBE = '''
"""A filter for the tests: what it awaits is chosen by a request header."""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass

from twisted.internet import defer
from twisted.plugin import IPlugin
from zope.interface import implementer

from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.interfaces import IFilterPlugin

who = ContextVar("who", default="nobody")
finished = []


@dataclass(frozen=True)
class Settings:
    side: str = ""


class Probe:
    def __init__(self, settings, env):
        self.side = settings.side
        self.env = env

    async def __call__(self, call, proceed):
        what = call.headers.get("x-do", "nothing")
        found = await getattr(self, what)(call)
        who.set(call.id)
        try:
            reply = await proceed(call)
        finally:
            finished.append(call.id)
        reply.headers.set("x-found", found)
        reply.headers.set("x-who", who.get())
        return reply

    async def nothing(self, call):
        return f"nothing, {who.get()}"

    async def treq(self, call):
        response = await self.env.http.get(self.side + "/bytes/5")
        return str(len(await response.content()))

    async def aiohttp(self, call):
        import aiohttp

        async def ask():
            async with aiohttp.ClientSession() as session:
                async with session.get(self.side + "/bytes/6") as answer:
                    return len(await answer.read())

        return str(await self.env.asyncio(ask()))

    async def timeout(self, call):
        async def wait():
            try:
                await asyncio.wait_for(asyncio.sleep(60), 0.05)
            except asyncio.TimeoutError:
                return "timed out"

        return await self.env.asyncio(wait())

    async def asyncio_timeout(self, call):
        if not hasattr(asyncio, "timeout"):
            return "timed out"

        async def wait():
            try:
                async with asyncio.timeout(0.05):
                    await asyncio.sleep(60)
            except TimeoutError:
                return "timed out"

        return await self.env.asyncio(wait())

    async def deferred(self, call):
        done = defer.Deferred()
        self.env.clock.callLater(0.01, done.callback, "fired")
        return await done

    async def fired(self, call):
        return await defer.succeed("at once")

    async def failed(self, call):
        try:
            await defer.fail(KeyError("lost"))
        except KeyError as error:
            return f"caught {error}"

    async def future(self, call):
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.01, future.set_result, "set")
        return await future

    async def sleep(self, call):
        await self.env.sleep(0.01)
        return "slept"

    async def thread(self, call):
        from twisted.internet.threads import deferToThread

        return await deferToThread(lambda: "from a thread")

    async def body(self, call):
        from twisted_mesh.stream import ByteStream

        if isinstance(call.body, ByteStream):
            call.body = await call.body.collect(1_000_000)
        return str(len(call.body))

    async def raises(self, call):
        raise ZeroDivisionError("of the probe")

    async def refuses(self, call):
        raise MeshError(Kind.DENIED, "not you", status=418)

    async def hangs(self, call):
        try:
            await self.env.sleep(3600)
        finally:
            await self.env.sleep(0.01)
            finished.append(call.id)
            self.env.log.info("cleaned up after {call}", call=call.id)

    async def returns_rubbish(self, call):
        return 5


@implementer(IPlugin, IFilterPlugin)
class ProbePlugin:
    name = "probe"
    settings = Settings
    protocols = ("http",)

    def build(self, settings, env):
        return Probe(settings, env)


plugin = ProbePlugin()
'''


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, app: AioServer) -> Iterator[Edge]:
    """A sidecar that finds the user's filter on its path; shadowed and halved routes beside the plain one."""
    directory = tmp_path_factory.mktemp("edge")
    plugins = directory / "mine" / "twisted_mesh" / "filters"
    plugins.mkdir(parents=True)
    (plugins / "probe.py").write_text(PROBE)
    probe = {"probe": {"side": f"http://{app.address}"}}
    routes = [
        {"match": {"host": "shadow"}, "to": "app", "filters": [{"probe": {"mode": "shadow"}}]},
        {"match": {"host": "off"}, "to": "app", "filters": [{"probe": {"mode": "off"}}]},
        {"match": {"host": "third"}, "to": "app", "filters": [{"probe": {"percent": 30}}]},
        {"match": {"host": "short"}, "to": "app", "timeout": "200ms", "filters": [probe]},
        {"to": "app", "filters": [probe]},
    ]
    path = os.pathsep.join([str(ROOT), str(ROOT / "plugins"), str(directory / "mine")])
    one = start_edge(directory, {"app": [app.address]}, routes, start={"env": {"PYTHONPATH": path}})
    yield one
    one.mesh.stop()


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("treq", "5"),
        ("aiohttp", "6"),
        ("timeout", "timed out"),
        ("asyncio_timeout", "timed out"),
        ("deferred", "fired"),
        ("fired", "at once"),
        ("failed", "caught 'lost'"),
        ("future", "set"),
        ("sleep", "slept"),
        ("thread", "from a thread"),
    ],
)
def test_awaits(edge: Edge, what: str, found: str) -> None:
    """Any library works inside a filter, and context variables stay with their call."""
    answer = request(edge.port, "/bytes/1", headers={"X-Do": what, "X-Request-Id": f"id-{what}"})
    assert (answer.status, answer.header("x-found"), answer.header("x-who")) == (200, found, f"id-{what}")


def test_context_does_not_leak(edge: Edge) -> None:
    """A variable that one call sets is not seen by the next on the same connection."""
    with RawClient(edge.port) as client:
        for number in range(3):
            client.send(b"GET /bytes/1 HTTP/1.1\r\nHost: a\r\nX-Request-Id: %d\r\n\r\n" % number)
            answer = client.read_answer()
            assert answer.header("x-found") == "nothing, nobody"
            assert answer.header("x-who") == str(number)


def test_many_at_once(edge: Edge) -> None:
    """A hundred calls that wait for different things do not get into each other's way."""
    kinds = ("treq", "aiohttp", "deferred", "future", "sleep", "thread", "timeout")

    def ask(number: int) -> bool:
        what = kinds[number % len(kinds)]
        answer = request(edge.port, "/bytes/1", headers={"X-Do": what, "X-Request-Id": f"many-{number}"})
        return answer.status == 200 and answer.header("x-who") == f"many-{number}"

    assert in_threads(100, ask) == [True] * 100


@pytest.mark.parametrize("size", [0, 10, 300_000])
def test_collects_a_body(edge: Edge, size: int) -> None:
    """A filter that needs the whole body gets it, and it still goes upstream."""
    answer = request(edge.port, "/sink", "POST", b"x" * size, {"X-Do": "body"})
    assert (answer.header("x-found"), answer.text) == (str(size), f'{{"size": {size}}}')


def test_raises(edge: Edge) -> None:
    """A filter that fails costs its call a 500, a traceback in the log and a count; the next call is served."""
    with RawClient(edge.port) as client:
        client.send(b"GET /raises HTTP/1.1\r\nHost: a\r\nX-Do: raises\r\n\r\n")
        answer = client.read_answer()
        assert answer.status == 500
        assert "INT" in answer.text
        assert "ZeroDivisionError" not in answer.text
        client.send(b"GET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.read_answer().status == 200
    until(lambda: edge.mesh.output().count("ZeroDivisionError: of the probe") == 1, "the traceback")
    assert edge.line("/raises")["flags"] == ["INT"]
    assert edge.mesh.metric("twisted_mesh_filter_errors_total", filter="probe") == 1


def test_refuses(edge: Edge) -> None:
    """A filter chooses the status of its refusal."""
    answer = request(edge.port, "/refuses", headers={"X-Do": "refuses"})
    assert (answer.status, "not you" in answer.text) == (418, True)
    assert edge.line("/refuses")["flags"] == ["UAEX"]


@pytest.mark.parametrize("host", ["short", "plain"])
def test_cleans_up(edge: Edge, host: str) -> None:
    """A filter that is cancelled, by its route's timeout or by a client that goes, runs its ``finally`` to the end."""
    with RawClient(edge.port) as client:
        client.send(f"GET /hangs HTTP/1.1\r\nHost: {host}\r\nX-Do: hangs\r\nX-Request-Id: hang-{host}\r\n\r\n".encode())
        if host == "short":
            assert client.read_answer().status == 504
        else:
            until(lambda: edge.mesh.metric("twisted_mesh_downstream_calls_active", listener="edge") == 1)
    until(lambda: f"cleaned up after hang-{host}" in edge.mesh.output(), "the finally")


def test_shadow_and_off(edge: Edge) -> None:
    """In shadow the decision is only counted; off is off."""
    for host in ("shadow", "off"):
        answer = request(edge.port, "/bytes/1", headers={"Host": host, "X-Do": "refuses"})
        assert (answer.status, answer.header("x-found")) == (200, None)
    name = "twisted_mesh_filter_decisions_total"
    until(lambda: edge.mesh.metric(name, filter="probe", mode="shadow") == 1, "the count")


def test_percent(edge: Edge) -> None:
    """A filter for 30 % of the calls sees about that many."""
    with RawClient(edge.port) as client:
        seen = 0
        for _ in range(600):
            client.send(b"GET /bytes/1 HTTP/1.1\r\nHost: third\r\n\r\n")
            seen += client.read_answer().header("x-found") is not None
    assert 120 < seen < 240

"""Calls as they end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.e2e.test_upstreams import Moody, Server, Start, sidecar
from tests.filters.redis_calls import several
from tests.support import RawClient, request, until
from twisted_mesh.call import Call
from twisted_mesh.headers import Headers
from twisted_mesh.server.tapping import Tap, read
from twisted_mesh.stream import Trailers


class Reader:
    """Receives what a tap writes."""

    def __init__(self) -> None:
        self.data = b""
        self.over = False

    def body_data(self, data: bytes) -> None:
        self.data += data

    def body_ended(self, trailers: Trailers) -> None:
        self.over = True

    def body_failed(self, error: BaseException) -> None:
        raise error

    @property
    def lines(self) -> list[Any]:
        return [json.loads(each) for each in self.data.splitlines()]


class World:
    def __init__(self, **parameters: str) -> None:
        self.clock = Clock()
        self.ended = 0
        self.reader = Reader()
        self.tap = Tap(read(parameters), self.clock, 0.0, self._ended)
        self.tap.stream.attach(self.reader)

    def _ended(self, tap: Tap) -> None:
        self.ended += 1

    def call(self, status: int = 200, **fields: Any) -> None:
        call = Call("http", "edge", "GET", Headers())
        call.status, call.resource = status, "/api/x"
        for name, value in fields.items():
            setattr(call, name, value)
        self.tap.observe(call)


def test_a_line_for_each_call() -> None:
    world = World(calls="2")
    world.call()
    world.call(503, flags=("UH",))
    world.call()
    assert [each["status"] for each in world.reader.lines] == [200, 503]
    assert world.reader.lines[1]["flags"] == ["UH"]
    assert (world.reader.over, world.ended) == (True, 1)
    assert world.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        ({}, True),
        ({"status": "200"}, True),
        ({"status": "2xx"}, True),
        ({"status": "5xx"}, False),
        ({"status": "2xx", "method": "POST"}, False),
        ({"method": "get", "path": "/api", "protocol": "http"}, True),
        ({"path": "/other"}, False),
        ({"route": "api"}, False),
        ({"cluster": "api"}, False),
        ({"endpoint": "10.0.0.1:80"}, False),
        ({"client": "10.0.0.7", "host": "Shop.Example"}, True),
        ({"flag": "RL"}, True),
        ({"flag": "UH"}, False),
        ({"shadow": "ratelimit"}, True),
        ({"shadow": "fault"}, False),
        ({"size": "1KiB"}, True),
        ({"size": "1025"}, False),
    ],
)
def test_only_what_is_asked_for(parameters: dict[str, str], wanted: bool) -> None:
    world = World(**parameters)
    left = {"log": {"shadow": {"ratelimit": "refuse"}}}
    world.call(bytes_out=1024, client="10.0.0.7", host="shop.example", flags=("RL",), _context=left)
    assert len(world.reader.lines) == wanted


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        ({"method": "set"}, True),
        ({"method": "SET", "path": "b:"}, True),
        ({"method": "GET"}, False),
        ({"path": "a:1"}, True),
        ({"path": "c:"}, True),
        ({"path": "val"}, False),
    ],
)
def test_each_of_several_commands_counts(parameters: dict[str, str], wanted: bool) -> None:
    world = World(**parameters)
    world.tap.observe(several("INCR a:1", "SET b:1 value", "MGET b:2 c:1"))
    assert len(world.reader.lines) == wanted
    assert b"value" not in world.reader.data


def test_it_ends_at_its_time() -> None:
    world = World(seconds="2s")
    world.call()
    world.clock.advance(2.0)
    world.call()
    assert (len(world.reader.lines), world.reader.over, world.ended) == (1, True, 1)


def test_a_slow_reader_is_told_what_it_has_missed() -> None:
    world = World()
    world.call()
    world.tap.stream.pause()
    for _ in range(3):
        world.call()
    world.tap.stream.resume()
    world.call()
    assert repr(world.tap) == "<Tap 998 left, 3 dropped>"
    world.tap.end()
    assert len(world.reader.lines) == 3
    assert world.reader.lines[2] == {"dropped": 3}


def test_a_reader_that_goes_ends_it() -> None:
    world = World()
    world.tap.stream.cancel()
    assert world.ended == 1
    world.call()
    assert world.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"stauts": "200"}, "unknown parameter stauts; known are protocol, route"),
        ({"status": "999"}, "status: expected a status such as 503, or 5xx"),
        ({"calls": "0"}, "calls: expected a number from 1 to 100,000"),
        ({"seconds": "1h"}, "seconds: expected a duration of at most 10m"),
        ({"seconds": "5"}, "expected a duration"),
    ],
)
def test_what_nobody_can_want(parameters: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(parameters)


def test_a_sidecar_that_is_tapped(mesh: Start, http_upstream: Server) -> None:
    one = Moody("one", http_upstream)
    tried = {"ratelimit": {"rate": "1/h", "mode": "shadow"}}
    running, port = sidecar(mesh, {"api": {"endpoints": [one.address]}}, [{"to": "api", "filters": [tried]}])
    assert request(port, "/before").status == 200
    host, _, admin = running.admin.rpartition(":")
    with RawClient((host, int(admin))) as client:
        client.send(f"GET /tap?shadow=ratelimit&calls=2 HTTP/1.1\r\nHost: {running.admin}\r\n\r\n".encode())
        assert b"200" in client.read_until(b"\r\n\r\n")
        one.statuses = [500]
        assert [request(port, each).status for each in ("/a", "/b")] == [500, 200]
        body = client.read_until(b"\r\n0\r\n\r\n")
    seen = [json.loads(each) for each in body.splitlines() if each.startswith(b"{")]
    assert [(each["path"], each["status"]) for each in seen] == [("/a", 500), ("/b", 200)]
    assert seen[0]["extra"] == {"shadow": {"ratelimit": "refuse"}}
    assert running.get("/tap?route=x&seconds=1h").status == 400
    assert running.get("/tap?listener=none").status == 404

    def timed() -> bool:
        request(port)
        return running.metric("twisted_mesh_filter_duration_seconds_count", filter="metrics") >= 2

    until(timed, "filters are timed again")

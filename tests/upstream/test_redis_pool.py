"""What one server is sent: in order, not too much at a time, and counted."""

from __future__ import annotations

import pytest

from tests.upstream.redis_servers import ADDRESS, Upstream, body, failure
from twisted_mesh.errors import Kind, MeshError


def test_what_comes_while_connecting_waits_and_goes_out_in_order() -> None:
    upstream = Upstream()
    upstream.connector.answer[ADDRESS] = "later"
    calls = [upstream.send("GET a"), upstream.send("GET b")]
    assert len(upstream.connector.asked) == 1
    upstream.connector.let()
    upstream.introduced()
    assert upstream.seen() == b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n"
    upstream.say(b"+a\r\n+b\r\n")
    assert [body(each) for each in calls] == [b"+a\r\n", b"+b\r\n"]


def test_too_much_in_flight_is_refused() -> None:
    upstream = Upstream(in_flight=3)
    upstream.send("GET a", "GET b")
    with pytest.raises(MeshError) as caught:
        upstream.send("GET c", "GET d")
    assert caught.value.kind is Kind.OVERFLOW
    assert upstream.endpoint.failures == 0
    assert upstream.endpoint.active == 1
    assert upstream.env.count("upstream_overflows_total", "redis", "main") == 1


def test_tries_are_counted_by_commands() -> None:
    upstream = Upstream()
    calls = upstream.send("GET a", "GET b"), upstream.send("GET c")
    upstream.introduced()
    upstream.say(b"+1\r\n+2\r\n")
    upstream.pool.abort(MeshError(Kind.CLOSED, "enough"))
    assert failure(calls[1]).kind is Kind.CLOSED
    assert upstream.endpoint.successes == 2
    assert upstream.env.count("upstream_calls_total", "redis", "main", "-", "-") == 2
    assert upstream.env.count("upstream_calls_total", "redis", "main", "-", "UC") == 1

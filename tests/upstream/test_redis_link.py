"""A connection is of use once the server has taken what it says first."""

from __future__ import annotations

from tests.upstream.redis_servers import ADDRESS, Upstream, body, failure
from twisted_mesh.errors import Kind, Origin


def test_a_login_that_is_refused_fails_what_waits(upstream: Upstream) -> None:
    upstream = Upstream(password="secret", username="mesh", db=4)
    call = upstream.send("GET a")
    said = upstream.seen()
    assert said.startswith(b"*3\r\n$4\r\nAUTH\r\n$4\r\nmesh\r\n$6\r\nsecret\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n4\r\n")
    assert b"GET" not in said
    upstream.say(b"-WRONGPASS invalid\r\n+OK\r\n+OK\r\n")
    assert failure(call).kind is Kind.CONNECT_FAILED
    assert failure(call).retryable
    assert "AUTH was refused: WRONGPASS invalid" in failure(call).detail
    assert "secret" not in failure(call).detail


def test_a_database_that_a_server_does_not_have_is_its_clients_fault() -> None:
    upstream = Upstream()
    call = upstream.send("GET a", db=3)
    upstream.say(b"-ERR SELECT is not allowed in cluster mode\r\n+OK\r\n")
    assert (failure(call).kind, failure(call).origin) == (Kind.CONNECT_FAILED, Origin.CLIENT)
    assert "SELECT was refused: ERR SELECT is not allowed in cluster mode" in failure(call).detail
    call = upstream.send("GET a", db=3)
    upstream.say(b"-BUSY it runs a script\r\n+OK\r\n", number=1)
    assert failure(call).origin is Origin.UPSTREAM


def test_a_server_without_client_setname_will_do() -> None:
    upstream = Upstream()
    call = upstream.send("GET a")
    upstream.say(b"-ERR unknown command\r\n")
    upstream.say(b"+1\r\n")
    assert body(call) == b"+1\r\n"


def test_what_is_given_up_while_it_connects_is_not_connected_any_more() -> None:
    """The connector closes what nobody waits for."""
    upstream = Upstream()
    upstream.connector.answer[ADDRESS] = "later"
    call = upstream.send("GET a")
    upstream.pool.servers[0].close()
    assert failure(call).kind is Kind.CLOSED
    upstream.connector.let()
    assert upstream.connector.protocols == []

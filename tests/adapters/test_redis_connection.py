"""The life of a client's connection."""

from __future__ import annotations

from tests.adapters.redis_listening import Client
from twisted_mesh.errors import Kind


def test_a_client_that_leaves_ends_its_calls_and_nothing_is_written() -> None:
    client = Client()
    client.send(("GET", "a"), ("SET", "a", "1"))
    client.leave()
    assert [call.flags for call in client.ended] == [("DC",), ("DC",)]
    client.answer(0, b"+late\r\n")
    client.answer(1, b"+late\r\n")
    assert client.heard == b""
    assert len(client.ended) == 2
    assert client.adapter.connections == 0


def test_a_client_that_sends_no_more_gets_what_it_waits_for() -> None:
    client = Client()
    client.send(("GET", "a"))
    client.connection.readConnectionLost()
    client.turn()
    assert not client.transport.finished
    client.answer(0, b"+1\r\n")
    assert client.heard == b"+1\r\n"
    assert client.transport.finished


def test_a_client_that_waits_for_nothing_and_sends_no_more_is_closed() -> None:
    client = Client()
    client.connection.readConnectionLost()
    assert client.transport.finished


def test_a_client_that_ends_inside_of_a_large_value_is_cut() -> None:
    client = Client()
    client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$600000\r\n" + b"x" * 300_000)
    client.connection.readConnectionLost()
    assert client.connection.gone
    assert client.calls[0].flags == (client.calls[0].flags[0],)
    body = client.calls[0].body
    assert not isinstance(body, bytes)
    assert body.error is not None


def test_a_protocol_error_is_answered_behind_what_came_before_and_closes() -> None:
    client = Client()
    client.send(("GET", "a"), b"*x\r\n", ("GET", "b"))
    assert [call.operation for call in client.calls] == ["GET"]
    assert client.heard == b""
    client.answer(0, b"+1\r\n")
    assert client.heard == b"+1\r\n-ERR Protocol error: invalid multibulk length\r\n"
    assert client.transport.finished
    assert client.env.count("twisted_mesh_redis_protocol_errors_total", "cache") == 1


TOO_LARGE = b"-MESHLIMIT too large: %b of more than 300000 bytes, which cannot be passed on as it comes\r\n"


def test_a_command_that_is_too_large_to_be_kept_is_refused_in_its_place() -> None:
    client = Client()
    client.connection._reader.limit = 300_000
    client.send(("GET", "a"))
    client.send(b"*3\r\n$4\r\nMSET\r\n$1\r\nk\r\n$600000\r\n" + b"x" * 200_000)
    client.send(b"x" * 400_000)
    client.send(b"\r\n", ("GET", "b"))
    assert [call.operation for call in client.calls] == ["GET", "GET"]
    client.answer(1, b"+2\r\n")
    client.answer(0, b"+1\r\n")
    assert client.heard == b"+1\r\n" + TOO_LARGE % b"MSET" + b"+2\r\n"
    assert not client.transport.finished
    assert client.env.count("twisted_mesh_redis_errors_total", "cache", "mset") == 1
    assert client.env.count("twisted_mesh_redis_commands_total", "cache", "mset") == 1


def test_what_is_too_large_spoils_a_transaction() -> None:
    client = Client()
    client.connection._reader.limit = 300_000
    client.send(("MULTI",), b"*3\r\n$3\r\nset\r\n$1\r\nk\r\n$600000\r\n")
    client.send(b"x" * 600_000)
    client.send(b"\r\n", ("EXEC",))
    discarded = b"-EXECABORT Transaction discarded because of previous errors.\r\n"
    assert client.heard == b"+OK\r\n" + TOO_LARGE % b"SET" + discarded


def test_quit_closes_behind_the_answers_and_nothing_behind_it_is_looked_at() -> None:
    client = Client()
    client.send(("GET", "a"), ("QUIT",), ("GET", "b"))
    assert len(client.calls) == 1
    client.answer(0, b"+1\r\n")
    assert client.heard == b"+1\r\n+OK\r\n"
    assert client.transport.finished


def test_a_drain_closes_who_is_idle_now_and_the_others_when_they_are() -> None:
    client = Client()
    idle, its_transport = client.connect()
    client.send(("GET", "a"))
    client.adapter.drain()
    client.turn()
    assert its_transport.finished
    assert not client.transport.finished
    client.answer(0, b"+1\r\n")
    assert client.heard == b"+1\r\n"
    assert client.transport.finished
    assert not idle.queue


def test_closing_all_cuts_who_waits() -> None:
    client = Client()
    client.send(("GET", "a"))
    client.adapter.close_all()
    assert client.connection.gone
    assert len(client.ended) == 1


def test_who_is_idle_for_too_long_is_closed_and_who_waits_is_not() -> None:
    client = Client(idle_timeout=10.0)
    other, its_transport = client.connect()
    client.send(("GET", "a"))
    for _ in range(30):
        client.env.time.advance(0.5)
    assert its_transport.disconnecting
    assert not client.transport.disconnecting
    client.answer(0, b"+1\r\n")
    for _ in range(30):
        client.env.time.advance(0.5)
    assert client.transport.disconnecting
    assert other.adapter is client.adapter


def test_who_listens_to_channels_is_not_idle() -> None:
    """As at a server, whose timeout is not for clients that have subscribed either."""
    client = Client(idle_timeout=10.0)
    client.send(("SUBSCRIBE", "news"))
    assert client.connection.binding is not None
    session = client.connection.binding.session
    session.confirm("SUBSCRIBE", b"news", 2)
    client.answer(0, b"")
    client.env.time.advance(30.0)
    assert client.connection.listens
    assert not client.transport.disconnecting
    session.confirm("UNSUBSCRIBE", b"news", 2)
    client.env.time.advance(30.0)
    assert client.transport.disconnecting


def test_a_filter_that_fails_costs_the_client_an_error_and_no_more() -> None:
    def broken(call: object) -> None:
        raise RuntimeError("a bug")

    client = Client(broken)
    client.send(("GET", "a"), ("PING",))
    assert client.heard == b"-ERR internal error of the proxy\r\n+PONG\r\n"
    assert client.ended[0].flags == ("INT",)
    assert Kind.INTERNAL.value == "internal"

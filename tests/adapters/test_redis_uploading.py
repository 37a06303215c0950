"""Large values are passed on while they come: in order, to their ends, or not at all."""

from __future__ import annotations

import pytest

from tests.adapters.redis_listening import Client
from twisted_mesh.codec.resp import pack
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.redis_call import RedisCall

# All but the end of a command with a large value.
VALUE = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$300000\r\n" + b"x" * 270_000


def test_a_large_value_is_a_stream_once_its_key_is_known() -> None:
    client = Client()
    client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$600000\r\n" + b"x" * 300_000)
    call = client.calls[0]
    assert (call.operation, call.key, call.write, call.received) == ("SET", b"k", True, 0.0)
    stream = call.body
    assert not isinstance(stream, bytes)
    client.send(b"x" * 300_000 + b"\r\n", ("GET", "k"))
    assert stream.ended
    assert call.received == client.env.now()
    assert call.bytes_in == stream.size == 600_000 + 31
    client.answer(0, b"+OK\r\n")
    assert [each.operation for each in client.calls] == ["SET", "GET"]


def test_a_large_value_overtakes_nothing_and_is_not_overtaken() -> None:
    """It goes over a connection of its own, and its client's other commands over another."""
    client = Client()
    client.send(("GET", "k"), ("GET", "k"), b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$600000\r\n" + b"x" * 300_000)
    assert [each.operation for each in client.calls] == ["GET"]
    client.answer(0, b"$1\r\n1\r\n" * 2)
    assert [each.operation for each in client.calls] == ["GET", "SET"]
    client.send(b"x" * 300_000 + b"\r\n", ("GET", "k"))
    assert len(client.calls) == 2
    client.answer(1, b"+OK\r\n")
    assert [each.operation for each in client.calls] == ["GET", "SET", "GET"]
    client.answer(2, b"$1\r\nx\r\n")
    assert client.heard == b"$1\r\n1\r\n" * 2 + b"+OK\r\n$1\r\nx\r\n"


def test_large_values_one_behind_the_other_with_something_in_between() -> None:
    client = Client()
    rest = b"x" * 30_000 + b"\r\n"
    client.send(("GET", "k"), VALUE)
    for _ in range(2):
        client.send(rest, ("GET", "k"), VALUE)
    client.send(rest)
    for at in range(6):
        assert len(client.calls) == at + 1
        client.answer(at, b"+%d\r\n" % at)
    assert [each.operation for each in client.calls] == ["GET", "SET"] * 3
    assert client.heard == b"".join(b"+%d\r\n" % at for at in range(6))


@pytest.mark.parametrize("behind", [b"*", pack(["GET", "k"]) + b"*2\r\n$3\r\nGE", VALUE])
def test_a_large_value_ends_although_another_command_has_begun_behind_it(behind: bytes) -> None:
    client = Client()
    client.send(VALUE)
    stream = client.calls[0].body
    client.send(b"x" * 30_000 + b"\r\n" + behind)
    assert not isinstance(stream, bytes)
    assert stream.ended
    assert client.calls[0].received == client.env.now()


def test_a_large_value_that_is_spoilt_is_given_up_and_what_is_spoilt_behind_one_is_not_its_fault() -> None:
    for rest, spoilt in ((b"x" * 30_000 + b"??", True), (b"x" * 30_000 + b"\r\n*1\r\n!", False)):
        client = Client()
        client.send(VALUE)
        stream = client.calls[0].body
        client.send(rest)
        assert not isinstance(stream, bytes)
        assert (stream.ended, stream.error is not None) == (not spoilt, spoilt)
        client.answer(0, b"+OK\r\n")
        assert client.heard.startswith(b"+OK\r\n-ERR Protocol error: ")
        assert client.transport.finished


def test_a_large_command_whose_servers_are_not_known_is_kept_whole() -> None:
    client = Client()
    client.send(b"*3\r\n$4\r\nMSET\r\n$1\r\nk\r\n$600000\r\n" + b"x" * 300_000)
    assert client.calls == []
    client.send(b"x" * 300_000 + b"\r\n")
    assert client.calls[0].bytes_in == 600_000 + 32


def test_a_large_value_that_nobody_wants_is_read_and_the_client_goes_on() -> None:
    def refuse(call: RedisCall) -> None:
        raise MeshError(Kind.DENIED, "not here")

    client = Client(refuse)
    client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$600000\r\n" + b"x" * 300_000)
    assert client.heard == b"-MESHDENY denied: not here\r\n"
    client.send(b"x" * 300_000 + b"\r\n", ("PING",))
    assert client.heard == b"+PONG\r\n"

"""How replies go out: what a filter made of them, and how they are cut."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest

from tests.adapters.http_client import Client
from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.headers import Headers
from twisted_mesh.stream import ByteStream


def with_trailers(*trailers: Any) -> Reply:
    reply = Reply(200, None, b"x")
    reply.trailers = trailers
    return reply


def with_field(field: Any) -> Reply:
    return Reply(200, Headers([field]), b"x")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(),
        Reply(99, None, b"x"),
        Reply(100),
        Reply(101),
        Reply(1000),
        Reply("200", None, b"x"),  # type: ignore[arg-type]
        Reply(200, None, "text"),  # type: ignore[arg-type]
        Reply(200, None, bytearray(b"text")),  # type: ignore[arg-type]
        Reply(200, {"a": "b"}, b"x"),  # type: ignore[arg-type]
        Reply(200, None, b"x", reason="OK"),  # type: ignore[arg-type]
        Reply(200, None, b"x", reason=b"OK\r\nset-cookie: a=b"),
        Reply(200, None, ByteStream(), reason=b"OK\r\nset-cookie: a=b"),
        with_field(("a", "b", "a: b", 0)),
        with_trailers((b"a", b"b\r\nset-cookie: a=b")),
        with_trailers(("a", "b")),
    ],
    ids=lambda reply: repr(reply),
)
def test_a_reply_that_cannot_be_sent_is_a_500(reply: Reply) -> None:
    """It costs its call, and nothing else: nothing of it is sent, it is logged, counted and the next call is served."""
    replies = [reply, Reply(200, None, b"next")]
    calls: list[Call] = []

    async def chain(call: Call) -> Reply:
        calls.append(call)
        return replies.pop(0)

    client = Client(chain)
    client.get()
    assert client.heard.startswith(b"HTTP/1.1 500 ")
    assert b"set-cookie" not in client.heard
    assert (calls[0].completed, calls[0].status, calls[0].flags) == (True, 500, ("INT",))
    assert len(client.env.logged) == 1
    assert client.env.count("twisted_mesh_filter_errors_total", "unknown") == 1
    client.get()
    assert client.heard.endswith(b"next")
    assert not client.adapter.calls


def test_a_status_may_be_any_int() -> None:
    async def chain(call: Call) -> Reply:
        return Reply(HTTPStatus.CREATED, None, b"x")

    client = Client(chain)
    client.get()
    assert client.heard.startswith(b"HTTP/1.1 201 Created\r\n")


def test_a_body_of_something_else_cuts_a_reply_that_has_begun() -> None:
    body = ByteStream()

    async def chain(call: Call) -> Reply:
        body.write("text")  # type: ignore[arg-type]
        return Reply(200, None, body)

    client = Client(chain)
    client.get()
    assert client.transport.ended == "reset"
    assert len(client.env.logged) == 1
    assert not client.adapter.calls


def test_an_id_that_no_header_can_hold() -> None:
    async def chain(call: Call) -> Reply:
        call.id = "a\r\nset-cookie: b"
        raise MeshError(Kind.DENIED)

    client = Client(chain)
    client.get()
    head, _, _ = client.heard.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 ")
    assert b"set-cookie" not in head

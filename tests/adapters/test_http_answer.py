"""Replies as bytes."""

from __future__ import annotations

import pytest

from twisted_mesh.adapters import http_answer as answers
from twisted_mesh.call import Reply
from twisted_mesh.headers import Headers


def reply(status: int = 200, local: bool = False) -> Reply:
    return Reply(status, Headers.of([("X-A", "1")]), local=local)


@pytest.mark.parametrize(
    ("minor", "keep", "end"),
    [
        (1, True, b""),
        (1, False, b"connection: close\r\n"),
        (0, True, b"connection: keep-alive\r\n"),
        (0, False, b"connection: close\r\n"),
    ],
)
def test_a_whole_reply(minor: int, keep: bool, end: bytes) -> None:
    """It is counted, and says what becomes of the connection where the version does not."""
    wire = answers.whole(reply(), b"hi", minor, "GET", keep)
    assert wire == b"HTTP/1.%d 200 OK\r\nX-A: 1\r\ncontent-length: 2\r\n%b\r\nhi" % (minor, end)


@pytest.mark.parametrize("status", answers.BODILESS)
def test_replies_that_never_have_a_body(status: int) -> None:
    for local in (True, False):
        wire = answers.whole(reply(status, local), b"hi", 1, "GET", True)
        assert wire.endswith(b"\r\nX-A: 1\r\n\r\n") and b"content-length" not in wire


def test_a_reply_to_head() -> None:
    """What the upstream said of the length stands; our own says how long the body would be."""
    assert answers.whole(reply(), b"", 1, "HEAD", True) == b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n"
    ours = answers.whole(reply(local=True), b"hi", 1, "HEAD", True)
    assert ours == b"HTTP/1.1 200 OK\r\nX-A: 1\r\ncontent-length: 2\r\n\r\n"


def test_trailers_need_chunks_and_a_client_that_knows_them() -> None:
    made = reply()
    made.trailers = ((b"x-sum", b"9"),)
    wire = answers.whole(made, b"hi", 1, "GET", True)
    assert wire.endswith(b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 9\r\n\r\n")
    assert answers.whole(made, b"hi", 0, "GET", False).endswith(b"content-length: 2\r\nconnection: close\r\n\r\nhi")


@pytest.mark.parametrize(
    ("length", "framing"),
    [(7, b"content-length: 7\r\n"), (-1, b"transfer-encoding: chunked\r\n"), (-2, b"")],
)
def test_a_streamed_reply(length: int, framing: bytes) -> None:
    """Its head says how the body is framed; until-close needs no word."""
    wire = answers.streamed(reply(), 1, length, False)
    assert wire == b"HTTP/1.1 200 OK\r\nX-A: 1\r\n" + framing + b"connection: close\r\n\r\n"


def test_an_interim_reply_and_an_upgrade() -> None:
    early = Reply(103, Headers.of([("link", "</a>")]), reason=b"Early Hints")
    assert answers.interim(early) == b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    wire = answers.upgraded(Reply(101, Headers()), "websocket")
    assert wire == b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"


def test_first_lines_are_remembered_and_bounded() -> None:
    assert answers.first_line(200, b"Fine") == b"HTTP/1.1 200 Fine"
    for number in range(3000):
        assert answers.first_line(200, b"R%d" % number) == b"HTTP/1.1 200 R%d" % number
    assert len(answers._first_lines) <= answers._FIRST_LINES_KEPT

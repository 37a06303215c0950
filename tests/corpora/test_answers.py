"""Every malformed answer we know, from a fake endpoint in memory: a 502, or a cut that looks like one."""

from __future__ import annotations

from http.client import HTTPResponse
from io import BytesIO
from typing import BinaryIO

import pytest

from tests.corpora import malformed_answers
from tests.corpora.malformed_answers import BadAnswer
from tests.corpora.memory import Wire
from tests.corpora.test_requests import CUTS, one_by_one

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def read_last(answers: bytes) -> tuple[int, bytes]:
    """Status and body of the last answer, as the standard library reads it."""

    class Socket:
        def makefile(self, mode: str) -> BinaryIO:
            return BytesIO(answers[answers.rindex(b"HTTP/1.1 ") :])

    response = HTTPResponse(Socket())  # type: ignore[arg-type]
    response.begin()
    return response.status, response.read()


def served(cut: str, answer: BadAnswer) -> Wire:
    """Send one request that is answered so."""
    return Wire(answer=CUTS[cut](answer.data), close=True).send(GET)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("answer", malformed_answers.REFUSED, ids=lambda answer: answer.name)
def test_refused(answer: BadAnswer, cut: str) -> None:
    """A malformed or ambiguous head becomes a 502 of our own, and the upstream connection is closed."""
    wire = served(cut, answer)
    assert wire.statuses[-1:] == [502], wire.answers[-300:]
    assert [status for status in wire.statuses if status >= 200] == [502]
    assert b"upstream_" in wire.answers
    assert all(link.pipe.closed for link in wire.endpoint.links)
    assert not wire.pipe.closed


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("answer", malformed_answers.CUT, ids=lambda answer: answer.name)
def test_cut(answer: BadAnswer, cut: str) -> None:
    """A malformed or incomplete body never looks complete: the client's connection is reset, or it gets a 502."""
    wire = served(cut, answer)
    assert wire.endpoint.links[0].pipe.closed
    if wire.pipe.closed:
        assert wire.pipe.aborted
        assert wire.answers.startswith(b"HTTP/1.1 200")
        assert not wire.answers.endswith(b"\r\n0\r\n\r\n")
    else:
        assert wire.statuses == [502]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("answer", malformed_answers.SERVED, ids=lambda answer: answer.name)
def test_served(answer: BadAnswer, cut: str) -> None:
    """What is only odd is passed on whole, and the client's connection lives on."""
    wire = served(cut, answer)
    status, body = read_last(wire.answers)
    assert (status, body) == (200, b"hello")
    assert not wire.pipe.closed


def test_unasked_bytes_are_nobodys_answer() -> None:
    """What an endpoint sends on an idle connection is not taken for the answer to the next request."""
    wire = Wire(answer=[malformed_answers.SERVED[0].data]).send(GET)
    first = wire.endpoint.links[0]
    first.pipe.deliver(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    assert first.pipe.closed
    wire.send(GET)
    assert len(wire.endpoint.links) == 2
    assert wire.statuses == [200, 200]
    assert b"poison" not in wire.answers


def test_surplus_behind_an_answer_is_nobodys_answer() -> None:
    """Bytes behind a complete answer end the connection, and the next request gets one of its own."""
    smuggled = [malformed_answers.SERVED[-1].data]
    wire = Wire(answer=smuggled).send(GET).send(GET)
    assert len(wire.endpoint.links) == 2
    assert wire.statuses == [200, 200]


@pytest.mark.parametrize("cut", [lambda data: [data], one_by_one], ids=["whole", "bytes"])
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    ],
)
def test_no_body_behind_head_204_and_304(head: bytes, cut: object) -> None:
    """An answer that has no body by its method or status ends with its head, whatever its fields say."""
    wire = Wire(answer=cut(head))  # type: ignore[operator]
    method = b"HEAD" if b"200" in head else b"GET"
    for _ in range(2):
        wire.send(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert len(wire.statuses) == 2
    assert len(wire.endpoint.links) == 1
    assert not wire.pipe.closed

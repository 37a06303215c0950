"""One HTTP/1.1 connection to an endpoint: what comes in, and what becomes of it."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.codec.cuts import PLACES, cut_at, one_by_one, same_in_any_cut
from tests.codec.heads import spoilt
from tests.upstream.fakes import a_call
from tests.upstream.http_world import OK, World, call
from tests.upstream.server import Ear
from tests.upstream.server import World as Served
from twisted_mesh.call import Reply
from twisted_mesh.errors import Kind
from twisted_mesh.stream import ByteStream
from twisted_mesh.upstream.http1 import INTERIM_LIMIT
from twisted_mesh.upstream.http_lost import StaleConnection


@pytest.mark.parametrize("operation", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [200, 204, 304])
def test_a_reply_says_whether_it_came_without_a_body(operation: str, status: int) -> None:
    world = World()
    world.send(call(operation))
    world.says(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n" % status)
    if operation == "GET" and status == 200:
        world.says(b"ok")
        assert not world.reply.bare
    else:
        assert world.reply.bare


@pytest.mark.parametrize("cuts", ["whole", "bytes"])
@pytest.mark.parametrize(
    ("answer", "body", "kept"),
    [
        (OK, b"ok", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", b"", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", b"ok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", False),
    ],
)
def test_replies(answer: bytes, body: bytes, kept: bool, cuts: str) -> None:
    """A reply is the same whole and byte by byte; the connection is kept where the server lets it be."""
    world = World()
    world.send(call())
    for piece in [answer] if cuts == "whole" else [answer[at : at + 1] for at in range(len(answer))]:
        world.says(piece)
    got = world.reply.body
    if isinstance(got, ByteStream):
        assert got.ended
        got = got._waiting and b"".join(got._waiting) or b""
    assert got == body
    assert (world.pool.released, world.pool.gone) == ((1, 0) if kept else (0, 1))


def test_a_head_reply_keeps_its_length_and_has_no_body() -> None:
    world = World()
    world.send(call("HEAD"))
    world.says(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    assert world.reply.headers.get("content-length") == "1000"
    assert world.reply.body == b"" and world.pool.released == 1


def test_interim_replies_are_passed_on() -> None:
    """In their order, and not without end."""
    world = World()
    heard: list[int] = []
    world.send(call(on_interim=lambda reply: heard.append(reply.status)))
    world.says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)
    assert heard == [100, 103] and world.reply.status == 200
    world.send(call())
    world.says(b"HTTP/1.1 102 Processing\r\n\r\n" * (INTERIM_LIMIT + 1))
    assert world.error.kind is Kind.BAD_REPLY and world.pool.gone == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
)
def test_what_cannot_be_trusted_is_not_passed_on(answer: bytes) -> None:
    """Malformed and ambiguous answers, and a 101 that nobody asked for."""
    world = World()
    world.send(call())
    world.says(answer)
    assert world.error.kind is Kind.BAD_REPLY and not world.error.retryable
    assert (world.pool.released, world.pool.gone) == (0, 1)


def test_surplus_bytes_end_the_connection() -> None:
    """Behind a reply, whose call is answered all the same, and before anybody asked."""
    world = World()
    world.send(call())
    world.says(OK + b"HTTP/1.1 200 OK")
    assert world.reply.body == b"ok"
    assert (world.pool.released, world.pool.gone, world.pool.odd) == (0, 1, 1)
    other = World()
    other.says(OK)
    assert (other.pool.gone, other.pool.odd) == (1, 1)


def test_nothing_is_sent_again_after_a_byte_of_a_reply() -> None:
    world = World()
    world.send(call())
    world.says(OK)
    world.send(call())
    world.says(b"HTTP/1.1 2")
    world.ends()
    assert not isinstance(world.error, StaleConnection) and not world.error.retryable


def test_until_close() -> None:
    """A clean end completes the body; a reset cuts it."""
    for clean in (True, False):
        world = World()
        world.send(call())
        world.says(b"HTTP/1.1 200 OK\r\n\r\nsome")
        body = world.reply.body
        assert isinstance(body, ByteStream)
        world.ends(clean)
        assert body.ended == clean and (body.error is None) == clean
        assert world.pool.gone == 1


# --- any cut

REPLIES: list[tuple[bytes, str, bytes, list[tuple[bytes, bytes]], bool]] = [
    # wire, method of the request, body, trailers, whether the connection is kept
    (OK, "GET", b"ok", [], True),
    (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, "GET", b"ok", [], True),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK, "GET", b"ok", [], True),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n2\r\nbc\r\n0\r\nT: t\r\n\r\n", "GET", b"abc", [(b"T", b"t")], True),
    (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", b"", [], True),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "GET", b"", [], True),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HEAD", b"", [], True),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", b"", [], True),
    (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", "GET", b"x", [], True),
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", "GET", b"x", [], False),
    (b"HTTP/1.1 200 OK\r\n\r\nuntil close", "GET", b"until close", [], False),
]  # fmt: skip


@given(st.lists(st.sampled_from(REPLIES), min_size=1, max_size=4), PLACES)
def test_replies_in_any_cut(
    replies: list[tuple[bytes, str, bytes, list[tuple[bytes, bytes]], bool]], places: list[int]
) -> None:
    """One after another on connections that are kept exactly where they may be."""

    def served(cut: Callable[[bytes], Sequence[bytes]]) -> list[Any]:
        world = Served()
        got: list[Any] = []
        for wire, operation, _, _, _ in replies:
            interims: list[int] = []
            sent = world.send(operation, on_interim=lambda reply: interims.append(reply.status))  # noqa: B023
            ear = None
            for piece in cut(wire):
                world.link.say(piece)
                if ear is None and not sent.waiting and isinstance(sent.reply.body, ByteStream):
                    ear = Ear(sent.body)
            if ear is not None and not ear.told:
                world.link.close()
            body = sent.reply.body if ear is None else ear.heard
            trailers = list(sent.reply.trailers) if ear is None else ear.told[0]
            got.append((sent.reply.status, body, trailers, not world.link.ended, interims))
            world.advance()
        world.check_over()
        return got

    whole = served(lambda data: [data])
    assert served(one_by_one) == whole
    assert served(lambda data: cut_at(data, places)) == whole
    assert [each[1:4] for each in whole] == [each[2:] for each in replies]


@given(spoilt(st.sampled_from([each[0] for each in REPLIES])), PLACES)
def test_spoilt_replies_in_any_cut(wire: bytes, places: list[int]) -> None:
    """They come to the same: the same body in the end, or the same refusal, and no connection that is kept by mistake."""

    def served(pieces: Sequence[bytes]) -> Any:
        world = Served()
        sent = world.send()
        ear = None
        for piece in pieces:
            if world.link.ended:
                break
            world.link.say(piece)
            if ear is None and isinstance(sent.outcome, Reply) and isinstance(sent.reply.body, ByteStream):
                ear = Ear(sent.body)
        world.link.close()
        if isinstance(sent.outcome, BaseException):
            outcome: Any = sent.error.kind
        elif ear is not None:
            outcome = ear.heard if isinstance(ear.told[0], list) else "cut"
        else:
            outcome = sent.reply.body
        world.check_over()
        # What comes whole and is found to be wrong is refused, what has begun is cut.
        return "wrong" if outcome in ("cut", Kind.BAD_REPLY, Kind.CLOSED) else outcome

    same_in_any_cut(wire, places, served)


def test_interim_replies_are_counted_for_each_request() -> None:
    world = Served()
    for _ in range(4):
        sent = world.send()
        world.link.say(b"HTTP/1.1 102 Processing\r\n\r\n" * INTERIM_LIMIT)
        world.link.say(OK)
        assert sent.reply.status == 200
    world.check_over()


# --- heads that a server repeats


REPEATED = b"HTTP/1.1 200 OK\r\nX-One: 1\r\nContent-Length: 2\r\n\r\n"


def test_a_repeated_head_makes_a_reply_of_its_own() -> None:
    """What a filter does to one reply's headers is not seen by the next."""
    world = World()
    for body in (b"ab", b"cd", b"ef"):
        world.send(a_call())
        world.says(REPEATED + body)
        assert (world.reply.body, world.reply.headers.get("x-one")) == (body, "1")
        world.reply.headers.set("x-one", "2")


def test_the_same_head_answers_another_method() -> None:
    """To HEAD, the same bytes are an answer without a body; and the other way round."""
    world = World()
    for operation in ("GET", "HEAD", "GET", "HEAD"):
        call = a_call()
        call.operation = operation
        world.send(call)
        world.says(REPEATED + (b"" if operation == "HEAD" else b"ab"))
        assert world.reply.body == (b"" if operation == "HEAD" else b"ab")
    assert world.pool.odd == 0


def test_a_repeated_head_in_pieces_and_with_more_behind_it() -> None:
    """A head that comes in pieces, a body that comes later, and bytes that belong to nobody."""
    world = World()
    for cut in (3, len(REPEATED) - 2, len(REPEATED), len(REPEATED) + 1):
        world.send(a_call())
        data = REPEATED + b"ab"
        world.says(data[:cut])
        world.says(data[cut:])
    assert world.pool.odd == 0
    world.send(a_call())
    world.says(REPEATED + b"ab" + REPEATED)
    assert (world.reply.body, world.pool.odd) == (b"ab", 1)


def test_a_cookie_is_not_kept() -> None:
    """A connection that rests holds no secret of the last reply."""
    world = World()
    for _ in range(2):
        world.send(a_call())
        world.says(b"HTTP/1.1 200 OK\r\nSet-Cookie: id=1\r\nContent-Length: 1\r\n\r\na")
    assert b"id=1" not in world.connection._repeat

"""What is heard of an answer for comparing it; the copies themselves are in test_mirror."""

from __future__ import annotations

from tests.bodies import Receiver
from tests.filters.drive import a_call
from twisted_mesh.call import Reply
from twisted_mesh.filters.mirrored import Heard
from twisted_mesh.headers import Headers
from twisted_mesh.stream import ByteStream


def test_a_whole_body_is_heard_at_once() -> None:
    heard = Heard(a_call(), Reply(200, Headers.of([("ETag", "a")]), b"body"), ["etag", "x"])
    assert heard.whole
    answer = heard.answer()
    assert (answer.status, answer.headers, answer.size) == (200, {"etag": ["a"], "x": []}, 4)


def test_a_stream_passes_unchanged_and_has_the_same_digest() -> None:
    call, stream = a_call(), ByteStream(length=4)
    reply = Reply(200, body=stream)
    heard = Heard(call, reply, [])
    assert isinstance(reply.body, ByteStream)
    assert reply.body.length == 4
    taker = Receiver()
    stream.write(b"bo")
    reply.body.attach(taker)
    stream.write(b"dy")
    stream.end()
    assert (taker.data, taker.ended, heard.whole) == (b"body", True, None)
    ends: list[int] = []
    heard.on_end = lambda: ends.append(1)
    call.complete(1.0, lambda completion: None)
    assert heard.whole
    assert ends == [1]
    assert heard.answer() == Heard(a_call(), Reply(200, body=b"body"), []).answer()


def test_one_that_was_cut_is_not_whole() -> None:
    call, stream = a_call(), ByteStream()
    heard = Heard(call, Reply(200, body=stream), [])
    stream.write(b"bo")
    stream.fail(ValueError("cut"))
    call.complete(1.0, lambda completion: None)
    assert heard.whole is False

"""What a call carries, and how it ends."""

from __future__ import annotations

from typing import Optional

import pytest

from twisted_mesh.call import Call, Completion, Reply
from twisted_mesh.errors import Kind
from twisted_mesh.headers import Headers
from twisted_mesh.stream import ByteStream


def a_call() -> Call:
    return Call("http", "edge", "GET", Headers())


def ignore(each: Completion) -> None:
    raise AssertionError(f"{each!r} failed")


def test_a_flag_stands_once_and_in_order() -> None:
    call = a_call()
    call.flag(Kind.RESET)
    call.flag("URX")
    call.flag(Kind.RESET)
    assert call.flags == ("UR", "URX")


def test_flags_and_context_belong_to_one_call() -> None:
    one, two = a_call(), a_call()
    one.flag("UF")
    one.context["filter"] = 1
    assert two.flags == ()
    assert two.context == {}


def test_completions_run_once_in_reverse_order_at_the_end() -> None:
    call = a_call()
    seen: list[str] = []
    call.on_complete(lambda call: seen.append("outer"))
    call.on_complete(lambda call: seen.append("inner"))
    assert not call.completed
    call.complete(7.0, ignore)
    call.complete(8.0, ignore)
    assert seen == ["inner", "outer"]
    assert call.ended == 7.0


def test_a_completion_that_raises_keeps_none_of_the_others_from_running() -> None:
    call = a_call()
    seen: list[str] = []
    failed: list[Completion] = []

    def broken(call: Call) -> None:
        raise ValueError

    call.on_complete(lambda call: seen.append("outer"))
    call.on_complete(broken)
    call.on_complete(lambda call: seen.append("inner"))
    call.complete(1.0, failed.append)
    assert seen == ["inner", "outer"]
    assert failed == [broken]


def test_a_completion_sees_the_call_with_its_end() -> None:
    call = a_call()
    seen: list[float] = []
    call.on_complete(lambda call: seen.append(call.ended))
    call.complete(3.5, ignore)
    assert seen == [3.5]


def test_a_completion_registered_too_late_runs_at_once() -> None:
    """A filter whose cleanup waits may get there after the client has gone and the call is complete."""
    call = a_call()
    call.complete(1.0, ignore)
    seen: list[Call] = []
    call.on_complete(seen.append)
    assert seen == [call]


@pytest.mark.parametrize("target", [b"", b"/a b", b"/a\r\nevil: 1", b"/a\x00", b"/a HTTP/1.1\r\n"])
def test_a_filter_cannot_make_more_of_a_target_than_one(target: bytes) -> None:
    call = a_call()
    call.target = b"/was"
    with pytest.raises(ValueError, match="not a request target"):
        call.target = target
    assert call.target == b"/was"


class FakeTunnel:
    first = b""

    def __init__(self) -> None:
        self.aborted = 0

    def abort(self) -> None:
        self.aborted += 1


def test_discarding_a_reply_stops_its_body_and_ends_its_tunnel() -> None:
    body, tunnel = ByteStream(), FakeTunnel()
    reply = Reply(200, body=body, tunnel=tunnel)
    reply.discard()
    reply.discard()
    assert body.cancelled
    assert tunnel.aborted == 1
    assert reply.tunnel is None


def test_replies_do_not_share_headers() -> None:
    one, two = Reply(200), Reply(200)
    one.headers.set("a", "1")
    assert "a" not in two.headers


def test_the_reprs_say_what_is_worth_knowing() -> None:
    call = a_call()
    call.id, call.authority, call.resource = "r-1", "shop.example", "/x"
    assert repr(call) == "<Call r-1 http GET shop.example/x attempts=0>"
    assert repr(Reply(204, body=b"abc")) == "<Reply 204 3 bytes>"
    assert "ByteStream open" in repr(Reply(200, body=ByteStream()))


@pytest.mark.parametrize(
    ("times", "ends", "left"),
    [
        ({}, None, None),
        ({"timeout": 2.0}, None, None),
        ({"timeout": 2.0, "received": 10.0}, 12.0, 1.5),
        ({"timeout": 2.0, "received": 10.0, "deadline": 11.0}, 11.0, 0.5),
        ({"timeout": 2.0, "received": 10.0, "deadline": 13.0}, 12.0, 1.5),
        ({"deadline": 13.0}, 13.0, 2.5),
        ({"deadline": 13.0, "try_ends": 11.0}, 13.0, 0.5),
        ({"try_ends": 10.0}, None, -0.5),
    ],
)
def test_when_nobody_waits_any_more(times: dict[str, float], ends: Optional[float], left: Optional[float]) -> None:
    """The route's timeout counts from the end of the request; a try may end before its call does."""
    call = a_call()
    for name, value in times.items():
        setattr(call, name, value)
    assert (call.ends, call.left(10.5)) == (ends, left)


@pytest.mark.parametrize(
    ("protocol", "operation", "idempotent"),
    [("http", "GET", True), ("http", "POST", False), ("http", "CONNECT", False), ("tcp", "CONNECT", True)],
)
def test_what_may_be_done_twice(protocol: str, operation: str, idempotent: bool) -> None:
    assert Call(protocol, "edge", operation, Headers()).idempotent is idempotent

"""Heads that a client repeats on its connection: read once, and every call as if it had been read anew."""

from __future__ import annotations

from tests.adapters.http_client import Client
from twisted_mesh.model import HttpOptions

HEAD = b"GET /a?b=c HTTP/1.1\r\nHost: shop.example:80\r\nX-One: 1\r\n\r\n"
SECRET = b"GET /a HTTP/1.1\r\nHost: shop.example\r\nCookie: id=1\r\n\r\n"


def seen(client: Client, data: bytes) -> tuple[object, ...]:
    """What the chain sees of the request that `data` is, less what differs from call to call."""
    client.send(data)
    call = client.asked[-1].call
    what = (
        call.operation, call.host, call.authority, call.resource, call.query, call.target, call.version, call.body,
        [(name, value) for name, value, _, _ in call.headers.fields if name != b"x-request-id"],
    )  # fmt: skip
    client.asked[-1].say(b"hi")
    return what


def test_a_repeated_head_makes_a_call_of_its_own() -> None:
    """What a filter does to one call's headers is not seen by the next, and each has its own id."""
    client = Client()
    first = seen(client, HEAD)
    client.send(HEAD)
    client.asked[-1].call.headers.set("x-one", "2")
    client.asked[-1].call.headers.remove("host")
    client.asked[-1].say(b"hi")
    assert seen(client, HEAD) == first
    assert len({each.call.id for each in client.asked}) == 3
    assert all(len(each.call.headers.get_all("x-request-id")) == 1 for each in client.asked if each.call.headers)


def test_what_only_begins_alike_is_read() -> None:
    """A head that is longer, shorter or other than the last is another request."""
    client = Client()
    seen(client, HEAD)
    other = HEAD.replace(b"X-One: 1", b"X-One: 11")
    assert seen(client, other)[-1] == seen(Client(), other)[-1]
    assert seen(client, b"HEAD" + HEAD[3:])[0] == "HEAD"
    assert seen(client, HEAD.replace(b"/a?b=c", b"/a"))[3:5] == ("/a", "")
    assert seen(client, HEAD) == seen(Client(), HEAD)


def test_repeated_and_pipelined() -> None:
    """Several in one read, with bodies too: each is a call, in order."""
    client = Client(chain=None)
    post = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"
    client.send(post + b"abc" + post + b"def" + post + b"gh")
    for body in (b"abc", b"def"):
        assert client.asked[-1].call.body == body
        client.asked[-1].say(b"hi")
    client.send(b"i" + HEAD + HEAD[:20])
    client.asked[-1].say(b"hi")
    client.asked[-1].say(b"hi")
    client.send(HEAD[20:])
    assert [each.call.resource for each in client.asked] == ["/p", "/p", "/p", "/a", "/a"]


def test_a_repeat_in_pieces() -> None:
    """A repeated head that comes byte by byte is the same request."""
    client = Client()
    first = seen(client, HEAD)
    for at in range(len(HEAD) - 1):
        client.send(HEAD[at : at + 1])
    assert seen(client, HEAD[-1:]) == first


def test_secrets_and_long_heads_are_not_kept() -> None:
    """A connection that rests holds no cookie, and no more than a KiB of a head."""
    client = Client()
    for data in (SECRET, HEAD.replace(b"X-One: 1", b"X-One: " + b"1" * 1024)):
        for _ in range(2):
            seen(client, data)
    assert b"id=1" not in client.connection._repeat
    assert client.connection._head is None


def test_new_rules_hold_for_repeats_too() -> None:
    """After a reload with tighter limits, the head that was right is read again, and refused."""
    client = Client()
    head = HEAD.replace(b"/a?b=c", b"/" + b"a" * 30)
    seen(client, head)
    client.adapter.configure(HttpOptions.model_validate({"limits": {"url_bytes": 16}}))
    client.send(head)
    assert b" 414 " in client.transport.value()

"""What a command has done, as a command."""

from __future__ import annotations

from typing import Optional

import pytest

from tests.servers import Server
from twisted_mesh.codec.command_exact import exact, is_vague


def words(text: str) -> list[bytes]:
    return text.encode().split()


@pytest.mark.parametrize(
    ("text", "vague"),
    [
        ("XADD s * f v", True),
        ("xadd s 5-* f v", True),
        ("XADD s NOMKSTREAM MAXLEN ~ 10 LIMIT 5 * f v", True),
        ("XADD s MINID = 10 * f v", True),
        ("XADD maxlen MAXLEN 10 * f v", True),
        ("XADD s 5-1 f *", False),
        ("XADD s 5 * v", False),
        ("XADD s", False),
        ("XADD s MAXLEN ~", False),
        ("SPOP s", True),
        ("spop s 3", True),
        ("SET a *", False),
        ("SREM s m", False),
    ],
)
def test_which_do_something_else_each_time(text: str, vague: bool) -> None:
    assert is_vague(words(text)) is vague


@pytest.mark.parametrize(
    ("text", "reply", "expected"),
    [
        ("XADD s * f v", b"$3\r\n7-0\r\n", "XADD s 7-0 f v"),
        ("XADD s NOMKSTREAM MAXLEN ~ 10 7-* f *", b"$3\r\n7-2\r\n", "XADD s NOMKSTREAM MAXLEN ~ 10 7-2 f *"),
        ("XADD s NOMKSTREAM * f v", b"$-1\r\n", None),
        ("XADD s NOMKSTREAM * f v", b"_\r\n", None),
        ("XADD s * f v", b"-WRONGTYPE of another kind\r\n", "XADD s * f v"),
        ("SPOP s", b"$1\r\nm\r\n", "SREM s m"),
        ("SPOP s", b"$-1\r\n", None),
        ("SPOP s 2", b"*-1\r\n", None),
        ("SPOP s 2", b"*2\r\n$1\r\nm\r\n$1\r\nn\r\n", "SREM s m n"),
        ("SPOP s 2", b"~1\r\n$1\r\nm\r\n", "SREM s m"),
        ("SPOP s 2", b"*0\r\n", None),
    ],
)
def test_what_they_have_done(text: str, reply: bytes, expected: Optional[str]) -> None:
    assert exact(words(text), reply) == (None if expected is None else words(expected))


def test_the_effect_is_the_same(redis_servers: object) -> None:
    real: Server = redis_servers()  # type: ignore[operator]
    copy: Server = redis_servers()  # type: ignore[operator]
    for server in (real, copy):
        server("SADD", "s", *range(50))
    for text in ("XADD x * f v", "XADD x MAXLEN = 3 * f w", "XADD x NOMKSTREAM 9999999999999-* f x", "SPOP s 20"):
        said = real(*text.split())
        found = [said] if isinstance(said, bytes) else said
        body = b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in found)
        made = exact(words(text), body if isinstance(said, bytes) else b"*%d\r\n" % len(found) + body)
        assert made is not None
        copy(*made)
    for read in (["XRANGE", "x", "-", "+"], ["SORT", "s"]):
        assert real(*read) == copy(*read)


def test_a_member_may_be_empty() -> None:
    assert exact([b"SPOP", b"s"], b"$0\r\n\r\n") == [b"SREM", b"s", b""]

"""Prefixes before keys, and away from replies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.codec.commands import find
from twisted_mesh.codec.key_prefix import (
    NotConfined,
    is_notification,
    prefixed,
    prefixed_head,
    stripped,
    stripped_each,
    stripped_invalidation,
    unquoted,
)
from twisted_mesh.codec.resp import array, bulk, integer, pack


def made(text: str, prefix: bytes = b"t:") -> str:
    words = text.encode().split()
    command = find(words[0], words[1] if len(words) > 1 else None)
    assert command is not None
    return b" ".join(prefixed(command, words, prefix)).decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET a", "GET t:a"),
        ("MSET a 1 b 2", "MSET t:a 1 t:b 2"),
        ("EVAL s 2 a b c", "EVAL s 2 t:a t:b c"),
        ("XREAD COUNT 1 STREAMS a b 0 0", "XREAD COUNT 1 STREAMS t:a t:b 0 0"),
        ("SORT a STORE b", "SORT t:a STORE t:b"),
        ("OBJECT ENCODING a", "OBJECT ENCODING t:a"),
        ("KEYS a*", "KEYS t:a*"),
        ("SCAN 0", "SCAN 0 MATCH t:*"),
        ("SCAN 0 COUNT 5 match x*", "SCAN 0 COUNT 5 match t:x*"),
        # A server takes the last one.
        ("SCAN 0 MATCH x MATCH *", "SCAN 0 MATCH t:x MATCH t:*"),
        ("PING", "PING"),
        ("PUBLISH a b", "PUBLISH a b"),
        ("SPUBLISH a b", "SPUBLISH a b"),
        ("SSUBSCRIBE a b", "SSUBSCRIBE a b"),
        ("SUNSUBSCRIBE a", "SUNSUBSCRIBE a"),
        ("INFO", "INFO"),
        ("CLIENT TRACKING on optin", "CLIENT TRACKING on optin"),
        ("CLIENT TRACKING on BCAST", "CLIENT TRACKING on BCAST PREFIX t:"),
        ("CLIENT TRACKING on PREFIX a bcast prefix prefix", "CLIENT TRACKING on PREFIX t:a bcast prefix t:prefix"),
    ],
)
def test_keys_get_the_prefix(text: str, expected: str) -> None:
    assert made(text) == expected


def test_a_prefix_is_no_pattern() -> None:
    assert made("KEYS *", b"t*[") == "KEYS t\\*\\[*"


@pytest.mark.parametrize(
    "text",
    [
        *("RANDOMKEY", "DBSIZE", "FLUSHALL", "SORT a BY w_*", "SORT_RO a GET x", "MONITOR", "SLOWLOG GET"),
        *("CONFIG SET maxmemory 1", "CONFIG RESETSTAT", "SCRIPT FLUSH", "FUNCTION DUMP", "LATENCY RESET"),
        *("SUBSCRIBE a __keyspace@0__:t:a", "PSUBSCRIBE __keyevent@*"),
    ],
)
def test_what_cannot_be_confined(text: str) -> None:
    with pytest.raises(NotConfined):
        made(text)


def test_replies_lose_it_where_it_is_a_keys() -> None:
    reply = array([bulk(b"t:a"), array([bulk(b"t:value"), integer(3), b"$-1\r\n"]), bulk(b"x")])
    assert stripped(reply, b"t:", {b"t:a"}) == array(
        [bulk(b"a"), array([bulk(b"t:value"), integer(3), b"$-1\r\n"]), bulk(b"x")]
    )
    assert stripped(reply, b"t:") == array([bulk(b"a"), array([bulk(b"value"), integer(3), b"$-1\r\n"]), bulk(b"x")])
    assert stripped(b"=8\r\ntxt:t:ab\r\n$4\r\nt:ab\r\n", b"t:") == b"=8\r\ntxt:t:ab\r\n$2\r\nab\r\n"


@given(st.lists(st.binary(max_size=6), max_size=6), st.binary(min_size=1, max_size=3))
def test_what_is_added_is_taken_away(texts: list[bytes], prefix: bytes) -> None:
    plain = array(map(bulk, texts))
    assert stripped(array(bulk(prefix + each) for each in texts), prefix) == plain


@given(st.binary(max_size=10), st.binary(max_size=30))
def test_the_head_of_a_large_command(key: bytes, value: bytes) -> None:
    whole = pack([b"SET", key, value])
    expected = pack([b"SET", b"t:" + key, value])
    assert prefixed_head(whole, b"t:") == expected
    with pytest.raises(ValueError, match="does not hold its key"):
        prefixed_head(b"*3\r\n$3\r\nSET\r\n$100\r\nabc", b"t:")


def test_each_reply_of_a_transaction() -> None:
    reply = array([bulk(b"t:value"), array([bulk(b"t:a")]), array([bulk(b"t:b"), bulk(b"t:c")])])
    expected = array([bulk(b"t:value"), array([bulk(b"a")]), array([bulk(b"b"), bulk(b"t:c")])])
    assert stripped_each(reply, b"t:", [(), None, {b"t:b"}]) == expected
    for other in (reply, b"*-1\r\n", b"-EXECABORT t:\r\n"):
        assert stripped_each(other, b"t:", [None]) == other


def test_what_is_told_of_keys() -> None:
    def told(keys: bytes) -> bytes:
        return b">2\r\n" + bulk(b"invalidate") + keys

    assert stripped_invalidation(told(array([bulk(b"ia")])), b"i") == told(array([bulk(b"a")]))
    assert stripped_invalidation(told(b"_\r\n"), b"i") == told(b"_\r\n")
    message = b">3\r\n" + bulk(b"message") + bulk(b"ia") + bulk(b"ia")
    assert stripped_invalidation(message, b"i") == message


@pytest.mark.parametrize("sign", [b">", b"*"])
def test_what_a_server_tells_of_the_keys_of_all(sign: bytes) -> None:
    def told(*words: bytes) -> bytes:
        return sign + array(map(bulk, words))[1:]

    assert is_notification(told(b"pmessage", b"*", b"__keyspace@0__:a", b"set"))
    assert is_notification(told(b"pmessage", b"_*", b"__keyevent@0__:set", b"a"))
    assert is_notification(told(b"message", b"__keyevent@0__:set", b"a"))
    assert not is_notification(told(b"message", b"news", b"__keyevent@0__:set"))
    assert not is_notification(told(b"pmessage", b"__keyspace@*", b"news", b"a"))
    assert not is_notification(told(b"invalidate", b"__keyspace@"))


def test_an_error_does_not_quote_the_prefix() -> None:
    error = b"-NOGROUP No such key 't:x' or consumer group 'g'\r\n"
    plain = b"-NOGROUP No such key 'x' or consumer group 'g'\r\n"
    value = bulk(error)
    assert stripped(error, b"t:", []) == plain
    assert unquoted(value + error + integer(1) + error, b"t:") == value + plain + integer(1) + plain
    assert stripped_each(array([error, value]), b"t:", [[], []]) == array([plain, value])
    assert unquoted(b"-ERR 't:x'\r\n", b"t:") == b"-ERR 't:x'\r\n"

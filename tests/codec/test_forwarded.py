"""Who asked, told to the next hop, and which of what clients say about themselves is believed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.codec.forwarded import Hop, extended, fresh
from twisted_mesh.codec.lines import FORWARDED, Field, parse_field

HOP = Hop("192.0.2.1", "http", "mesh")


def fields(*lines: bytes) -> list[Field]:
    return [parse_field(each) for each in lines]


def pairs(made: list[Field]) -> dict[str, str]:
    assert len({each[0] for each in made}) == len(made)
    return {each[0].decode(): each[1].decode() for each in made}


def test_a_request_that_carries_none() -> None:
    made = fresh(HOP, b"shop.example:80", 1)
    assert pairs(made) == {
        "x-forwarded-for": "192.0.2.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "shop.example:80",
        "forwarded": 'for=192.0.2.1;host="shop.example:80";proto=http',
        "via": "1.1 mesh",
    }
    assert all(each[2] == each[0] + b": " + each[1] and each[3] == FORWARDED for each in made)


def test_a_client_behind_a_unix_socket_has_no_address() -> None:
    made = pairs(fresh(Hop("", "http", "mesh"), b"a", 0))
    assert "x-forwarded-for" not in made
    assert made["forwarded"] == 'for=unknown;host="a";proto=http'
    assert made["via"] == "1.0 mesh"


def test_a_request_without_a_host_says_nothing_of_it() -> None:
    made = pairs(fresh(HOP, b"", 0))
    assert "x-forwarded-host" not in made
    assert made["forwarded"] == "for=192.0.2.1;proto=http"


def test_an_ipv6_client_is_quoted_as_rfc_7239_has_it() -> None:
    made = pairs(fresh(Hop("2001:db8::1", "https", "mesh"), b"a", 1))
    assert made["x-forwarded-for"] == "2001:db8::1"
    assert made["forwarded"] == 'for="[2001:db8::1]";host="a";proto=https'


CLAIMS = (
    b"X-Forwarded-For: 198.51.100.7, 203.0.113.9",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: public.example",
    b"Forwarded: for=198.51.100.7",
    b"Via: 1.0 fred",
)


def test_a_stranger_is_believed_nothing() -> None:
    """Protocol and host are replaced; the client is the peer; what was claimed of it stays, in front."""
    made, client = extended(fields(b"X-One: 1", *CLAIMS), HOP, b"shop.example", 1, 0)
    assert client == "192.0.2.1"
    assert pairs(made) == {
        "x-one": "1",
        "x-forwarded-for": "198.51.100.7, 203.0.113.9, 192.0.2.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "shop.example",
        "forwarded": 'for=198.51.100.7, for=192.0.2.1;host="shop.example";proto=http',
        "via": "1.0 fred, 1.1 mesh",
    }


@pytest.mark.parametrize(
    ("hops", "client"), [(1, "203.0.113.9"), (2, "198.51.100.7"), (3, "198.51.100.7"), (100, "198.51.100.7")]
)
def test_a_trusted_proxy_is_believed(hops: int, client: str) -> None:
    """The client is the Nth address from the right of what came; with fewer addresses than hops it is the first."""
    made, found = extended(fields(*CLAIMS), HOP, b"shop.example", 1, hops)
    assert found == client
    assert pairs(made)["x-forwarded-proto"] == "https"
    assert pairs(made)["x-forwarded-host"] == "public.example"


@pytest.mark.parametrize(
    ("claim", "client"),
    [
        (b"10.2.2.2:5555", "10.2.2.2"),
        (b"[2001:db8::1]:80", "2001:db8::1"),
        (b"[2001:db8::1]", "2001:db8::1"),
        (b"2001:db8::1", "2001:db8::1"),
        (b"unknown", "unknown"),
        (b"[x]:1", "[x]:1"),
    ],
)
def test_a_client_is_an_address_whatever_its_port(claim: bytes, client: str) -> None:
    made, found = extended(fields(b"X-Forwarded-For: " + claim), HOP, b"shop.example", 1, 1)
    assert found == client
    # The next hop is told what was said.
    assert pairs(made)["x-forwarded-for"] == f"{claim.decode()}, 192.0.2.1"


def test_the_last_of_several_claims_counts() -> None:
    """The proxy in front of us wrote the last one; the others came from further away."""
    came = fields(b"X-Forwarded-Proto: ftp", b"X-Forwarded-Proto: https")
    assert pairs(extended(came, HOP, b"a", 1, 1)[0])["x-forwarded-proto"] == "https"


def test_several_fields_become_one() -> None:
    came = fields(b"X-Forwarded-For: a", b"x-forwarded-for: b,, c ", b"Via: 1.1 x", b"via: 1.0 y", b"Forwarded: for=a",
                  b"forwarded: for=b")  # fmt: skip
    made = pairs(extended(came, HOP, b"h", 1, 0)[0])
    assert made["x-forwarded-for"] == "a, b, c, 192.0.2.1"
    assert made["via"] == "1.1 x, 1.0 y, 1.1 mesh"
    assert made["forwarded"].startswith("for=a, for=b, for=192.0.2.1;")


def test_empty_claims() -> None:
    made, client = extended(fields(b"X-Forwarded-For:", b"Via: 1.1 x"), Hop("", "http", "mesh"), b"", 0, 1)
    assert client == ""
    assert "x-forwarded-for" not in pairs(made)
    assert pairs(made)["via"] == "1.1 x, 1.0 mesh"


@pytest.mark.parametrize(("hops", "client"), [(1, "203.0.113.9"), (2, "198.51.100.7"), (3, "198.51.100.7")])
def test_a_proxy_behind_a_unix_socket_is_a_hop_without_an_address(hops: int, client: str) -> None:
    """Or whatever a client claims would be taken for its address."""
    assert extended(fields(*CLAIMS), Hop("", "http", "mesh"), b"a", 1, hops)[1] == client


@pytest.mark.parametrize(
    "claim",
    [b'for="a', b'for="a\\"', b'for=a"b', b"a", b'for=a, "', b"for=a b", b"for = a", b'for="a" "b"', b"for=a\\b"],
)
def test_a_forwarded_that_could_swallow_ours_is_dropped(claim: bytes) -> None:
    made = pairs(extended(fields(b"Forwarded: " + claim, b"Forwarded: for=b"), HOP, b"a", 1, 0)[0])
    assert made["forwarded"] == 'for=b, for=192.0.2.1;host="a";proto=http'


@pytest.mark.parametrize("part", [b"; ", b",\t ", b"a=b ;", b'a="b" , ', b";", b'"', b"\\", b"a"])
def test_a_long_claim_is_judged_in_a_time_that_grows_with_it(part: bytes) -> None:
    """Nothing to measure: anything worse would not end."""
    claim = (part * 20_000)[:60_000].strip(b" \t") + b"!"
    made = pairs(extended(fields(b"Forwarded: for=a;" + claim), HOP, b"a", 1, 0)[0])
    assert made["forwarded"] == 'for=192.0.2.1;host="a";proto=http'


@pytest.mark.parametrize(
    "claim",
    [
        b'for="[2001:db8::1]:80";by=_x, for=unknown',
        b"for=[::1]:80, for=192.0.2.7:80",
        b'for="a\\"b"',
        b"for=a;",
        b",for=a , proto=http;host=h",
        b'for="a,b;c"',
    ],
)
def test_a_forwarded_that_is_one_is_kept(claim: bytes) -> None:
    made = pairs(extended(fields(b"Forwarded: " + claim), HOP, b"a", 1, 0)[0])
    assert made["forwarded"] == claim.decode() + ', for=192.0.2.1;host="a";proto=http'


@given(st.lists(st.text("0123456789.abc", min_size=1, max_size=8), max_size=5), st.integers(0, 6))
def test_our_peer_is_always_the_last(chain: list[str], hops: int) -> None:
    """Whoever counts from the right can rely on it, and the client is one of those named."""
    lines = [b"X-Forwarded-For: " + each.encode() for each in chain] + [b"Via: x"]
    made, client = extended(fields(*lines), HOP, b"a", 1, hops)
    told = pairs(made)["x-forwarded-for"].split(", ")
    assert told == [*chain, "192.0.2.1"]
    assert client == told[max(len(told) - 1 - hops, 0)]


@given(st.sampled_from(["192.0.2.1", "::1", "fe80::1%eth0", ""]), st.sampled_from([b"", b"a", b"[::1]:80"]))
def test_what_is_made_is_a_header_line(peer: str, host: bytes) -> None:
    for each in fresh(Hop(peer, "http", "mesh"), host, 1):
        assert parse_field(each[2])[:3] == each[:3]
        assert re.fullmatch(rb"[a-z-]+: [\x21-\x7e ]+", each[2])

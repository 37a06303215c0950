"""What a shared cache may keep: the tables of RFC 9111."""

from __future__ import annotations

from email.utils import formatdate
from typing import Optional

import pytest

from twisted_mesh.headers import Headers
from twisted_mesh.policy.freshness import Wish, directives, kept, same_tag, wish

NOW = 1_700_000_000.0
DATE = formatdate(NOW, usegmt=True)


def lifetime(fields: dict[str, str], status: int = 200, personal: bool = False, ttl: Optional[float] = None) -> float:
    found = kept(status, Headers.of(fields.items()), personal=personal, default=ttl, now=NOW)
    return -1.0 if found is None else found.lifetime


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"cache-control": "max-age=60"}, 60),
        ({"cache-control": "max-age=60, s-maxage=5"}, 5),
        ({"cache-control": 'public, MAX-AGE="60"'}, 60),
        ({"cache-control": "max-age=60", "age": "20"}, 40),
        ({"cache-control": "max-age=60", "age": "60"}, -1),
        ({"expires": formatdate(NOW + 30, usegmt=True), "date": DATE}, 30),
        ({"expires": formatdate(NOW + 30, usegmt=True)}, 30),
        ({"expires": "0", "date": DATE}, -1),
        ({"cache-control": "max-age=60", "date": formatdate(NOW - 15, usegmt=True)}, 45),
        ({"cache-control": "max-age=soon"}, -1),
        ({"cache-control": "max-age=0"}, -1),
        ({"cache-control": "no-store, max-age=60"}, -1),
        ({"cache-control": "private, max-age=60"}, -1),
        ({"cache-control": "no-cache, max-age=60"}, -1),
        ({"cache-control": "max-age=60", "set-cookie": "a=b"}, -1),
        ({"cache-control": "max-age=60", "vary": "*"}, -1),
        ({}, -1),
    ],
)
def test_how_long_a_reply_is_kept(fields: dict[str, str], seconds: float) -> None:
    assert lifetime(fields) == seconds


def test_what_says_nothing_is_kept_only_where_it_is_asked_for() -> None:
    assert lifetime({}, ttl=7.0) == 7
    assert lifetime({"cache-control": "max-age=60"}, ttl=7.0) == 60
    assert lifetime({}, status=500, ttl=7.0) == -1
    assert lifetime({"cache-control": "max-age=9"}, status=501, ttl=7.0) == -1
    assert lifetime({}, status=206, ttl=7.0) == -1


def test_replies_for_callers_that_say_who_they_are() -> None:
    assert lifetime({"cache-control": "max-age=60"}, personal=True) == -1
    assert lifetime({"cache-control": "max-age=60, public"}, personal=True) == 60
    assert lifetime({"cache-control": "s-maxage=60"}, personal=True) == 60


def test_what_a_reply_varies_by() -> None:
    found = kept(200, Headers.of([("vary", "Accept, origin"), ("vary", "accept")]), personal=False, default=1, now=NOW)
    assert found is not None and found.vary == ("accept", "origin")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Wish()),
        ({"cache-control": "no-store"}, Wish(bypass=True)),
        ({"cache-control": "no-cache"}, Wish(renew=True)),
        ({"cache-control": "max-age=0"}, Wish(renew=True, most_age=0)),
        ({"cache-control": "max-age=5, min-fresh=3"}, Wish(most_age=5, least_left=3)),
        ({"cache-control": "only-if-cached"}, Wish(only=True)),
        ({"pragma": "no-cache"}, Wish(renew=True)),
        ({"pragma": "no-cache", "cache-control": "max-age=5"}, Wish(most_age=5)),
    ],
)
def test_what_a_request_asks(fields: dict[str, str], expected: Wish) -> None:
    assert wish(Headers.of(fields.items())) == expected


def test_directives_and_tags() -> None:
    assert directives(["a, B=1", ' c="x y" , a=2']) == {"a": "", "b": "1", "c": "x y"}
    assert same_tag('"x", W/"y"', '"y"')
    assert same_tag("*", '"y"')
    assert not same_tag('"x"', '"y"')

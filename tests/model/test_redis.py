"""Where Redis is: URLs, settings, refusals."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from twisted_mesh.model import Address, Config
from twisted_mesh.model.redis import Redis, RedisUrl, Sentinels, parse

A, B = Address("a.example", 6379), Address("b", 6380)


@pytest.mark.parametrize(
    ("text", "url", "back"),
    [
        ("redis://a.example", RedisUrl("redis", (A,)), "redis://a.example:6379/0"),
        ("REDISS://a.example:6379/3", RedisUrl("rediss", (A,), 3), "rediss://a.example:6379/3"),
        ("redis://a.example,b:6380/", RedisUrl("redis", (A, B)), "redis://a.example:6379,b:6380/0"),
        ("redis://[::1]", RedisUrl("redis", (Address("::1", 6379),)), "redis://[::1]:6379/0"),
        ("redis://[::1]:7", RedisUrl("redis", (Address("::1", 7),)), "redis://[::1]:7/0"),
        (
            "redis://us%3Aer:p%40:/w@b:6380/1",
            RedisUrl("redis", (B,), 1, username="us:er", password="p@:/w"),
            "redis://us%3Aer:p%40%3A%2Fw@b:6380/1",
        ),
        ("redis://:pw@b:6380", RedisUrl("redis", (B,), password="pw"), "redis://:pw@b:6380/0"),
        ("unix:///run/r.sock", RedisUrl("unix", (Address("", 0, "/run/r.sock"),)), "unix:///run/r.sock"),
        (
            "unix://me:pw@/run/a%20b?db=2",
            RedisUrl("unix", (Address("", 0, "/run/a b"),), 2, username="me", password="pw"),
            "unix://me:pw@/run/a%20b?db=2",
        ),
        (
            "sentinel://a.example,b:6380/main/4",
            RedisUrl("sentinel", (Address("a.example", 26379), B), 4, "main"),
            "sentinel://a.example:26379,b:6380/main/4",
        ),
        ("sentinel://:pw@b:6380/m", RedisUrl("sentinel", (B,), 0, "m", password="pw"), "sentinel://:pw@b:6380/m/0"),
        ("embedded", RedisUrl("embedded"), "embedded"),
        ("embedded://127.0.0.1", RedisUrl("embedded", (Address("127.0.0.1", 6379),)), "embedded://127.0.0.1:6379"),
    ],
)
def test_urls_are_read_and_written(text: str, url: RedisUrl, back: str) -> None:
    assert RedisUrl.parse(text) == url
    assert str(url) == back
    assert RedisUrl.parse(back) == url


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a Redis such as redis://127.0.0.1:6379/0, "),
        ("localhost:6379", 'embedded, got "localhost:6379"'),
        ("http://x", 'embedded, got "http://x"'),
        ("redis://", "expected a host before the port"),
        ("redis://a:0", "expected hosts, each with a port from 1 to 65535"),
        ("redis://a:6379x", "expected a port from 0 to 65535"),
        ("redis://a/x", "expected the number of a database at the end, as in /0"),
        ("redis://a/0?ssl=1", "nothing may follow the database"),
        ("redis://a:1,", "expected a host before the port"),
        ("redis://" + ",".join(["a"] * 33), "expected at most 32 addresses"),
        ("sentinel://a:1", "expected the master's name after the Sentinels, as in sentinel://host:26379/NAME/0"),
        ("sentinel://a:1/na me/0", "expected the master's name"),
        ("sentinel://a:1/m/0/1", "expected the number of a database"),
        ("unix://run/x", "expected an absolute path"),
        ("unix:///run/x?name=1", r"expected \?db=NUMBER or nothing after the path"),
        ("embedded://a:0", "expected hosts"),
        ("embedded://a,b", "expected one address"),
    ],
)
def test_what_is_no_url_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


@pytest.mark.parametrize(
    "text", ["redis://:s3cret@a:b", "http://u:s3cret@x", "redis://u:s3@cret@a:x/0", "sentinel://:s3cret@a/"]
)
def test_no_error_shows_a_password(text: str) -> None:
    with pytest.raises(ValueError, match=r"\*\*\*") as caught:
        parse(text)
    assert "s3" not in str(caught.value)
    assert "cret" not in str(caught.value)


def test_a_password_is_not_shown_by_accident() -> None:
    made = Redis(url=RedisUrl.parse("redis://me:s3cret@a"), sentinel=Sentinels(password="s3cret"))
    other = Redis(url=RedisUrl.parse("redis://a"), password="s3cret")
    assert "s3cret" not in f"{made!r} {made.url!r} {made.url.shown} {other!r} {other}"
    assert made.url.shown == "redis://me:***@a:6379/0"
    assert pickle.loads(pickle.dumps(made)) == made


def test_the_settings_come_before_the_url() -> None:
    made = Redis(url=RedisUrl.parse("redis://me:pw@a"), username="you")
    assert made.login == ("you", "pw")
    assert Redis(url=RedisUrl.parse("redis://me:pw@a"), password="other").login == ("me", "other")
    assert (made.timeout, made.secure, made.embedded) == (5.0, False, False)
    assert parse("rediss://a").secure
    assert parse("embedded").embedded


def test_a_configuration_says_it_as_text_or_as_an_object() -> None:
    short = Config.model_validate({"redis": "redis://a"}).redis
    assert short == parse("redis://a")
    long: dict[str, Any] = {"url": "sentinel://a/main", "tls": True, "ca": "/ca.pem", "sentinel": {"password": "x"}}
    made = Config.model_validate({"redis": long}).redis
    assert made is not None
    assert made.secure
    assert Config.model_validate({"redis": made.model_dump(mode="json")}, context={}).redis == made


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({}, "Field required"),
        (5, "expected a Redis such as"),
        ({"url": "redis://a", "ca": "/ca"}, "ca is for TLS, that is rediss://"),
        ({"url": "unix:///a", "server_name": "x"}, "server_name is for TLS"),
        ({"url": "sentinel://a/m", "certificate": "/c"}, "certificate is for TLS and tls: true"),
        ({"url": "redis://a", "tls": True}, "write rediss:// in place of redis://"),
        ({"url": "rediss://a", "key": "/k"}, "key needs a certificate"),
        ({"url": "rediss://a", "ca": ""}, "expected an absolute path"),
        ({"url": "rediss://a", "certificate": "a\nb"}, "got text of several lines"),
        ({"url": "rediss://a", "ca": "ca.pem"}, "expected an absolute path, PEM itself, or file:PATH"),
        ({"url": "redis://a", "timeout": "0s"}, "more than 0"),
        ({"url": "redis://a", "user": "x"}, "Extra inputs"),
    ],
)
def test_what_makes_no_sense_is_refused(written: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Config.model_validate({"redis": written})


def test_pem_may_be_given_itself() -> None:
    for text in ("-----BEGIN CERTIFICATE-----\n", "subject=ours\n-----BEGIN CERTIFICATE-----\n"):
        assert Redis(url=RedisUrl.parse("rediss://a"), ca=text).ca == text

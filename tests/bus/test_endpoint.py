"""TLS to a real server through a front, since the servers in wheels speak none."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.testing import MemoryReactorClock

from tests.servers import Live, Server
from tests.tls_front import Authority, TlsFront
from twisted_mesh.bus.client import Redis, Subscriber
from twisted_mesh.bus.endpoint import TlsEndpoint, endpoint_for
from twisted_mesh.bus.errors import BusError
from twisted_mesh.model.address import Address
from twisted_mesh.model.redis import Redis as Settings
from twisted_mesh.model.redis import RedisUrl, parse

MakeRedis = Callable[..., Redis]
MakeFront = Callable[..., TlsFront]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def front() -> Iterator[MakeFront]:
    """``front(port, certificate, client_ca)`` starts a `TlsFront`."""
    made: list[TlsFront] = []

    def start(*arguments: Any) -> TlsFront:
        made.append(TlsFront(*arguments))
        return made[-1]

    yield start
    for each in made:
        each.stop()


def test_tls_with_an_authority_of_ones_own(
    live: Live,
    redis_servers: Callable[..., Server],
    authority: Authority,
    front: MakeFront,
    redis: MakeRedis,
    subscriber: Callable[..., Subscriber],
) -> None:
    """Also answers and commands that take many TLS records."""
    server = redis_servers(password="pw")
    door = front(server.port, authority.issue("server", ["127.0.0.1"]))
    one = redis(f"rediss://:pw@{door.address}/1", ca=str(authority.ca))
    large = b"x" * 1_000_000
    assert live.run(lambda: one.command("SET", "x", large)) == b"OK"
    assert live.run(lambda: one.command("GET", "x")) == large
    got: list[bytes] = []
    two = subscriber(f"rediss://:pw@{door.address}", ca=authority.ca.read_text())
    live.run(lambda: two.subscribe("c", got.append))
    server("PUBLISH", "c", large)
    live.until(lambda: got == [large])
    server.restart()
    live.until(lambda: one.connected and two.connected)


def test_a_server_of_another_authority_is_not_trusted_until_the_file_is_put_right(
    live: Live, redis_server: Server, authority: Authority, front: MakeFront, redis: MakeRedis, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    door = front(redis_server.port, authority.issue("server", ["127.0.0.1"]))
    named = tmp_path / "trusted.pem"
    named.write_bytes(other.ca.read_bytes())
    one = redis(f"rediss://{door.address}", ca=str(named), wait=False)
    live.until(lambda: "TLS: certificate verify failed" in one.trouble, one.trouble)
    unknown = redis(f"rediss://{door.address}", wait=False)
    live.until(lambda: "TLS: certificate verify failed" in unknown.trouble, unknown.trouble)
    named.write_bytes(other.ca.read_bytes() + authority.ca.read_bytes())
    live.until(lambda: one.connected)


def test_the_name_in_the_certificate_counts(
    live: Live, redis_server: Server, authority: Authority, front: MakeFront, redis: MakeRedis
) -> None:
    door = front(redis_server.port, authority.issue("server", ["redis.example"]))
    wrong = redis(f"rediss://{door.address}", ca=str(authority.ca), wait=False)
    live.until(lambda: wrong.trouble.endswith("TLS: the certificate is for another name"), wrong.trouble)
    assert redis(f"rediss://{door.address}", ca=str(authority.ca), server_name="redis.example").connected


def test_client_certificates(
    live: Live, redis_server: Server, authority: Authority, front: MakeFront, redis: MakeRedis
) -> None:
    door = front(redis_server.port, authority.issue("server", ["127.0.0.1"]), authority.ca)
    both = authority.issue("client")
    one = redis(f"rediss://{door.address}", ca=str(authority.ca), certificate=str(both))
    assert one.connected
    text = both.read_text()
    at = text.index("-----BEGIN PRIVATE")
    apart = redis(f"rediss://{door.address}", ca=str(authority.ca), certificate=text[:at], key=text[at:])
    assert apart.connected
    without = redis(f"rediss://{door.address}", ca=str(authority.ca), wait=False)
    live.until(lambda: "TLS: " in without.trouble or "the connection" in without.trouble, without.trouble)


def test_tls_where_there_is_none_is_said(
    live: Live, redis_server: Server, authority: Authority, front: MakeFront, redis: MakeRedis
) -> None:
    one = redis(redis_server.url.replace("redis:", "rediss:"), ca=str(authority.ca), wait=False, timeout=0.5)
    live.until(lambda: one.trouble == f"redis {redis_server.address}: no TLS handshake within 0.5 s", one.trouble)
    door = front(redis_server.port, authority.issue("server", ["127.0.0.1"]))
    plain = redis(f"redis://{door.address}", wait=False, timeout=0.5)
    live.until(lambda: plain.trouble.startswith(f"redis {door.address}: "))


# --- files that cannot be used


def settings(**values: Any) -> Settings:
    return Settings(url=RedisUrl.parse("rediss://a"), **values)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("ca", None, "redis.ca: .*/gone cannot be read: No such file or directory"),
        ("ca", "nothing", "redis.ca holds no certificate in PEM"),
        ("ca", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "redis.ca holds a certificate that"),
        ("certificate", "x", "redis.certificate holds no certificate in PEM"),
        ("key", "x", "redis.key holds no key in PEM that can be read without a passphrase"),
    ],
)
def test_files_that_cannot_be_used_are_said(
    tmp_path: Path, authority: Authority, name: str, text: Any, message: str
) -> None:
    path = tmp_path / "gone"
    if text is not None:
        path.write_text(text)
    values = {name: str(path)}
    if name == "key":
        values["certificate"] = str(authority.issue("client"))
    with pytest.raises(BusError, match=message):
        endpoint_for(Address("a", 1), settings(**values), MemoryReactorClock())


def test_each_address_has_its_endpoint() -> None:
    reactor = MemoryReactorClock()
    assert isinstance(endpoint_for(Address("", 0, "/x"), parse("unix:///x"), reactor), UNIXClientEndpoint)
    assert isinstance(endpoint_for(Address("a", 1), parse("redis://a"), reactor), HostnameEndpoint)
    assert isinstance(endpoint_for(Address("a", 1), parse("rediss://a"), reactor), TlsEndpoint)

"""One instance of a service."""

from __future__ import annotations

import json
from typing import Any

import pytest

from twisted_mesh.bus.instance import Instance, check, check_times, decode, encode, is_literal, matches


def an_instance(**fields: Any) -> Instance:
    made = {"id": "web-1", "service": "web", "address": "10.0.0.1", "ports": {"http": 8080}, **fields}
    return Instance(**made)


def test_a_record_is_what_is_not_as_usual() -> None:
    """A record is JSON with the fields that say something; reading it gives an equal instance."""
    plain = an_instance()
    assert json.loads(encode(plain)) == {
        "id": "web-1",
        "service": "web",
        "address": "10.0.0.1",
        "ports": {"http": 8080},
    }
    assert decode(encode(plain)) == plain
    full = an_instance(zone="a", weight=3, labels={"x": "y"}, version="v2", status="draining", lease=60.0, owner="me")
    assert decode(encode(full)) == full


def test_when_the_lease_ends_is_no_part_of_the_record() -> None:
    """It changes with every heartbeat, and a heartbeat changes no record."""
    assert encode(an_instance(expires=5)) == encode(an_instance())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"service": "a b"}, "service: expected a name"),
        ({"id": "x\ny"}, "id: expected an id"),
        ({"id": ""}, "id: expected an id"),
        ({"address": "10.0.0.1:80"}, 'address: expected an IP address or a host name, without a port, got "10.0.0.1:80"'),
        ({"address": ""}, "address: expected an IP address"),
        ({"ports": {}}, "ports: expected at least one"),
        ({"ports": {"http": 0}}, "ports.http: expected a port from 1 to 65535, got 0"),
        ({"ports": {"a b": 80}}, "ports: expected a name"),
        ({"weight": 0}, "weight: expected 1 to 1,000,000, got 0"),
        ({"status": "well"}, 'status: expected starting, up, draining or down, got "well"'),
        ({"lease": 0.1, "heartbeat": 0}, "lease: expected 500ms to a year, got 0.1s"),
        ({"lease": 8.0}, "heartbeat: expected at most half of the lease of 8s, so that one may be lost, got 5s"),
        ({"labels": {"x": "y" * 9000}}, "labels: expected an instance of at most 8,192 bytes in all"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(fields: dict[str, Any], message: str) -> None:
    """Each field that cannot be right is named, with what would be."""
    with pytest.raises(ValueError) as refused:
        check(an_instance(**fields))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("id", ["web-1", "10.0.0.1:80", "[::1]:80", "a/b@c", "1"])
def test_ids(id: str) -> None:
    """An id may be an address."""
    assert check(an_instance(id=id)).id == id


@pytest.mark.parametrize(
    "record", [b"", b"{", b"[]", b'{"id":"a"}', b'{"id":1,"service":"web","address":"a","ports":{}}']
)
def test_what_is_no_record_is_refused(record: bytes) -> None:
    """Whatever another program wrote there is a ValueError and nothing else."""
    with pytest.raises(ValueError):
        decode(record)


def test_fields_of_a_later_release_are_passed_over() -> None:
    """An old sidecar reads what a newer one has written."""
    assert decode(b'{"id":"a","service":"web","address":"::1","ports":{"http":1},"colour":"red"}').id == "a"


def test_numbers_that_lua_wrote() -> None:
    """Redis's Lua writes 15 for 15.0."""
    assert (
        decode(b'{"id":"a","service":"web","address":"::1","ports":{"tcp":1},"lease":600,"heartbeat":0}').lease == 600
    )


def test_the_port_of_a_protocol() -> None:
    """A protocol has its port or none; without one it is the only port, or http's, tcp's, redis's."""
    assert an_instance().target() == "10.0.0.1:8080"
    assert an_instance().target("tcp") == ""
    many = an_instance(ports={"redis": 3, "tcp": 2, "http": 1, "admin": 4})
    assert [many.port(each) for each in ("", "redis", "admin", "no")] == [1, 3, 4, 0]
    assert an_instance(ports={"a": 1, "b": 2}).port() == 0
    assert an_instance(address="::1").target() == "[::1]:8080"
    assert str(an_instance(address="::1")) == "web/web-1 at [::1]:8080"


def test_labels_and_what_counts_as_one() -> None:
    """Version, zone and id can be asked for like labels; a label of that name comes first."""
    one = an_instance(version="v1", zone="a", labels={"tier": "x"})
    assert matches(one, {"version": "v1", "zone": "a", "tier": "x", "id": "web-1"})
    assert matches(one, {})
    assert not matches(one, {"version": "v2"})
    assert not matches(one, {"missing": "x"})
    assert an_instance(version="v1", labels={"version": "v2"}).label("version") == "v2"


def test_a_heartbeat_of_nobody() -> None:
    """A lease that nobody renews has no heartbeat, and may be long."""
    check_times(86400.0, 0.0)
    with pytest.raises(ValueError, match="at most half of the lease"):
        check_times(15.0, -1.0)


def test_addresses_and_names() -> None:
    """An IP address needs no looking up, a name does."""
    assert is_literal(an_instance(address="::1"))
    assert not is_literal(an_instance(address="localhost"))

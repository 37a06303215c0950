"""The instance that a configuration wants registered."""

from __future__ import annotations

from typing import Optional

import pytest

from twisted_mesh.bus.instance import Instance
from twisted_mesh.control.load import load_text
from twisted_mesh.errors import ConfigError
from twisted_mesh.server.own_instance import address_towards, app_of, instance_of

APP = "127.0.0.1:9000"
INSTANCE = Instance(id="web-1", service="web", address="10.0.0.1", ports={"http": 80}, owner="me")


def instance(text: str) -> Optional[Instance]:
    return instance_of(load_text(text), "10.9.8.7", "me")


def test_what_is_registered_by_default() -> None:
    """The listeners' ports by protocol, under this machine's address; the lease renewed three times."""
    found = instance(
        """
        node: {id: web-1, service: web, zone: a, labels: {version: v2, x: y}, weight: 3, lease: 9s}
        listeners:
          in: {protocol: http, bind: "0.0.0.0:8080", routes: [{reply: {}}]}
          raw: {protocol: tcp, bind: "127.0.0.1:9999", routes: [{to: db}]}
        clusters: {db: {endpoints: ["127.0.0.1:5432"]}}
        """
    )
    assert found == Instance(
        id="web-1",
        service="web",
        address="10.9.8.7",
        ports={"http": 8080, "tcp": 9999},
        zone="a",
        weight=3,
        labels={"version": "v2", "x": "y"},
        version="v2",
        lease=9.0,
        heartbeat=3.0,
        owner="me",
    )


def test_what_the_configuration_says_goes_before() -> None:
    """Its address and its ports; an id is made of the host's name where none is given."""
    found = instance("node: {service: web, address: 10.0.0.1, ports: {http: 80}, version: v1}")
    assert found is not None
    assert (found.address, found.ports, found.version) == ("10.0.0.1", {"http": 80}, "v1")
    assert found.id.endswith("-80")


def test_who_has_nothing_to_register() -> None:
    """No service, no port, or no wish."""
    assert instance("node: {id: a, ports: {http: 80}}") is None
    assert instance("node: {service: web}") is None
    assert instance("node: {service: web, ports: {http: 80}, registered: false}") is None


def test_two_listeners_of_one_protocol_are_no_answer() -> None:
    """One line that says what would be right."""
    with pytest.raises(ConfigError) as refused:
        instance(
            """
            node: {service: web}
            listeners:
              in: {protocol: http, bind: "0.0.0.0:8080", routes: [{reply: {}}]}
              out: {protocol: http, bind: "127.0.0.1:9000", routes: [{reply: {}}]}
            """
        )
    assert str(refused.value) == (
        "node.ports: the listeners in and out both speak http: say under which port others reach service web, "
        "as in ports: {http: 8080}, or registered: false"
    )


def test_where_the_application_is_asked() -> None:
    """Where the configuration says, else where it is registered."""
    node = load_text("node: {app: 'localhost:9000'}").node
    assert str(app_of(node, INSTANCE)) in ("127.0.0.1:9000", "[::1]:9000")
    assert str(app_of(load_text("mesh: a").node, INSTANCE)) == "10.0.0.1:80"


def test_the_address_on_the_way_to_redis() -> None:
    """Loopback to loopback, and where nobody can say."""
    assert address_towards("127.0.0.1") == "127.0.0.1"
    assert address_towards("") == "127.0.0.1"
    assert address_towards("no such host") == "127.0.0.1"

"""Who a sidecar is, and what it registers."""

from __future__ import annotations

import pytest

from twisted_mesh.control.load import load_text
from twisted_mesh.errors import ConfigError
from twisted_mesh.model import Config, Node


def node(text: str) -> Node:
    return load_text(f"node: {{{text}}}").node


def test_a_heartbeat_is_a_third_of_the_lease() -> None:
    """By default 5 s for 15 s; a lease of one's own has a heartbeat that fits it."""
    assert (node("").lease, node("").beat) == (15.0, 5.0)
    assert node("lease: 3s").beat == 1.0
    assert node("lease: 3s, heartbeat: 500ms").beat == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lease: 3s, heartbeat: 2s", "node: expected a heartbeat of at most half of the lease of 3s"),
        ("heartbeat: 0", "node: expected a heartbeat of at most half of the lease of 15s"),
        ("lease: 100ms", "node: expected a lease of at least 500ms"),
        ("address: '10.0.0.1:80'", "node.address: expected an IP address or a host name, without a port"),
        ("ports: {http: 0}", "node.ports.http: expected a port from 1 to 65535, got 0"),
        ("app: '127.0.0.1:0'", "node.app: expected a port from 1 to 65535"),
        ("health_check: {}", "node.health_check: expected exactly one of http: /path, tcp: true and redis: true"),
    ],
)
def test_what_cannot_be_is_said(text: str, message: str) -> None:
    """One line that says where and what would be right."""
    with pytest.raises(ConfigError) as refused:
        node(text)
    assert message in str(refused.value)


def test_what_is_shown_reads_back() -> None:
    """The defaults included."""
    for text in (
        "",
        "id: a, service: web, lease: 9s, app: '127.0.0.1:1', health_check: {redis: true}, ports: {tcp: 9}",
    ):
        made = node(text)
        assert Config.model_validate({"node": made.model_dump(mode="json", exclude_none=True)}).node == made

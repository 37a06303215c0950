"""Addresses in networks."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.policy.networks import compile_networks


@pytest.mark.parametrize(
    ("networks", "host", "expected"),
    [
        (["10.0.0.0/8"], "10.255.0.1", True),
        (["10.0.0.0/8"], "11.0.0.1", False),
        (["10.0.0.1"], "10.0.0.1", True),
        (["10.0.0.0/8"], "::ffff:10.0.0.1", True),
        (["10.0.0.0/8"], "::10.0.0.1", False),
        (["2001:db8::/32", "::1"], "2001:db8:1::", True),
        (["2001:db8::/32", "::1"], "[::1]", True),
        (["::/0"], "10.0.0.1", False),
        (["0.0.0.0/0"], "10.0.0.1", True),
        (["::/0"], "fe80::1%eth0", True),
        (["0.0.0.0/0", "::/0"], "", False),
        (["unix"], "", True),
        (["unix"], "10.0.0.1", False),
        (["0.0.0.0/0"], "unknown", False),
        ([], "10.0.0.1", False),
    ],
)
def test_networks(networks: list[str], host: str, expected: bool) -> None:
    assert compile_networks(networks)(host) is expected


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=5), st.integers(0, 2**32 - 1))
def test_it_agrees_with_looking_at_each(networks: list[tuple[int, int]], host: int) -> None:
    made = [ip_network((number, size), strict=False) for number, size in networks]
    address = ip_address(host)
    assert compile_networks(map(str, made))(str(address)) is any(address in each for each in made)


@pytest.mark.parametrize("network", ["10.0.0.1/8", "example", "", "10.0.0.0/33"])
def test_what_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(ValueError):
        compile_networks([network])

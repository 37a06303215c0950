"""Addresses that cannot both be listened on."""

from __future__ import annotations

import pytest

from twisted_mesh.control.conflicts import overlap
from twisted_mesh.model import Address


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "127.0.0.1:81", False),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("0.0.0.0:80", "127.0.0.1:80", True),
        ("0.0.0.0:80", "0.0.0.0:80", True),
        ("[::]:80", "[::1]:80", True),
        ("[::1]:80", "[0:0::1]:80", True),
        ("[::]:80", "127.0.0.1:80", False),
        ("[::]:80", "0.0.0.0:80", False),
        ("localhost:80", "127.0.0.1:80", True),
        ("localhost:80", "[::]:80", True),
        ("localhost:80", "127.0.0.2:80", False),
        ("a.example:80", "a.example:80", True),
        ("a.example:80", "b.example:80", False),
        ("a.example:80", "0.0.0.0:80", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
        ("unix:/a", "unix:/a", True),
        ("unix:/a", "unix:/b", False),
        ("unix:/a", "127.0.0.1:80", False),
    ],
)
def test_a_wildcard_takes_every_address_of_its_family(one: str, two: str, same: bool) -> None:
    here, there = Address.parse(one), Address.parse(two)
    assert overlap(here, there) is same
    assert overlap(there, here) is same

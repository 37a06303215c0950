"""Patterns of hosts, sorted."""

from __future__ import annotations

from twisted_mesh.policy.hosts import sorted_hosts


def test_patterns_are_sorted() -> None:
    found = sorted_hosts(["A.example:80", "*.b.example", "c.*", "[::1]:80", "::2"])
    assert found.names == {"a.example", "::1", "[::1]", "::2", "[::2]"}
    assert found.suffixes == (".b.example",)
    assert found.prefixes == ("c.",)

"""Commands by name and by class."""

from __future__ import annotations

from twisted_mesh.codec.command_classes import operations


def test_commands_are_named_alone_or_by_their_class() -> None:
    assert operations(["GET", "SET", "GET"]) == ("GET", "SET")
    reads = operations(["@read"])
    assert {"GET", "MGET", "XREAD"} <= set(reads)
    assert "SET" not in reads
    assert {"FLUSHALL", "CONFIG|SET", "KEYS"} <= set(operations(["@dangerous"]))
    assert {"CONFIG|GET", "CONFIG|SET", "CONFIG"} <= set(operations(["CONFIG"]))
    assert operations(["CONFIG|GET"]) == ("CONFIG|GET",)

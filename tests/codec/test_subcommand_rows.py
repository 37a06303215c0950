"""Subcommands know their containers; what they say is compared with a server's in test_command_rows."""

from __future__ import annotations

from twisted_mesh.codec.commands import find
from twisted_mesh.codec.subcommand_rows import ROWS


def test_every_subcommand_is_found_in_its_container() -> None:
    for row in ROWS.strip().splitlines():
        name = row.partition(" ")[0]
        container, _, inner = name.encode().partition(b"|")
        command = find(container, inner.lower())
        assert command is not None and command.name == name

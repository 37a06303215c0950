"""The rows are what a server says: each of them, and no other."""

from __future__ import annotations

import pytest

from tests.servers import Server
from twisted_mesh.codec.commands import COMMANDS, Command, from_server


def rows(commands: list[Command]) -> dict[str, str]:
    inner = [each for command in commands for each in command.subcommands.values()]
    return {each.name: str(each) for each in [*commands, *inner]}


def test_the_server_says_the_same(server: Server) -> None:
    """If this fails for a newer server, .ci/commands.py writes the rows anew, and command_kinds.py wants the new ones."""
    if b"\r\nvalkey_version:9.1." not in server("INFO", "server"):
        pytest.skip("the rows are those of Valkey 9.1")
    assert rows(list(map(from_server, server("COMMAND")))) == rows(list(COMMANDS))

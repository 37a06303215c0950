"""The rows are what a server says: each of them, and no other."""

from __future__ import annotations

import pytest

from tests.servers import Server
from twisted_mesh.codec.commands import COMMANDS, MORE, Command, find, from_server


def rows(commands: list[Command]) -> dict[str, str]:
    inner = [each for command in commands for each in command.subcommands.values()]
    return {each.name: str(each) for each in [*commands, *inner]}


def test_the_server_says_the_same(server: Server) -> None:
    """If this fails for a newer server, .ci/commands.py writes the rows anew, and command_kinds.py wants the new ones."""
    if b"\r\nvalkey_version:9.1." not in server("INFO", "server"):
        pytest.skip("the rows are those of Valkey 9.1")
    assert rows(list(map(from_server, server("COMMAND")))) == rows([each for each in COMMANDS if each.name not in MORE])


def test_what_a_server_has_that_others_have_not_is_what_it_says(server: Server) -> None:
    """Modules tell little of their commands: that they have keys at all, and whether they write, must be right."""
    for said in map(from_server, server("COMMAND")):
        mine = find(said.name.encode())
        assert mine is not None, said.name
        if "module" not in said.flags and said.name in MORE:
            assert str(mine) == str(said)
        assert (mine.read_only, mine.write) == (said.read_only, said.write), said.name
        assert bool(mine.specs) == bool(said.specs), said.name

"""What other servers than Valkey have; what it says is compared with a server's in test_command_rows."""

from __future__ import annotations

from twisted_mesh.codec import command_rows, subcommand_rows
from twisted_mesh.codec.commands import MORE, find
from twisted_mesh.codec.more_command_rows import ROWS


def names(rows: str) -> list[str]:
    return [row.partition(" ")[0] for row in rows.strip().splitlines()]


def test_every_row_is_a_command_by_its_name_in_any_case() -> None:
    assert set(names(ROWS)) == MORE
    for name in names(ROWS):
        for spelt in (name, name.lower()):
            command = find(spelt.encode())
            assert command is not None
            assert command.name == name


def test_none_is_there_twice() -> None:
    every = names(ROWS) + names(command_rows.ROWS) + names(subcommand_rows.ROWS)
    assert len(every) == len(set(every))


def test_what_writes_is_no_read_and_has_a_class() -> None:
    for name in names(ROWS):
        command = find(name.encode())
        assert command is not None
        assert not (command.write and command.read_only), name
        if command.specs:
            assert command.write or command.read_only, name

"""Every command has a kind, and none that is named is missing from the table."""

from __future__ import annotations

import re

from twisted_mesh.codec.command_kinds import BLOCKING_WORD, KINDS, REFUSALS, Kind
from twisted_mesh.codec.commands import COMMANDS, Command

ALL: dict[str, Command] = {each.name: each for command in COMMANDS for each in [command, *command.subcommands.values()]}


def test_what_has_no_keys_is_named() -> None:
    """Nothing falls into a kind by having been forgotten."""
    containers = {command.name for command in COMMANDS if command.subcommands}
    unnamed = {name for name, command in ALL.items() if not command.specs and name not in KINDS}
    assert unnamed <= containers, unnamed - containers


def test_what_is_named_exists() -> None:
    assert set(KINDS) <= set(ALL) and set(BLOCKING_WORD) <= set(ALL)


def test_a_refusal_has_a_reason_and_nothing_else_has() -> None:
    for command in ALL.values():
        assert bool(command.refusal) == (command.kind is Kind.REFUSED), command.name
        assert command.name not in REFUSALS or command.refusal == REFUSALS[command.name]


def test_what_waits_has_a_connection_of_its_own() -> None:
    for command in ALL.values():
        if "blocking" in command.flags:
            assert command.kind in (Kind.PRIVATE, Kind.GATHER) or command.name in BLOCKING_WORD, command.name


def test_what_a_server_refuses_in_a_transaction_does_not_get_lost() -> None:
    """Commands that bind a connection are those of which a server says that they are no plain ones."""
    for command in ALL.values():
        if command.kind is Kind.SPLIT or (command.kind is Kind.KEYED and command.name not in BLOCKING_WORD):
            assert not {"pubsub", "no_auth", "admin"} & command.flags or command.name == "SPUBLISH", command.name


def test_splitting_is_for_what_servers_know_to_be_sums_of_their_parts() -> None:
    assert {name for name, kind in KINDS.items() if kind is Kind.SPLIT} == set(
        re.split(" ", "DEL EXISTS MGET MSET TOUCH UNLINK")
    )

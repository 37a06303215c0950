"""What the table says of commands, and how they are found."""

from __future__ import annotations

from typing import Optional

import pytest

from tests.servers import Refused, Server
from twisted_mesh.codec.command_kinds import Kind
from twisted_mesh.codec.commands import COMMANDS, MORE, Command, find, from_row


def named(name: bytes, first: Optional[bytes] = None) -> Command:
    command = find(name, first)
    assert command is not None
    return command


def test_names_in_any_case() -> None:
    assert named(b"GET") is named(b"get") is named(b"GeT")
    assert find(b"NOSUCH") is None and find(b"") is None and find(b"CONFIG|GET") is None


def test_subcommands() -> None:
    assert named(b"CONFIG", b"get").name == "CONFIG|GET"
    assert named(b"CONFIG", b"nosuch").name == named(b"CONFIG").name == "CONFIG"
    assert named(b"GET", b"get").name == "GET"
    assert named(b"CONFIG", b"x").refusal == "has no such subcommand"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("GET k", Kind.KEYED), ("SINTER a b", Kind.KEYED), ("EVAL s 1 k", Kind.KEYED), ("XREAD STREAMS a 0", Kind.KEYED),
        ("SPUBLISH c m", Kind.KEYED), ("OBJECT FREQ k", Kind.KEYED),
        ("MGET a b", Kind.SPLIT), ("DEL a", Kind.SPLIT), ("KEYS *", Kind.GATHER), ("SCRIPT LOAD x", Kind.GATHER), ("SCAN 0", Kind.GATHER),
        ("PUBLISH c m", Kind.ANY), ("PING", Kind.LOCAL), ("CLIENT ID", Kind.LOCAL), ("HELLO 3", Kind.LOCAL), ("COMMAND", Kind.LOCAL),
        ("MULTI", Kind.PRIVATE), ("SUBSCRIBE c", Kind.PRIVATE), ("BLPOP a 0", Kind.PRIVATE), ("CLIENT TRACKING on", Kind.PRIVATE),
        ("SHUTDOWN", Kind.REFUSED), ("CLUSTER NODES", Kind.REFUSED), ("ACL SETUSER x", Kind.REFUSED), ("DEBUG SLEEP 1", Kind.REFUSED),
    ],
)  # fmt: skip
def test_kinds(words: str, kind: Kind) -> None:
    parts = words.encode().split()
    assert named(parts[0], parts[1] if len(parts) > 1 else None).kind is kind


def test_reading_and_writing() -> None:
    for name in (b"GET", b"MGET", b"EVAL_RO", b"FCALL_RO", b"SORT_RO", b"SCAN", b"XREAD"):
        assert (named(name).read_only, named(name).write) == (True, False), name
    # A script may do anything.
    for name in (b"SET", b"DEL", b"EVAL", b"EVALSHA", b"FCALL", b"SORT", b"XREADGROUP", b"GETEX", b"FLUSHALL"):
        assert (named(name).read_only, named(name).write) == (False, True), name
    for name in (b"PING", b"MULTI", b"PUBLISH", b"WATCH"):
        assert (named(name).read_only, named(name).write) == (False, False), name


def test_one_key_is_the_first_argument_and_nothing_behind_it() -> None:
    ones = {each.name for each in COMMANDS if each.one_key}
    assert {"GET", "SET", "HSET", "XADD", "EXPIRE", "SORT_RO"} <= ones
    assert not ones & {"SORT", "MGET", "MSET", "COPY", "EVAL", "LMPOP", "GEORADIUS", "XREAD", "PING", "OBJECT"}


def test_what_binds_a_connection() -> None:
    assert named(b"BLPOP").binds([b"BLPOP", b"a", b"0"])
    assert named(b"XREAD").binds([b"XREAD", b"count", b"1", b"block", b"0", b"STREAMS", b"a", b"0"])
    assert not named(b"XREAD").binds([b"XREAD", b"STREAMS", b"block", b"0"])
    assert not named(b"XREAD").binds([b"XREAD", b"COUNT", b"1"])
    assert not named(b"GET").binds([b"GET", b"BLOCK"])


def test_arity(server: Server) -> None:
    """A server refuses as many words as we do; what may have any number is not tried."""
    tried = 0
    with server.connect() as connection:
        for command in COMMANDS:
            if command.kind not in (Kind.KEYED, Kind.SPLIT) or abs(command.arity) < 3 or command.subcommands:
                continue
            if command.name in MORE:
                continue
            words = [command.name, *["1"] * (abs(command.arity) - 2)]
            assert not command.fits(len(words))
            with pytest.raises(Refused, match="wrong number of arguments"):
                connection(*words)
            tried += 1
    assert tried > 100
    assert named(b"GET").fits(2) and not named(b"GET").fits(3) and named(b"SET").fits(7) and not named(b"SET").fits(2)


def test_a_row_and_back() -> None:
    for command in COMMANDS:
        assert str(from_row(str(command))) == str(command)


def test_the_servers_own_view_of_reading_and_writing(server: Server) -> None:
    """Commands of the same flags are never of two kinds by mistake: a write never goes to a replica."""
    for command in COMMANDS:
        assert not (command.read_only and "write" in command.categories), command.name

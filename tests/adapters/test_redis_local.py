"""Commands that the mesh answers; a test with real processes holds their words against a server's."""

from __future__ import annotations

import re
from typing import Any

import hiredis
import pytest

from tests.adapters.redis_listening import Client
from twisted_mesh.adapters.redis_local import ANSWERS
from twisted_mesh.codec.command_kinds import Kind
from twisted_mesh.codec.commands import COMMANDS


def said(client: Client, *words: str) -> Any:
    client.send(words)
    reader = hiredis.Reader()
    reader.feed(client.heard)
    return reader.gets()


def test_every_local_command_has_its_answer() -> None:
    everything = [each for row in COMMANDS for each in (row, *row.subcommands.values())]
    local = {each.name for each in everything if each.kind is Kind.LOCAL}
    assert local == set(ANSWERS)


def test_ping_echo_and_time() -> None:
    client = Client()
    assert said(client, "PING") == b"PONG"
    assert said(client, "PING", "\x00") == b"\x00"
    assert said(client, "ECHO", "x") == b"x"
    client.env.time.advance(1.25)
    seconds, rest = said(client, "TIME")
    assert (int(seconds), int(rest)) == divmod(int(client.env.wall() * 1_000_000), 1_000_000)


@pytest.mark.parametrize("version", [2, 3])
def test_hello_says_who_answers_in_the_version_asked_for(version: int) -> None:
    client = Client()
    answer = said(client, "HELLO", str(version), "SETNAME", "me")
    facts = answer if version == 3 else dict(zip(answer[::2], answer[1::2], strict=True))
    assert facts[b"proto"] == version
    assert facts[b"server"] == b"redis"
    assert facts[b"id"] == client.connection.id
    assert said(client, "CLIENT", "GETNAME") == b"me"


def test_hello_that_is_refused_changes_nothing() -> None:
    client = Client()
    client.send(("HELLO", "3", "SETNAME", "me", "AUTH", "nobody", "x"))
    assert client.heard.startswith(b"-WRONGPASS")
    assert (client.connection.resp, client.connection.name) == (2, b"")


def test_acl() -> None:
    client = Client()
    assert said(client, "ACL", "WHOAMI") == b"default"
    assert b"string" in said(client, "ACL", "CAT")
    assert b"get" in said(client, "ACL", "CAT", "string")
    one, other = said(client, "ACL", "GENPASS"), said(client, "ACL", "GENPASS")
    assert one != other
    assert re.fullmatch(rb"[0-9a-f]{64}", one)
    assert re.fullmatch(rb"[0-9a-f]{2}", said(client, "ACL", "GENPASS", "5"))


def test_keyslot() -> None:
    assert said(Client(), "CLUSTER", "KEYSLOT", "foo") == 12182


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("SELECT 99999999999", "ERR value is out of range, value must between -2147483648 and 2147483647"),
        ("SELECT x", "ERR value is not an integer or out of range"),
        ("ACL GENPASS x", "ERR value is not an integer or out of range"),
        ("ACL GENPASS 1 2", "ERR unknown subcommand or wrong number of arguments for 'GENPASS'. Try ACL HELP."),
        ("CLUSTER INFO", "ERR This instance has cluster support disabled"),
        ("ASKING", "ERR This instance has cluster support disabled"),
        ("CLIENT SETINFO LIB-name \x01", "ERR LIB-name cannot contain spaces, newlines or special characters."),
        ("COMMAND GETKEYS EVAL x 0", []),
        ("COMMAND GETKEYS SPUBLISH a b", "ERR The command has no key arguments"),
    ],
)
def test_the_words_are_those_of_a_server(words: str, expected: Any) -> None:
    found = said(Client(), *words.split(" "))
    assert (found if isinstance(found, list) else str(found)) == expected

"""COMMAND tells the table of what may be sent here."""

from __future__ import annotations

import hiredis
import pytest

from tests.adapters.redis_listening import Client
from tests.adapters.test_redis_local import said
from twisted_mesh.codec.commands import COMMANDS, from_server


def test_what_is_told_can_be_read_back() -> None:
    client = Client()
    entries = said(client, "COMMAND")
    told = {each.name: each for each in map(from_server, entries)}
    for row in COMMANDS:
        if row.name in told:
            mine = told[row.name]
            assert (mine.arity, mine.flags, mine.categories) == (row.arity, row.flags, row.categories)
            assert [(each.index, each.last, each.step) for each in mine.specs] == [
                (each.index, each.last, each.step) for each in row.specs
            ]
    assert "GET" in told
    assert "SHUTDOWN" not in told
    assert len(entries) == said(client, "COMMAND", "COUNT") == len(said(client, "COMMAND", "LIST"))


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("get", [1, 1, 1]), ("mset", [1, -1, 2]), ("del", [1, -1, 1]), ("ping", [0, 0, 0]), ("rename", [1, 2, 1])],
)
def test_the_first_and_last_key_and_the_step_are_those_of_a_server(name: str, numbers: list[int]) -> None:
    assert said(Client(), "COMMAND", "INFO", name)[0][3:6] == numbers


def test_keys_of_commands() -> None:
    client = Client()
    assert said(client, "COMMAND", "GETKEYS", "MSET", "a", "1", "b", "2") == [b"a", b"b"]
    assert said(client, "COMMAND", "GETKEYSANDFLAGS", "GET", "a") == [[b"a", [b"RO", b"access"]]]
    assert said(client, "COMMAND", "LIST", "FILTERBY", "PATTERN", "xr*")


def test_docs_are_a_map_in_resp3() -> None:
    client = Client()
    client.send(("HELLO", "3"))
    _ = client.heard
    assert said(client, "COMMAND", "DOCS", "GET") == {b"get": {b"arity": 2}}
    assert isinstance(said(client, "COMMAND", "DOCS"), dict)
    assert hiredis.__version__

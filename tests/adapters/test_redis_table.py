"""COMMAND tells the table of what may be sent here."""

from __future__ import annotations

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
    assert len(entries) == said(client, "COMMAND", "COUNT")


def test_the_list_has_what_is_told_with_subcommands() -> None:
    """As a server's has; and without what is refused, also where it is filtered."""
    client = Client()
    entries = said(client, "COMMAND")
    names = {each[0] for each in entries} | {each[0] for entry in entries for each in entry[9]}
    assert set(said(client, "COMMAND", "LIST")) == names
    assert {b"get", b"client|list", b"cluster|keyslot"} < names
    for filtered in (("PATTERN", "*"), ("PATTERN", "cluster|*"), ("ACLCAT", "dangerous")):
        assert set(said(client, "COMMAND", "LIST", "FILTERBY", *filtered)) <= names
    assert said(client, "COMMAND", "LIST", "FILTERBY", "PATTERN", "cluster|failover") == []


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("get", [1, 1, 1]), ("mset", [1, -1, 2]), ("del", [1, -1, 1]), ("ping", [0, 0, 0]), ("rename", [1, 2, 1])],
)
def test_the_first_and_last_key_and_the_step_are_those_of_a_server(name: str, numbers: list[int]) -> None:
    assert said(Client(), "COMMAND", "INFO", name)[0][3:6] == numbers


def test_keys_of_commands() -> None:
    client = Client()
    assert said(client, "COMMAND", "GETKEYS", "MSET", "a", "1", "b", "2") == [b"a", b"b"]
    assert said(client, "COMMAND", "GETKEYS", "EVAL", "return 1", "0") == []
    assert said(client, "COMMAND", "LIST", "FILTERBY", "PATTERN", "xr*")


def test_what_only_servers_know_they_are_asked_for() -> None:
    client = Client()
    client.send(("COMMAND", "DOCS", "GET"), ("COMMAND", "GETKEYSANDFLAGS", "SET", "a", "1"))
    assert [each.operation for each in client.calls] == ["COMMAND|DOCS", "COMMAND|GETKEYSANDFLAGS"]


def test_keys_are_told_as_a_server_tells_them() -> None:
    sort = said(Client(), "COMMAND", "INFO", "sort")[0]
    specs = [dict(zip(each[::2], each[1::2])) for each in sort[8]]
    assert [each[b"flags"] for each in specs] == [[b"RO", b"access"], [b"RO", b"access"], [b"OW", b"update"]]
    assert [each[b"begin_search"][1] for each in specs] == [b"index", b"unknown", b"unknown"]
    assert specs[1][b"find_keys"] == [b"type", b"unknown", b"spec", []]
    assert said(Client(), "COMMAND", "INFO", "del")[0][8][0][1] == [b"RM", b"delete"]


def test_tips_are_told() -> None:
    assert said(Client(), "COMMAND", "INFO", "mget")[0][7] == [b"request_policy:multi_shard"]
    assert said(Client(), "COMMAND", "INFO", "get")[0][7] == []
    inner = said(Client(), "COMMAND", "INFO", "script")[0][9]
    assert b"request_policy:all_shards" in next(each[7] for each in inner if each[0] == b"script|exists")


def test_sets_are_sets_in_resp3() -> None:
    client = Client()
    client.send(("HELLO", "3"))
    _ = client.heard
    client.send(("COMMAND", "INFO", "mget"))
    heard = client.heard
    assert b"~1\r\n$26\r\nrequest_policy:multi_shard\r\n~1\r\n%3\r\n$5\r\nflags\r\n~2\r\n+RO\r\n" in heard


def test_one_command_does_not_ask_for_any_number_of_others() -> None:
    client = Client()
    assert len(said(client, "COMMAND", "INFO", *["get"] * 1024)) == 1024
    client.send(("COMMAND", "INFO", *["get"] * 1025))
    assert client.heard == b"-ERR COMMAND INFO tells of at most 1024 commands\r\n"

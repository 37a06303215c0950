"""Rows of a listener."""

from __future__ import annotations

import pytest

from twisted_mesh.adapters.redis_rows import ALONE, BINDS, LOCAL, READ, REFUSED, WRITE, Rows
from twisted_mesh.families import Families
from twisted_mesh.metrics import Registry


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("GET", READ),
        ("HGETALL", READ),
        ("SET", WRITE),
        ("INCR", WRITE),
        ("PFCOUNT", ALONE),
        ("MGET", ALONE),
        ("EVAL", ALONE),
        ("SORT", ALONE),
        ("XREAD", ALONE),
        ("KEYS", ALONE),
        ("PING", LOCAL),
        ("SUBSCRIBE", BINDS),
        ("BLPOP", BINDS),
        ("SHUTDOWN", REFUSED),
    ],
)
def test_what_becomes_of_commands(name: str, code: int) -> None:
    row = Rows(Families(Registry()), "cache").find(name.encode())
    assert row is not None
    assert row.code == code


def test_names_are_kept_as_clients_write_them_and_other_spellings_are_not() -> None:
    rows = Rows(Families(Registry()), "cache")
    upper = rows.find(b"GET")
    assert rows.find(b"get") is upper
    assert rows.find(b"gEt") is upper
    assert rows.find(b"nosuch") is None
    assert set(rows.known) == {b"GET", b"get"}


def test_subcommands_have_rows_of_their_own() -> None:
    rows = Rows(Families(Registry()), "cache")
    config = rows.find(b"config")
    assert config is not None
    assert rows.inner(config, b"get").command.name == "CONFIG|GET"
    assert rows.inner(config, b"GeT") is rows.inner(config, b"get")
    assert rows.inner(config, b"nosuch") is config

"""What clients are told of commands beside the table is what a server tells."""

from __future__ import annotations

from typing import Any, Iterator

import pytest

from tests.servers import Server
from twisted_mesh.codec.command_tips import TIPS, USES
from twisted_mesh.codec.commands import COMMANDS, MORE


def table(text: str) -> dict[str, list[str]]:
    return {name: rest for name, *rest in map(str.split, text.strip().splitlines())}


def each_of(entries: Any) -> Iterator[Any]:
    for entry in entries:
        yield entry
        yield from each_of(entry[9])


def test_the_server_says_the_same(server: Server) -> None:
    """If this fails for a newer server, .ci/commands.py writes it anew."""
    if b"\r\nvalkey_version:9.1." not in server("INFO", "server"):
        pytest.skip("another server than the one that the table is of")
    tips, uses = table(TIPS), table(USES)
    for entry in each_of(server("COMMAND")):
        name = entry[0].decode().upper()
        assert tips.pop(name, [""])[0] == ",".join(each.decode() for each in entry[7])
        flags = [dict(zip(each[::2], each[1::2]))[b"flags"] for each in entry[8]]
        said = [each.lstrip("?") for each in uses.pop(name, [])]
        assert said == [",".join(flag.decode() for flag in each) for each in flags]
    assert tips == uses == {}


def test_every_place_of_keys_has_its_flags() -> None:
    uses = table(USES)
    for row in COMMANDS:
        if row.name in MORE:
            continue
        for each in (row, *row.subcommands.values()):
            assert sum(not use.startswith("?") for use in uses.get(each.name, [])) == len(each.specs), each.name

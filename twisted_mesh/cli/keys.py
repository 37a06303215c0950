"""Show which keys of Redis are asked for most, and which are largest, as one sidecar's filter `hot_keys` has seen it.

The share is that of the commands that went through its chain, with old ones fading; the bytes are those of the largest
command or reply that was seen.
"""

from __future__ import annotations

import argparse
import re
from typing import Any

from twisted_mesh.cli import admin_address
from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.output import show, table

NAME = "keys"
HELP = "show the hot and the big keys that a sidecar has seen"

_TEXT = r'"((?:[^"\\]|\\.)*)"'
_SERIES = re.compile(
    rf"twisted_mesh_redis_(hot_key_share|big_key_bytes)\{{chain={_TEXT},rank={_TEXT},key={_TEXT}\}} (\S+)"
)
_ESCAPES = re.compile(r"\\(.)")


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    admin_address.option(parser)
    options_of.output(parser, ("text", "json"))


def run(arguments: argparse.Namespace) -> int:
    """Show them."""
    text = admin_address.ask(arguments, "/metrics").decode("utf-8", "replace")
    found = sorted(map(_read, _SERIES.finditer(text)), key=lambda each: (each["chain"], each["what"], each["rank"]))
    show(arguments, found, lambda: _table(found))
    return 0


def _read(series: re.Match[str]) -> dict[str, Any]:
    what, chain, rank, key, value = series.groups()
    hot = what == "hot_key_share"
    return {
        "what": "hot" if hot else "big",
        "chain": _unescaped(chain),
        "rank": int(rank),
        "key": _unescaped(key),
        "share" if hot else "bytes": float(value) if hot else int(float(value)),
    }


def _unescaped(label: str) -> str:
    return _ESCAPES.sub(lambda found: "\n" if found[1] == "n" else found[1], label)


def _table(found: list[dict[str, Any]]) -> str:
    if not found:
        return (
            "nothing: no listener of this sidecar has the filter hot_keys, or it has not seen enough commands yet: "
            "it counts one in `sample`"
        )
    rows = [
        [
            each["chain"],
            each["what"],
            each["key"],
            f"{each['share']:.1%}" if "share" in each else f"{each['bytes']:,} B",
        ]
        for each in found
    ]
    return table(["CHAIN", "WHAT", "KEY", "SHARE OR SIZE"], rows)

"""Write the rows of the command table anew, from what a running server says: python .ci/commands.py HOST:PORT."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any, Iterator, Sequence

import hiredis

from twisted_mesh.codec.commands import from_server

CODEC = Path(__file__).resolve().parent.parent / "twisted_mesh/codec"
TEXT = '"""{title}\n\nWritten by .ci/commands.py: {columns}.\n"""\n\nROWS = """\n{rows}\n"""\n'
COLUMNS = "name, arity, flags, ACL categories, key specifications"
TIPS = '''"""What else a server says of its commands, which nobody here goes by: clients are told.

Written by .ci/commands.py.
"""

# The command, and its tips.
TIPS = """
{tips}
"""

# The command, and for each of its key specifications the flags; ? where it does not say where the keys are.
USES = """
{uses}
"""
'''


def ask(host: str, port: int) -> Any:
    """Return what the server says of its commands."""
    reader = hiredis.Reader()
    with socket.create_connection((host, port), 10) as connection:
        connection.sendall(b"COMMAND\r\n")
        answer = reader.gets()
        while answer is False:
            reader.feed(connection.recv(65536))
            answer = reader.gets()
    return answer


def each_of(entries: Any) -> Iterator[Any]:
    """Yield all entries, those of subcommands, too."""
    for entry in entries:
        yield entry
        yield from each_of(entry[9])


def use(spec: Sequence[Any]) -> str:
    """Return the flags of a key specification."""
    said = dict(zip(spec[::2], spec[1::2]))
    unknown = b"unknown" in (said[b"begin_search"][1], said[b"find_keys"][1])
    return "?" * unknown + ",".join(flag.decode() for flag in said[b"flags"])


def tips(entries: Any) -> str:
    """Return the text of the module of tips and uses."""
    found = sorted(each_of(entries), key=lambda entry: entry[0])
    told = [(entry[0].decode().upper(), entry[7], entry[8]) for entry in found]
    return TIPS.format(
        tips="\n".join(f"{name} {','.join(each.decode() for each in said)}" for name, said, _ in told if said),
        uses="\n".join(f"{name} {' '.join(map(use, specs))}" for name, _, specs in told if specs),
    )


def main(address: str) -> None:
    host, _, port = address.rpartition(":")
    answer = ask(host, int(port))
    (CODEC / "command_tips.py").write_text(tips(answer), "utf-8")
    commands = sorted(map(from_server, answer), key=str)
    subcommands = sorted((each for command in commands for each in command.subcommands.values()), key=str)
    for name, title, rows in (
        ("command_rows", "What a server says of its commands.", commands),
        ("subcommand_rows", "What a server says of the subcommands of its commands.", subcommands),
    ):
        text = TEXT.format(title=title, columns=COLUMNS, rows="\n".join(map(str, rows)))
        (CODEC / f"{name}.py").write_text(text, "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])

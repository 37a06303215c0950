"""Write the rows of the command table anew, from what a running server says: python .ci/commands.py HOST:PORT."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import hiredis

from twisted_mesh.codec.commands import Command, from_server

CODEC = Path(__file__).resolve().parent.parent / "twisted_mesh/codec"
TEXT = '"""{title}\n\nWritten by .ci/commands.py: {columns}.\n"""\n\nROWS = """\n{rows}\n"""\n'
COLUMNS = "name, arity, flags, ACL categories, key specifications"


def ask(host: str, port: int) -> list[Command]:
    """Return the server's commands, by name."""
    reader = hiredis.Reader()
    with socket.create_connection((host, port), 10) as connection:
        connection.sendall(b"COMMAND\r\n")
        answer = reader.gets()
        while answer is False:
            reader.feed(connection.recv(65536))
            answer = reader.gets()
    return sorted(map(from_server, answer), key=str)


def main(address: str) -> None:
    host, _, port = address.rpartition(":")
    commands = ask(host, int(port))
    subcommands = sorted((each for command in commands for each in command.subcommands.values()), key=str)
    for name, title, rows in (
        ("command_rows", "What a server says of its commands.", commands),
        ("subcommand_rows", "What a server says of the subcommands of its commands.", subcommands),
    ):
        text = TEXT.format(title=title, columns=COLUMNS, rows="\n".join(map(str, rows)))
        (CODEC / f"{name}.py").write_text(text, "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])

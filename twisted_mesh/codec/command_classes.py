"""Commands by name and by class, as routes and users of Redis name them."""

from __future__ import annotations

from typing import Iterator, Sequence

from twisted_mesh.codec.commands import COMMANDS

EVERYTHING = "@all"


def operations(commands: Sequence[str]) -> Sequence[str]:
    """Return the names of the commands that are meant by these, which are names or classes of commands.

    A class is one of Redis's ACL categories, ``@read``, or ``@all``; a command with subcommands stands for all of them.
    """
    return tuple(dict.fromkeys(name for each in commands for name in _operations(each)))


def _operations(asked: str) -> Iterator[str]:
    for command in COMMANDS:
        for one in (command, *command.subcommands.values()):
            named = asked in (command.name, one.name)
            if named or asked == EVERYTHING or (asked.startswith("@") and asked[1:] in one.categories):
                yield one.name

"""What one listener does with each command, and how often it did: rows of the table, looked up by the name as sent."""

from __future__ import annotations

from typing import Optional

from twisted_mesh.codec.command_kinds import BLOCKING_WORD, Kind
from twisted_mesh.codec.commands import Command, find
from twisted_mesh.families import Families
from twisted_mesh.metrics import Cell, HistogramCell

# What is answered here and takes long, or says much.
_HEAVY = frozenset(["COMMAND", "COMMAND|INFO", "COMMAND|LIST", "CLIENT|LIST", "CLIENT|KILL", "ACL|CAT"])
# What becomes of a command.  Those of the first two may travel together.
READ, WRITE, ALONE, LOCAL, REFUSED, BINDS = range(6)
BATCHED = (READ, WRITE)


class Row:
    """One command, or a container whose subcommands have rows of their own.

    `code` says what becomes of it; `heavy`, whether what is behind it has to wait for another turn of the loop, so that
    nobody holds up others with many of them.  `calls` counts it, `errors` its replies that are errors, `seconds` is its
    time.
    """

    __slots__ = ("arity", "calls", "code", "command", "container", "errors", "heavy", "may_bind", "seconds")

    def __init__(self, command: Command, families: Families, listener: str) -> None:
        self.command = command
        self.arity = command.arity
        self.container = bool(command.subcommands)
        self.code = _code(command)
        self.may_bind = self.code == BINDS or command.name in BLOCKING_WORD
        self.heavy = command.name in _HEAVY
        name = command.name.lower()
        self.calls: Cell = families.redis_commands.labels(listener, name)
        self.errors: Cell = families.redis_errors.labels(listener, name)
        self.seconds: HistogramCell = families.redis_duration.labels(listener, name)

    def __repr__(self) -> str:
        return f"<Row {self.command.name} {self.code}>"


class Rows:
    """The rows of one listener.  `known` has those that were asked for, by the names that clients use for them."""

    __slots__ = ("_families", "_listener", "_made", "known")

    def __init__(self, families: Families, listener: str) -> None:
        self._families = families
        self._listener = listener
        self._made: dict[str, Row] = {}
        self.known: dict[bytes, Row] = {}

    def find(self, name: bytes) -> Optional[Row]:
        """Return the row of a name in any case; None if there is no such command."""
        command = find(name)
        if command is None:
            return None
        row = self._row(command)
        if name in (name.upper(), name.lower()):
            # Of the many ways to write a name these two are kept.
            self.known[name] = row
        return row

    def inner(self, row: Row, first: bytes) -> Row:
        """Return the row of a container's subcommand; the container's own if it has no such one."""
        return self._row(row.command.subcommands.get(first.upper(), row.command))

    def _row(self, command: Command) -> Row:
        row = self._made.get(command.name)
        if row is None:
            row = self._made[command.name] = Row(command, self._families, self._listener)
        return row


def _code(command: Command) -> int:
    kind = command.kind
    if kind is Kind.LOCAL:
        return LOCAL
    if kind is Kind.REFUSED:
        return REFUSED
    if kind is Kind.PRIVATE:
        return BINDS
    if kind is not Kind.KEYED or not command.one_key or command.name in BLOCKING_WORD:
        return ALONE
    return READ if command.read_only else WRITE

"""The table of commands: for each its name, arity, flags, keys, and what a proxy does with it.

The rows are what a server says of itself (COMMAND of Valkey 9.1, checked against one in a test), and those of Redis 8
that it does not have; a command that stands in no row may be learnt from the server that has it (`from_server`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Iterable, Mapping, Optional, Sequence

from twisted_mesh.codec.command_keys import KeySpec, spec_from_server, spec_from_text
from twisted_mesh.codec.command_kinds import BLOCKING_WORD, KINDS, REFUSALS, Kind
from twisted_mesh.codec.command_rows import ROWS
from twisted_mesh.codec.more_command_rows import ROWS as MORE_ROWS
from twisted_mesh.codec.subcommand_rows import ROWS as SUBCOMMAND_ROWS

NONE = "-"


@dataclass(frozen=True)
class Command:
    """One command, or one of its subcommands (``CONFIG|GET``).

    `arity` counts the words with the name (and the subcommand); negative: at least so many.  `flags` and `categories`
    are the server's.  `subcommands` has those of a container by name; what is none of them goes as the container does.
    """

    name: str
    arity: int
    flags: frozenset[str]
    categories: frozenset[str]
    specs: tuple[KeySpec, ...] = ()
    subcommands: Mapping[bytes, Command] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        columns = [self.name, str(self.arity), _listed(self.flags), _listed(self.categories)]
        return " ".join([*columns, *map(str, self.specs)])

    @cached_property
    def kind(self) -> Kind:
        """Where it goes, whatever its words are; a container's subcommands say it for themselves."""
        named = KINDS.get(self.name)
        if named is not None:
            return named
        return Kind.KEYED if self.specs else Kind.REFUSED

    @property
    def refusal(self) -> str:
        """Why it is refused; empty if it is not."""
        if self.kind is not Kind.REFUSED:
            return ""
        return REFUSALS.get(self.name, "has no such subcommand" if self.subcommands else "is not known to this proxy")

    @cached_property
    def read_only(self) -> bool:
        """Whether it changes nothing: it may go to a replica, and be sent again."""
        return "readonly" in self.flags

    @cached_property
    def write(self) -> bool:
        """Whether it may change something: it says so, or is a script and does not say that it only reads."""
        return "write" in self.flags or ("scripting" in self.categories and bool(self.specs) and not self.read_only)

    @cached_property
    def one_key(self) -> bool:
        """Whether its first argument is its only key, whatever stands behind that."""
        if len(self.specs) != 1 or self.name == "SORT":
            return False
        (spec,) = self.specs
        return spec.index == 1 and not spec.word and spec.counted is None and spec.last == 0

    def fits(self, words: int) -> bool:
        """Whether it may have so many words."""
        return words == self.arity if self.arity >= 0 else words >= -self.arity

    def keys(self, words: Sequence[bytes]) -> list[int]:
        """Return the places of all keys in `words`, which begin with the name, in the order in which they stand.

        Channels of sharded publishing count as keys: they decide the server too.
        """
        places = [place for spec in self.specs for place in spec.places(words)]
        if self.name == "SORT":
            places += _stored(words)
        return sorted(set(places))

    def binds(self, words: Sequence[bytes]) -> bool:
        """Whether this one needs a connection of its own: its kind says so, or it may wait (``XREAD BLOCK``)."""
        if self.kind is Kind.PRIVATE:
            return True
        word = BLOCKING_WORD.get(self.name)
        return word is not None and any(each.upper() == word for each in words[1 : _streams(words)])


def _stored(words: Sequence[bytes]) -> list[int]:
    """SORT's STORE, the last one of which counts; servers tell of it in no specification."""
    options = [place for place in range(2, len(words) - 1) if words[place].upper() == b"STORE"]
    return [options[-1] + 1] if options else []


def _streams(words: Sequence[bytes]) -> int:
    """Where the options of XREAD end and its keys, which may be called anything, begin."""
    for place, word in enumerate(words):
        if word.upper() == b"STREAMS":
            return place
    return len(words)


def _listed(names: Iterable[str]) -> str:
    return ",".join(sorted(names)) or NONE


def _unlisted(text: str) -> frozenset[str]:
    return frozenset() if text == NONE else frozenset(text.split(","))


def from_row(row: str, subcommands: Optional[Mapping[bytes, Command]] = None) -> Command:
    """Return what one row of the table says."""
    name, arity, flags, categories, *specs = row.split()
    keys = tuple(map(spec_from_text, specs))
    return Command(name, int(arity), _unlisted(flags), _unlisted(categories), keys, subcommands or {})


def from_server(entry: Sequence[Any]) -> Command:
    """Return what a server's COMMAND says of one command, with its subcommands (Redis 7 and Valkey)."""
    name, arity, flags, _, _, _, categories, _, specs, inner = entry[:10]
    subcommands = {each.name.rpartition("|")[2].encode(): each for each in map(from_server, inner)}
    found = tuple(spec for spec in map(spec_from_server, specs) if spec is not None)
    texts = frozenset(flag.decode("ascii") for flag in flags)
    return Command(
        name.decode("utf-8", "replace").upper(),
        arity,
        texts,
        frozenset(each.decode("ascii").lstrip("@") for each in categories),
        found,
        subcommands,
    )


def _table() -> dict[bytes, Command]:
    inner: dict[str, dict[bytes, Command]] = {}
    for row in SUBCOMMAND_ROWS.strip().splitlines():
        command = from_row(row)
        container, _, name = command.name.partition("|")
        inner.setdefault(container, {})[name.encode("ascii")] = command
    table = {}
    for row in [*ROWS.strip().splitlines(), *MORE_ROWS.strip().splitlines()]:
        command = from_row(row, inner.get(row.partition(" ")[0]))
        # As most clients write it, and as the rest does: any other spelling costs one more step.
        table[command.name.encode("ascii")] = table[command.name.lower().encode("ascii")] = command
    return table


_TABLE = _table()
COMMANDS: tuple[Command, ...] = tuple(dict.fromkeys(_TABLE.values()))
# What Valkey does not have.
MORE: frozenset[str] = frozenset(row.partition(" ")[0] for row in MORE_ROWS.strip().splitlines())
CATEGORIES: tuple[str, ...] = tuple(
    sorted(
        {
            category
            for command in COMMANDS
            for each in (command, *command.subcommands.values())
            for category in each.categories
        }
    )
)


def find(name: bytes, first: Optional[bytes] = None) -> Optional[Command]:
    """Return the command of a name, in any case, with its first argument: the subcommand, if it has such a one.

    None if there is no such command; the container if it has subcommands, but not this one.
    """
    command = _TABLE.get(name)
    if command is None:
        command = _TABLE.get(name.upper())
        if command is None:
            return None
    if first is not None and command.subcommands:
        return command.subcommands.get(first.upper(), command)
    return command

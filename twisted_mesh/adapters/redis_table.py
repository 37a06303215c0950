"""COMMAND: the table of commands, as a server tells it; of what this proxy passes on or answers.

Their documentation, and the flags of the keys of a given command, servers are asked for.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Callable, Iterable, Iterator, Optional, Sequence

from twisted_mesh.codec.command_keys import KeySpec
from twisted_mesh.codec.command_kinds import Kind
from twisted_mesh.codec.command_tips import TIPS, USES
from twisted_mesh.codec.commands import COMMANDS, Command, find
from twisted_mesh.codec.resp import array, bulk, error, integer, mapping, null, simple

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis_answering import Answering

Words = list[bytes]
# Commands that COMMAND INFO tells of; there are not half as many.
_NAMES_LIMIT = 1024
# What it is, and the pairs that say how it is done.
_Typed = tuple[bytes, list[tuple[bytes, bytes]]]

# The flags of a key by how it is used, for commands of which nothing more is known.
_USES = {"r": "RO,access", "w": "OW,update", "rw": "RW,access,update", "c": "not_key"}


@lru_cache(1)
def _tips() -> dict[str, list[str]]:
    """Return the tips that a server gives of commands, by their names."""
    lines = map(str.split, TIPS.strip().splitlines())
    return {name: tips.split(",") for name, tips in lines}


@lru_cache(1)
def _uses() -> dict[str, list[str]]:
    """Return the flags of the key specifications of commands, as they stand in `USES`."""
    lines = map(str.split, USES.strip().splitlines())
    return {name: uses for name, *uses in lines}


def offered(command: Command) -> bool:
    """Whether clients may send it here."""
    if command.subcommands:
        return any(offered(each) for each in command.subcommands.values())
    return command.kind is not Kind.REFUSED


def _known() -> Iterable[Command]:
    return (each for each in COMMANDS if offered(each))


@lru_cache(1024)
def describe(command: Command, version: int) -> bytes:
    """Return the entry of one command, with its subcommands."""
    first, last, step = _range(command)
    inner = [describe(each, version) for each in command.subcommands.values() if offered(each)]
    return array(
        [
            bulk(command.name.lower().encode()),
            integer(command.arity),
            _set(command.flags, version),
            integer(first),
            integer(last),
            integer(step),
            _set([f"@{each}" for each in sorted(command.categories)], version),
            _set(_tips().get(command.name, ()), version, bulk),
            _set_of(_specs(command, version), version),
            array(inner),
        ]
    )


def _range(command: Command) -> tuple[int, int, int]:
    """The first and the last key and the step, as far as these three numbers can tell."""
    plain = [each for each in command.specs if not each.word and each.counted is None]
    if not plain:
        return 0, 0, 0
    first = plain[0]
    last = max(each.index + each.last if each.last >= 0 else each.last for each in plain)
    if any(each.last < 0 for each in plain):
        last = min(each.last for each in plain)
    return first.index, last, first.step


def _set(names: Iterable[str], version: int, text: Callable[[bytes], bytes] = simple) -> bytes:
    return _set_of((text(each.encode()) for each in names), version)


def _set_of(members: Iterable[bytes], version: int) -> bytes:
    made = array(members)
    return b"~" + made[1:] if version >= 3 else made


def _specs(command: Command, version: int) -> Iterator[bytes]:
    """Yield the key specifications as a server gives them, without its notes for people."""
    known = iter(command.specs)
    for use in _uses().get(command.name) or [_USES[each.access] for each in command.specs]:
        yield _spec(None if use.startswith("?") else next(known), use.lstrip("?").split(","), version)


def _spec(spec: Optional[KeySpec], flags: Sequence[str], version: int) -> bytes:
    """Return one of them; None for one that does not say where the keys are."""

    def typed(kind: bytes, inside: list[tuple[bytes, bytes]]) -> bytes:
        pairs = mapping([(bulk(key), value) for key, value in inside], version)
        return mapping([(bulk(b"type"), bulk(kind)), (bulk(b"spec"), pairs)], version)

    begin, find = (typed(*each) for each in _where(spec))
    told = [(b"flags", _set(flags, version)), (b"begin_search", begin), (b"find_keys", find)]
    return mapping([(bulk(key), value) for key, value in told], version)


def _where(spec: Optional[KeySpec]) -> tuple[_Typed, _Typed]:
    """Return how the first key is found, and how the others are."""
    if spec is None:
        return (b"unknown", []), (b"unknown", [])
    if spec.word:
        begin = b"keyword", [(b"keyword", bulk(spec.word)), (b"startfrom", integer(spec.index))]
    else:
        begin = b"index", [(b"index", integer(spec.index))]
    if spec.counted is None:
        search, how = b"range", (("lastkey", spec.last), ("keystep", spec.step), ("limit", spec.limit))
    else:
        search, how = b"keynum", (("keynumidx", spec.counted), ("firstkey", spec.last), ("keystep", spec.step))
    return begin, (search, [(name.encode(), integer(value)) for name, value in how])


@lru_cache(2)
def _everything(version: int) -> bytes:
    return array(describe(each, version) for each in _known())


def _all(client: Answering, words: Words) -> bytes:
    return _everything(client.resp)


def _count(client: Answering, words: Words) -> bytes:
    return integer(sum(1 for _ in _known()))


def _named(name: bytes) -> Optional[Command]:
    container, _, inner = name.partition(b"|")
    command = find(container, inner or None)
    if command is None or not offered(command) or (inner and "|" not in command.name):
        return None
    return command


def _info(client: Answering, words: Words) -> bytes:
    if len(words) == 2:
        return _all(client, words)
    if len(words) - 2 > _NAMES_LIMIT:
        return error("ERR", f"COMMAND INFO tells of at most {_NAMES_LIMIT} commands")
    found = map(_named, words[2:])
    return array(null(client.resp) if each is None else describe(each, client.resp) for each in found)


def _list(client: Answering, words: Words) -> bytes:
    inner = [each for one in _known() for each in one.subcommands.values() if offered(each)]
    names = {each.name.lower(): each for each in (*_known(), *inner)}
    if len(words) == 2:
        chosen = list(names)
    elif len(words) == 5 and words[2].upper() == b"FILTERBY":
        what, value = words[3].upper(), words[4].decode("utf-8", "replace").lower()
        if what == b"PATTERN":
            chosen = [name for name in names if fnmatchcase(name, value)]
        elif what == b"ACLCAT":
            chosen = [name for name, each in names.items() if value in each.categories]
        elif what == b"MODULE":
            chosen = []
        else:
            return _SYNTAX
    else:
        return _SYNTAX
    return array(bulk(name.encode()) for name in chosen)


_SYNTAX = error("ERR", "syntax error")


def _getkeys(client: Answering, words: Words) -> bytes:
    given = words[2:]
    command = find(given[0], given[1] if len(given) > 1 else None)
    if command is None:
        return error("ERR", "Invalid command specified")
    if not any(each.access != "c" for each in command.specs):
        return error("ERR", "The command has no key arguments")
    if not command.fits(len(given)):
        return error("ERR", "Invalid number of arguments specified for command")
    keys = [given[place] for place in command.keys(given)]
    if keys or "no_mandatory_keys" in command.flags:
        return array(map(bulk, keys))
    return error("ERR", "Invalid arguments specified for command")


COMMAND_ANSWERS: dict[str, Callable[[Answering, Words], bytes]] = {
    "COMMAND": _all,
    "COMMAND|COUNT": _count,
    "COMMAND|INFO": _info,
    "COMMAND|LIST": _list,
    "COMMAND|GETKEYS": _getkeys,
}

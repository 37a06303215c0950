"""COMMAND: the table of commands, as a server tells it; of what this proxy passes on or answers."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Callable, Iterable, Optional

from twisted_mesh.codec.command_keys import KeySpec
from twisted_mesh.codec.command_kinds import Kind
from twisted_mesh.codec.commands import COMMANDS, Command, find
from twisted_mesh.codec.resp import array, bulk, error, integer, mapping, null, simple

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis_answering import Answering

Words = list[bytes]

# Flags of a key, by how it is used.
_ACCESS = {"r": ("RO", "access"), "w": ("OW", "update"), "rw": ("RW", "access", "update"), "c": ("not_key",)}


def offered(command: Command) -> bool:
    """Whether clients may send it here."""
    if command.subcommands:
        return any(offered(each) for each in command.subcommands.values())
    return command.kind is not Kind.REFUSED


def _known() -> Iterable[Command]:
    return (each for each in COMMANDS if offered(each))


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
            array([]),
            array([_spec(each, version) for each in command.specs]),
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


def _set(names: Iterable[str], version: int) -> bytes:
    made = array(simple(each.encode()) for each in names)
    return b"~" + made[1:] if version >= 3 else made


def _spec(spec: KeySpec, version: int) -> bytes:
    if spec.word:
        begin, where = b"keyword", [(b"keyword", bulk(spec.word)), (b"startfrom", integer(spec.index))]
    else:
        begin, where = b"index", [(b"index", integer(spec.index))]
    if spec.counted is None:
        search, how = b"range", (("lastkey", spec.last), ("keystep", spec.step), ("limit", spec.limit))
    else:
        search, how = b"keynum", (("keynumidx", spec.counted), ("firstkey", spec.last), ("keystep", spec.step))

    def typed(kind: bytes, inside: list[tuple[bytes, bytes]]) -> bytes:
        pairs = mapping([(bulk(key), value) for key, value in inside], version)
        return mapping([(bulk(b"type"), bulk(kind)), (bulk(b"spec"), pairs)], version)

    return mapping(
        [
            (bulk(b"flags"), _set(_ACCESS[spec.access], version)),
            (bulk(b"begin_search"), typed(begin, where)),
            (bulk(b"find_keys"), typed(search, [(name.encode(), integer(value)) for name, value in how])),
        ],
        version,
    )


def _all(client: Answering, words: Words) -> bytes:
    return array(describe(each, client.resp) for each in _known())


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
    found = map(_named, words[2:])
    return array(null(client.resp) if each is None else describe(each, client.resp) for each in found)


def _docs(client: Answering, words: Words) -> bytes:
    """There are no texts: what a client finds is the arity and the group, which is what it can do something with."""
    asked = list(_known()) if len(words) == 2 else [each for each in map(_named, words[2:]) if each is not None]
    return mapping(
        [
            (bulk(each.name.lower().encode()), mapping([(bulk(b"arity"), integer(each.arity))], client.resp))
            for each in asked
        ],
        client.resp,
    )


def _list(client: Answering, words: Words) -> bytes:
    names = {each.name.lower(): each for each in _known()}
    names.update({inner.name.lower(): inner for each in _known() for inner in each.subcommands.values()})
    if len(words) == 2:
        chosen = [name for name in names if "|" not in name]
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


def _keys_of(words: Words) -> tuple[Optional[bytes], list[tuple[bytes, KeySpec]]]:
    """Return an error, or the keys of a command and what is done with each."""
    command = find(words[0], words[1] if len(words) > 1 else None)
    if command is None:
        return error("ERR", "Invalid command specified"), []
    if not any(each.access != "c" for each in command.specs):
        return error("ERR", "The command has no key arguments"), []
    if not command.fits(len(words)):
        return error("ERR", "Invalid number of arguments specified for command"), []
    found = {place: spec for spec in command.specs for place in spec.places(words)}
    keys = [(words[place], found.get(place, command.specs[0])) for place in command.keys(words)]
    if keys or "no_mandatory_keys" in command.flags:
        return None, keys
    return error("ERR", "Invalid arguments specified for command"), []


def _getkeys(client: Answering, words: Words) -> bytes:
    wrong, keys = _keys_of(words[2:])
    return wrong or array(bulk(key) for key, _ in keys)


def _getkeysandflags(client: Answering, words: Words) -> bytes:
    wrong, keys = _keys_of(words[2:])
    return wrong or array(array([bulk(key), _set(_ACCESS[spec.access], client.resp)]) for key, spec in keys)


COMMAND_ANSWERS: dict[str, Callable[[Answering, Words], bytes]] = {
    "COMMAND": _all,
    "COMMAND|COUNT": _count,
    "COMMAND|INFO": _info,
    "COMMAND|DOCS": _docs,
    "COMMAND|LIST": _list,
    "COMMAND|GETKEYS": _getkeys,
    "COMMAND|GETKEYSANDFLAGS": _getkeysandflags,
}

"""Which keys and channels a command reads and writes, as ACLs judge it."""

from __future__ import annotations

from typing import Iterator, NamedTuple, Sequence

from twisted_mesh.codec.commands import Command

# Whose words behind the name, or from the second on, are channels or patterns of them; no specification tells of these.
_CHANNELS = {
    "SUBSCRIBE": slice(1, None),
    "PSUBSCRIBE": slice(1, None),
    "PUBLISH": slice(1, 2),
}

# The options of SORT that have something behind them, and how many words they are with it.
_WIDTHS = {b"BY": 2, b"GET": 2, b"STORE": 2, b"LIMIT": 3}


class Access(NamedTuple):
    """Keys that are read, keys that are written (a key may be both), and channels."""

    reads: list[bytes]
    writes: list[bytes]
    channels: list[bytes]


def access(command: Command, words: Sequence[bytes]) -> Access:
    """Return what `words`, which begin with the command's name, would read and write.

    As Redis judges it: what changes a key and tells of its value does both, SET only with GET, and BITFIELD without SET
    and INCRBY reads only.  https://valkey.io/topics/acl/
    """
    found = Access([], [], [])
    name = command.name
    channels = _CHANNELS.get(name)
    if channels is not None:
        found.channels.extend(words[channels])
    for spec in command.specs:
        kind = _refined(name, spec.access, words)
        keys = [words[place] for place in spec.places(words)]
        if kind == "c":
            found.channels.extend(keys)
            continue
        # PFCOUNT keeps what it has counted in the key, and is a read all the same.
        if "r" in kind or command.read_only:
            found.reads.extend(keys)
        if "w" in kind and not command.read_only:
            found.writes.extend(keys)
    if name in ("SORT", "SORT_RO"):
        found.reads.extend(_looked_up(words))
    if name == "SORT":
        found.writes.extend(words[place] for place in command.keys(words) if place > 1)
    return found


def _looked_up(words: Sequence[bytes]) -> Iterator[bytes]:
    """Yield how the keys begin that SORT makes of its patterns.

    A server wants the right to read everything for these; who may read all that begins so needs no more than that.
    """
    place = 2
    while place < len(words) - 1:
        option, pattern = words[place].upper(), words[place + 1]
        if (option == b"BY" and b"*" in pattern) or (option == b"GET" and pattern != b"#"):
            yield pattern.partition(b"*")[0]
        place += _WIDTHS.get(option, 1)


def _refined(name: str, kind: str, words: Sequence[bytes]) -> str:
    """Return the access of one key specification, where it depends on the options."""
    if name == "SET" and not any(word.upper() == b"GET" for word in words[3:]):
        return "w"
    if name == "BITFIELD" and not any(word.upper() in (b"SET", b"INCRBY") for word in words[2:]):
        return "r"
    return kind

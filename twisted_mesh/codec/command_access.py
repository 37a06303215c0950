"""Which keys and channels a command reads and writes, as ACLs judge it."""

from __future__ import annotations

from typing import NamedTuple, Sequence

from twisted_mesh.codec.commands import Command

# Whose words behind the name, or from the second on, are channels or patterns of them; no specification tells of these.
_CHANNELS = {
    "SUBSCRIBE": slice(1, None),
    "PSUBSCRIBE": slice(1, None),
    "PUBLISH": slice(1, 2),
}


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
    if name == "SORT":
        found.writes.extend(words[place] for place in command.keys(words) if place > 1)
    return found


def _refined(name: str, kind: str, words: Sequence[bytes]) -> str:
    """Return the access of one key specification, where it depends on the options."""
    if name == "SET" and not any(word.upper() == b"GET" for word in words[3:]):
        return "w"
    if name == "BITFIELD" and not any(word.upper() in (b"SET", b"INCRBY") for word in words[2:]):
        return "r"
    return kind

"""Commands of many keys over many servers: one command for each server that has some of them, and one reply of theirs.

Split by server and not by key: a hundred keys on four servers are four commands.  What one server cannot do is told in
its place (MGET), or by how many failed (the others); what the rest did is done.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Callable, Generic, Hashable, Iterable, Optional, Sequence, TypeVar

import hiredis

from twisted_mesh.codec.commands import Command
from twisted_mesh.codec.resp import OK, array, error, integer
from twisted_mesh.codec.resp_reply import ARRAY, ERROR, INTEGER, flat

Owner = TypeVar("Owner", bound=Hashable)

ODD = "wrong number of arguments for '{}' command"
# What is told of a server whose reply is none of that command's.
_OTHER = error("ERR", "upstream protocol error")


def packed(words: Sequence[bytes]) -> bytes:
    """Return an array of strings, which is what a command is too; for many of them."""
    made: bytes = hiredis.pack_command(tuple(words))  # type: ignore[arg-type]  # its stub knows tuples of one alone
    return made


class Part(Generic[Owner]):
    """What of a command goes to one server: `places` says which of the command's keys, from 0, in their order."""

    __slots__ = ("owner", "places", "words")

    def __init__(self, owner: Owner, name: bytes) -> None:
        self.owner = owner
        self.places: list[int] = []
        self.words: list[bytes] = [name]

    def __repr__(self) -> str:
        return f"<Part of {len(self.places)} keys for {self.owner!r}>"

    @property
    def data(self) -> bytes:
        """The command as it is sent."""
        return packed(self.words)


def split(
    command: Command, words: Sequence[bytes], owners: Callable[[Sequence[bytes]], Iterable[Owner]]
) -> list[Part[Owner]]:
    """Return a part for each server that has keys of this command (of `Kind.SPLIT`), in the order of their first keys.

    :param owners: says who has each of these keys.
    :raises ValueError: the words are not complete pairs, in the words of the server.
    """
    step = command.specs[0].step
    if (len(words) - 1) % step or len(words) < 2:
        raise ValueError(ODD.format(command.name.lower()))
    parts: dict[Owner, Part[Owner]] = {}
    for number, whose in enumerate(owners(words[1::step])):
        part = parts.get(whose)
        if part is None:
            part = parts[whose] = Part(whose, words[0])
        part.places.append(number)
        if step == 1:
            part.words.append(words[number + 1])
        else:
            part.words += words[1 + number * step : 1 + (number + 1) * step]
    return list(parts.values())


def merge(command: Command, parts: Sequence[Part[Owner]], replies: Sequence[bytes]) -> bytes:
    """Return the one reply that the whole replies to all parts, in their order, come to.

    A part that could not be sent, or was not answered, has an error reply of the mesh's own among `replies`.
    """
    if len(parts) == 1:
        return replies[0]
    if command.name == "MGET":
        return _merged_values(parts, replies)
    if command.name == "MSET":
        return _merged(replies, [reply == OK for reply in replies], OK)
    numbers = [_number(reply) for reply in replies]
    return _merged(replies, [each is not None for each in numbers], integer(sum(each or 0 for each in numbers)))


def _merged(replies: Sequence[bytes], good: Sequence[bool], reply: bytes) -> bytes:
    """Return `reply` if all is good; what all servers say alike; or else how many failed."""
    bad = [each if each[0] == ERROR else _OTHER for each, fine in zip(replies, good) if not fine]
    if not bad:
        return reply
    if len(bad) == len(replies) and len(set(bad)) == 1:
        return bad[0]
    return error("ERR", f"finished with {len(bad)} error(s)")


def _merged_values(parts: Sequence[Part[Owner]], replies: Sequence[bytes]) -> bytes:
    return _merged_strings(parts, replies) or _merged_elements(parts, replies)


def _merged_strings(parts: Sequence[Part[Owner]], replies: Sequence[bytes]) -> Optional[bytes]:
    """Return the array if all is there and well: a third of the time.  None if not."""
    values: list[Any] = [None] * sum(len(part.places) for part in parts)
    reader = hiredis.Reader()
    for part, reply in zip(parts, replies):
        reader.feed(reply)
        found = reader.gets()
        if type(found) is not list or len(found) != len(part.places):
            return None
        for place, value in zip(part.places, found):
            values[place] = value
    return packed(values) if set(map(type, values)) == {bytes} else None


def _merged_elements(parts: Sequence[Part[Owner]], replies: Sequence[bytes]) -> bytes:
    values = [_OTHER] * sum(len(part.places) for part in parts)
    for part, reply in zip(parts, replies):
        elements = _elements(reply, len(part.places))
        if elements is None:
            elements = [reply if reply[0] == ERROR else _OTHER] * len(part.places)
        for place, element in zip(part.places, elements):
            values[place] = element
    return array(values)


def _elements(reply: bytes, count: int) -> Optional[list[bytes]]:
    """Return the elements of a flat array of so many; None if it is none."""
    head, found, _ = reply.partition(b"\r\n")
    if reply[0] != ARRAY or not found or head[1:] != b"%d" % count:
        return None
    start = len(head) + 2
    ends = [start]
    end, left = flat(reply, start, count, ends)
    if left or end != len(reply):
        return None
    return [reply[begin:stop] for begin, stop in pairwise(ends)]


def _number(reply: bytes) -> Optional[int]:
    digits = reply[1:-2]
    return int(digits) if reply[0] == INTEGER and digits.isdigit() else None

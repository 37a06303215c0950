"""Commands of many keys over many servers: one command for each server that has some of them, and one reply of theirs.

Split by server and not by key: a hundred keys on four servers are four commands.  What one server cannot do is told in
its place (MGET), or by how many failed (the others); what the rest did is done.
"""

from __future__ import annotations

from typing import Callable, Generic, Hashable, Optional, Sequence, TypeVar

from twisted_mesh.codec.commands import Command
from twisted_mesh.codec.resp import OK, array, error, integer, pack
from twisted_mesh.codec.resp_reply import ARRAY, ERROR, INTEGER, Answer, ReplyReader

Owner = TypeVar("Owner", bound=Hashable)

ODD = "wrong number of arguments for '{}' command"
# What is told of a server whose reply is none of that command's.
_OTHER = error("ERR", "upstream protocol error")


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
        return pack(self.words)


def split(command: Command, words: Sequence[bytes], owner: Callable[[bytes], Owner]) -> list[Part[Owner]]:
    """Return a part for each server that has keys of this command (of `Kind.SPLIT`), in the order of their first keys.

    :raises ValueError: the words are not complete pairs, in the words of the server.
    """
    step = command.specs[0].step
    if (len(words) - 1) % step or len(words) < 2:
        raise ValueError(ODD.format(command.name.lower()))
    parts: dict[Owner, Part[Owner]] = {}
    for number, place in enumerate(range(1, len(words), step)):
        whose = owner(words[place])
        part = parts.get(whose)
        if part is None:
            part = parts[whose] = Part(whose, words[0])
        part.places.append(number)
        part.words += words[place : place + step]
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
    values: dict[int, bytes] = {}
    for part, reply in zip(parts, replies):
        elements = _elements(reply, len(part.places)) or [reply if reply[0] == ERROR else _OTHER] * len(part.places)
        values.update(zip(part.places, elements))
    return array(values[place] for place in range(len(values)))


def _elements(reply: bytes, count: int) -> Optional[list[bytes]]:
    """Return the elements of an array of so many; None if it is none."""
    head, found, body = reply.partition(b"\r\n")
    if reply[0] != ARRAY or not found or head[1:] != b"%d" % count:
        return None
    reader = ReplyReader(limit=len(reply))
    answers: list[Answer] = reader.feed(body)
    if len(answers) != count or reader.error is not None or reader.unfinished is not None:
        return None
    return [body[start:end] for _, start, end in answers]


def _number(reply: bytes) -> Optional[int]:
    digits = reply[1:-2]
    return int(digits) if reply[0] == INTEGER and digits.isdigit() else None

"""Commands of many keys over many servers: one command for each server that has some of them, and one reply of theirs.

Split by server and not by key: a hundred keys on four servers are four commands.  What one server cannot do is told in
its place (MGET), or by how many failed (the others); what the rest did is done.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from operator import itemgetter
from typing import Callable, Generic, Hashable, Iterable, Optional, Sequence, TypeVar

from twisted_mesh.codec.commands import Command
from twisted_mesh.codec.resp import CRLF, HEADS, NULL, OK, array, error, integer, strings
from twisted_mesh.codec.resp_kinds import ARRAY, ERROR, INTEGER
from twisted_mesh.codec.resp_reply_scan import flat

Owner = TypeVar("Owner", bound=Hashable)

ODD = "wrong number of arguments for '{}' command"
_NULL = NULL[:-2]
# What is told of a server whose reply is none of that command's.
_OTHER = error("ERR", "upstream protocol error")


class Part(Generic[Owner]):
    """What of a command goes to one server: `places` says which of the command's keys, from 0, in their order.

    :param columns: the heads and the words of the keys, and of their values if the command has such, for all of them.
    """

    __slots__ = ("_columns", "name", "owner", "places")

    def __init__(
        self, owner: Owner, name: bytes, places: Sequence[int], columns: Sequence[tuple[list[bytes], list[bytes]]]
    ) -> None:
        self.owner = owner
        self.name = name
        self.places = places
        self._columns = columns

    def __repr__(self) -> str:
        return f"<Part of {len(self.places)} keys for {self.owner!r}>"

    @property
    def key(self) -> bytes:
        """The first of its keys."""
        return self._columns[0][1][self.places[0]]

    @property
    def words(self) -> list[bytes]:
        """The words of the command."""
        return [self.name, *(words[place] for place in self.places for _, words in self._columns)]

    @property
    def data(self) -> bytes:
        """The command as it is sent."""
        places, columns = self.places, self._columns
        step = 2 * len(columns)
        lines = [b""] * (step * len(places) + 4)
        lines[:3] = b"*%d" % (len(places) * len(columns) + 1), b"$%d" % len(self.name), self.name
        if len(places) == 1:
            lines[3:-1] = [each[places[0]] for column in columns for each in column]
            return CRLF.join(lines)
        mine = itemgetter(*places)
        for at, (heads, words) in enumerate(columns):
            lines[3 + 2 * at : -1 : step] = mine(heads)
            lines[4 + 2 * at : -1 : step] = mine(words)
        return CRLF.join(lines)


def split(
    command: Command, words: Sequence[bytes], owners: Callable[[Sequence[bytes]], Iterable[Owner]]
) -> list[Part[Owner]]:
    """Return a part for each server that has keys of this command (of `Kind.SPLIT`), in the order of their first keys.

    Nearly all of it is done by functions of C: for 100 keys that is half of the time.

    :param owners: says who has each of these keys.
    :raises ValueError: the words are not complete pairs, in the words of the server.
    """
    step = command.specs[0].step
    if (len(words) - 1) % step or len(words) < 2:
        raise ValueError(ODD.format(command.name.lower()))
    columns = [(_heads(column), column) for column in [list(words[at::step]) for at in range(1, 1 + step)]]
    places: defaultdict[Owner, list[int]] = defaultdict(list)
    for number, whose in enumerate(owners(columns[0][1])):
        places[whose].append(number)
    return [Part(owner, words[0], mine, columns) for owner, mine in places.items()]


def _heads(words: Sequence[bytes]) -> list[bytes]:
    heads = list(map(HEADS.get, map(len, words)))
    return [b"$%d" % len(each) for each in words] if None in heads else heads  # type: ignore[return-value]  # as seen


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
    """Return the array if all is there and well, and short: a third of the time.  None if not."""
    count = sum([len(part.places) for part in parts])
    heads, values = [b""] * count, [b""] * count
    for part, reply in zip(parts, replies):
        head, _, text = reply.partition(CRLF)
        found = strings(text, len(part.places)) if head == b"*%d" % len(part.places) else None
        if found is None:
            return None
        for place, heads[place], values[place] in zip(part.places, *found):  # noqa: B007  # all is in the assignment
            pass
    if _NULL in heads:
        return array([NULL if head == _NULL else b"%b\r\n%b\r\n" % (head, value) for head, value in zip(heads, values)])
    lines = [b""] * (2 * count + 2)
    lines[0] = b"*%d" % count
    lines[1:-1:2], lines[2:-1:2] = heads, values
    return CRLF.join(lines)


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

"""SCAN over many servers, one after the other: which of them it has come to is coded in the cursor.

A server's cursor is below the size of its table, so 54 bits are plenty; the ten lowest of the client's are the server's
mark.  Servers are visited in the order of their marks, which follow from what they are and not from how many there are:
others may come and go meanwhile, and those that stay are gone through all the same.  The client sees one iteration,
which begins and ends with 0, and nothing is kept between its steps.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from typing import NamedTuple, Optional, Sequence

from twisted_mesh.codec.resp import bulk

MARK_BITS = 10
SERVERS_LIMIT = 2**MARK_BITS
# Clients read a cursor into an unsigned number of 64 bits.
_LIMIT = 2**64
INVALID = "invalid cursor"
# What there is behind the last server.
NOTHING = b"*2\r\n$1\r\n0\r\n*0\r\n"

_REPLY = re.compile(rb"\*2\r\n\$[0-9]{1,2}\r\n([0-9]{1,20})\r\n")


class Step(NamedTuple):
    """The server that is next, by its mark, and the cursor that it is sent."""

    mark: int
    cursor: bytes


def marks(wanted: Sequence[int]) -> list[int]:
    """Return a mark for each of some servers: the one that it wants, or the next that is free.

    :param wanted: from 0 to `SERVERS_LIMIT` - 1; not more than `SERVERS_LIMIT` of them.
    """
    taken: set[int] = set()
    given = []
    for each in wanted:
        mark = each
        while mark in taken:
            mark = (mark + 1) % SERVERS_LIMIT
        taken.add(mark)
        given.append(mark)
    return given


def step(cursor: bytes, marks: Sequence[int]) -> Optional[Step]:
    """Return what a client's cursor stands for; None where no server is left.

    :param marks: of the servers, from the lowest to the highest.
    :raises ValueError: it is no cursor.
    """
    if not cursor.isdigit() or len(cursor) > 20 or int(cursor) >= _LIMIT:
        raise ValueError(INVALID)
    inner, mark = divmod(int(cursor), SERVERS_LIMIT)
    place = bisect_left(marks, mark)
    if place == len(marks):
        return None
    # The one that it was at may be gone: then the next one is begun.
    return Step(marks[place], b"%d" % inner if marks[place] == mark else b"0")


def coded(reply: bytes, mark: int, marks: Sequence[int]) -> bytes:
    """Return a server's reply to SCAN with the cursor that goes on from there; an error as it is.

    :raises ValueError: the server's cursor is too large to be coded.
    """
    head = _REPLY.match(reply)
    if head is None:
        return reply
    cursor = int(head[1])
    if cursor:
        code = cursor * SERVERS_LIMIT + mark
        if code >= _LIMIT:
            raise ValueError(f"a cursor that does not fit: {cursor}")
    else:
        # This one is done: on with the next from its beginning, if there is one.
        place = bisect_right(marks, mark)
        code = marks[place] if place < len(marks) else 0
    return b"*2\r\n" + bulk(b"%d" % code) + reply[head.end() :]

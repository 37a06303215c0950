"""SCAN over many servers, one after the other: which of them it has come to is coded in the cursor.

A server's cursor is below the size of its table, so 54 bits are plenty; the ten lowest of the client's are the server's
number.  The client sees one iteration, which begins and ends with 0, and nothing is kept between its steps.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from twisted_mesh.codec.resp import bulk

SERVER_BITS = 10
SERVERS_LIMIT = 2**SERVER_BITS
# Clients read a cursor into an unsigned number of 64 bits.
_LIMIT = 2**64
INVALID = "invalid cursor"

_REPLY = re.compile(rb"\*2\r\n\$[0-9]{1,2}\r\n([0-9]{1,20})\r\n")


class Step(NamedTuple):
    """The server that is next, by its number, and the cursor that it is sent."""

    server: int
    cursor: bytes


def step(cursor: bytes, servers: int) -> Step:
    """Return what a client's cursor stands for.

    :raises ValueError: it is no cursor of ours, or of a time when there were more servers.
    """
    if not cursor.isdigit() or len(cursor) > 20:
        raise ValueError(INVALID)
    code = int(cursor)
    server = code % SERVERS_LIMIT
    if code >= _LIMIT or server >= servers:
        raise ValueError(INVALID)
    return Step(server, b"%d" % (code // SERVERS_LIMIT))


def coded(reply: bytes, server: int, servers: int) -> bytes:
    """Return a server's reply to SCAN with the cursor that goes on from there; an error as it is.

    :raises ValueError: the server's cursor is too large to be coded.
    """
    head = _REPLY.match(reply)
    if head is None:
        return reply
    cursor = int(head[1])
    if cursor:
        code = cursor * SERVERS_LIMIT + server
        if code >= _LIMIT:
            raise ValueError(f"a cursor that does not fit: {cursor}")
    else:
        # This one is done: on with the next from its beginning, if there is one.
        code = (server + 1) % servers
    return b"*2\r\n" + bulk(b"%d" % code) + reply[head.end() :]

"""What is particular about the head of a request on its way to an endpoint."""

from __future__ import annotations

import re

from twisted_mesh.call import Call, deadline_passed
from twisted_mesh.codec.chunked import encode_end
from twisted_mesh.codec.deadline import reduced
from twisted_mesh.codec.grammar import TOKEN
from twisted_mesh.headers import field

_TOKEN = re.compile(TOKEN.decode("ascii"))
_TEXT = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_BODY_EXPECTED = frozenset(("POST", "PUT", "PATCH"))
# Encoding text that is nearly always the same costs more than finding it here.
METHODS = {each: each.encode("ascii") for each in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}


def method(operation: str) -> bytes:
    """Return a method that is not among `METHODS`; a filter may have made it up.

    :raises ValueError: it is no token.
    """
    if _TOKEN.fullmatch(operation) is None:
        raise ValueError(f"not a method: {operation!r:.100}")
    return operation.encode("ascii")


def bring_up_to_date(call: Call, address: str, now: float) -> None:
    """Complete the head of a request that is not `plain`, right before it is sent: its Host, and how long one waits.

    :raises MeshError: `Kind.DEADLINE`: its caller waits no longer.
    """
    if not call.authority:
        name_host(call, address)
    if call.deadline is not None and call.deadline <= now:
        raise deadline_passed(call)
    left = call.left(now)
    if left is not None:
        call.headers.fields = reduced(call.headers.fields, left)


def name_host(call: Call, address: str) -> None:
    """Give an HTTP/1.0 request that came without a Host the one that 1.1 demands: the endpoint's address."""
    if "host" not in call.headers:
        call.headers.fields.insert(0, field("Host", "localhost" if address.startswith("unix:") else address))


def end_of_empty(call: Call) -> bytes:
    """Return the end of the head of a request without a body.

    :raises ValueError: the protocol to upgrade to cannot be sent.
    """
    if call.upgrade:
        if _TEXT.fullmatch(call.upgrade) is None:
            raise ValueError(f"not a protocol to upgrade to: {call.upgrade!r:.100}")
        return b"connection: upgrade\r\nupgrade: %b\r\n\r\n" % call.upgrade.encode("latin-1")
    if call.trailers:
        return b"transfer-encoding: chunked\r\n\r\n" + encode_end(call.trailers)
    # RFC 9110 section 8.6: a method that expects content says that there is none.
    return b"content-length: 0\r\n\r\n" if call.operation in _BODY_EXPECTED else b"\r\n"

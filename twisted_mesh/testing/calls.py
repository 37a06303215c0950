"""Calls as the adapters make them."""

from __future__ import annotations

import itertools
from typing import Mapping, Optional, Union

from twisted_mesh.call import Body, Call
from twisted_mesh.codec.target import Normalise, host_name, parse_request_line
from twisted_mesh.headers import Headers

_ids = itertools.count(1)

PEER = "127.0.0.1:50000"


def http_call(
    operation: str = "GET",
    target: str = "/",
    headers: Union[Mapping[str, str], Headers, None] = None,
    body: Body = b"",
    *,
    host: str = "shop.example",
    listener: str = "test",
    peer: str = PEER,
) -> Call:
    """Return an HTTP call: ``http_call("POST", "/orders?dry=1", {"x-api-key": "k"}, b"...")``.

    :param body: bytes, or a `ByteStream` that the test writes.
    :raises HttpError: the adapter would have refused the request line.
    """
    call = Call("http", listener, operation, headers if isinstance(headers, Headers) else Headers())
    if "host" not in call.headers:
        call.headers.add("host", host)
    if isinstance(headers, Mapping):
        for name, value in headers.items():
            call.headers.add(name, value)
    line = parse_request_line(f"{operation} {target} HTTP/1.1".encode("latin-1"), Normalise())
    call.target, call.resource, call.query = line.target, line.path, line.query
    call.authority = call.headers.get("host") or ""
    call.host = host_name(call.authority.encode("latin-1"))
    call.body = body
    call.peer, call.client = peer, peer.rpartition(":")[0]
    _identify(call)
    return call


def tcp_call(*, listener: str = "test", peer: str = PEER) -> Call:
    """Return the call that a TCP connection is."""
    call = Call("tcp", listener, "CONNECT", Headers())
    call.peer, call.client = peer, peer.rpartition(":")[0]
    _identify(call)
    return call


def _identify(call: Call) -> None:
    known: Optional[str] = call.headers.get("x-request-id")
    call.id = known or f"test-{next(_ids)}"
    if call.protocol == "http" and known is None:
        call.headers.add("x-request-id", call.id)

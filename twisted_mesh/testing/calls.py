"""Calls as the adapters make them."""

from __future__ import annotations

import itertools
from typing import Mapping, Optional, Sequence, Union

from twisted_mesh.call import Body, Call
from twisted_mesh.codec.command_kinds import Kind
from twisted_mesh.codec.commands import Command, find
from twisted_mesh.codec.target import Normalise, host_name, parse_request_line
from twisted_mesh.headers import Headers
from twisted_mesh.redis_call import RedisCall

_ids = itertools.count(1)

PEER = "127.0.0.1:50000"
Word = Union[str, bytes]


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


def redis_call(
    *words: Word,
    then: Sequence[Sequence[Word]] = (),
    identity: Optional[str] = None,
    db: int = 0,
    listener: str = "test",
    peer: str = PEER,
) -> RedisCall:
    """Return the call of a Redis command: ``redis_call("SET", "user:1", "ann")``.

    :param then: commands that came with it in one read, as ``redis_call("GET", "a", then=[("GET", "b")])``.
    :param identity: the user that the client has logged in as.
    :param db: the database that the client has selected.
    :raises ValueError: a listener would make no call of this, or more than one.
    """
    commands = [[each.encode() if isinstance(each, str) else each for each in some] for some in (words, *then)]
    rows = [_row(each) for each in commands]
    for row in rows[1:]:
        if {row.kind, rows[0].kind} != {Kind.KEYED} or row.write != rows[0].write:
            raise ValueError(f"{rows[0].name} and {row.name} do not travel together: each is a call of its own")
    call = RedisCall(listener, rows[0], (), b"", b"")
    call.carry(commands)
    keys = [at for at in rows[0].keys(commands[0]) if at < len(commands[0])]
    call.key = commands[0][keys[0]] if keys else b""
    call.count, call.write, call.bytes_in = len(commands), rows[0].write, len(call.data)
    call.identity, call.db = identity, db
    call.peer, call.client = peer, peer.rpartition(":")[0]
    call.id = f"test-{next(_ids)}"
    return call


def _row(words: Sequence[bytes]) -> Command:
    name = words[0].decode("utf-8", "replace")
    row = find(words[0].upper(), words[1] if len(words) > 1 else None)
    if row is None:
        raise ValueError(f"there is no command {name}")
    if row.kind in (Kind.LOCAL, Kind.REFUSED):
        raise ValueError(f"{row.name} gets into no call: the listener answers it")
    if not row.fits(len(words)):
        raise ValueError(f"wrong number of arguments for {row.name}")
    return row


def _identify(call: Call) -> None:
    known: Optional[str] = call.headers.get("x-request-id")
    call.id = known or f"test-{next(_ids)}"
    if call.protocol == "http" and known is None:
        call.headers.add("x-request-id", call.id)

"""Calls that nobody has made: what a listener would make of a request, for who wants to know what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Sequence
from urllib.parse import urlsplit

from twisted_mesh.call import Call
from twisted_mesh.codec.deadline import given
from twisted_mesh.codec.forwarded import Hop, extended, fresh
from twisted_mesh.codec.grammar import HttpError
from twisted_mesh.codec.lines import FORWARDED
from twisted_mesh.codec.request import CHUNKED
from twisted_mesh.codec.target import host_name
from twisted_mesh.headers import Headers
from twisted_mesh.stream import ByteStream

if TYPE_CHECKING:
    from twisted_mesh.codec.commands import Command
    from twisted_mesh.codec.resp_request_scan import Found
    from twisted_mesh.control.listener import LiveListener
    from twisted_mesh.control.world import World

SCHEMES = {"http": "http", "https": "http", "tcp": "tcp", "redis": "redis"}


class Question(NamedTuple):
    """What is asked.

    `method` is a method of HTTP, a command of Redis, or CONNECT for TCP; `target` a URL, a path or a key, `words` what
    follows the key; `headers` are lines; `source` is the client's address; `port` the one that a client of TCP or Redis
    has connected to.
    """

    method: str
    target: str = ""
    words: Sequence[str] = ()
    headers: Sequence[str] = ()
    listener: str = ""
    source: str = "127.0.0.1"
    identity: str = ""
    db: int = 0


def listener_for(world: World, asked: Question) -> LiveListener:
    """Return the listener that the call would come to.

    It is the one that was named, else the one at the port of the URL, else the only one of the protocol.

    :raises ValueError: there is none, or several could be meant.
    """
    live = world.listeners
    if asked.listener:
        if asked.listener not in live:
            raise ValueError(f'there is no listener "{asked.listener}"; there are {_named(list(live.values()))}')
        return live[asked.listener]
    scheme, port = _address(asked.target)
    if not scheme:
        # Of commands some have no key.
        plain = not asked.target and any(each.config.protocol == "http" for each in live.values())
        scheme = "http" if asked.target.startswith("/") or plain else "redis"
    found = [each for each in live.values() if each.config.protocol == SCHEMES[scheme]]
    there = [each for each in found if port is not None and any(at.endswith(f":{port}") for at in each.addresses)]
    found = there or found
    if not found:
        raise ValueError(f"there is no listener for {SCHEMES[scheme]}; there are {_named(list(live.values()))}")
    if len(found) > 1:
        raise ValueError(f"say which listener is meant: {_named(found)}")
    return found[0]


def _address(target: str) -> tuple[str, Optional[int]]:
    """Return the scheme of a URL and its port; "" for what is none.

    :raises ValueError: its host or its port is none.
    """
    scheme, mark, _ = target.partition("://")
    if not mark or scheme.lower() not in SCHEMES:
        return "", None
    try:
        return scheme.lower(), urlsplit(target).port
    except ValueError:
        raise ValueError(f'expected a URL such as http://shop.example:8080/cart, got "{target}"') from None


def _named(listeners: Sequence[LiveListener]) -> str:
    return ", ".join(f"{each.name} ({each.config.protocol})" for each in listeners) or "none"


def imagine(listener: LiveListener, asked: Question, now: float) -> Call:
    """Return the call that the listener's adapter would make.

    :raises ValueError: there would be none, as the request would be refused; it says why.
    """
    protocol = listener.config.protocol
    if protocol == "redis":
        call = _redis(listener, asked)
    elif protocol == "http":
        call = _http(listener, asked)
    else:
        call = Call("tcp", listener.name, "CONNECT", Headers())
        call.version = ""
        call.client = asked.source
    if protocol != "http":
        ports = [each.rpartition(":")[2] for each in listener.addresses]
        wanted = _address(asked.target)[1]
        call.port = wanted or next((int(each) for each in ports if each.isdigit()), 0)
    call.peer = f"{asked.source}:0"
    call.identity = asked.identity or None
    call.started = call.received = now
    return call


def _http(listener: LiveListener, asked: Question) -> Call:
    adapter: Any = listener.adapter
    host, target = "", asked.target or "/"
    if _address(target)[0]:
        parts = urlsplit(target)
        host = parts.netloc.rpartition("@")[2]
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [line.strip() for line in asked.headers]
    if not any(line.lower().startswith("host:") for line in lines):
        lines.insert(0, f"host: {host or 'localhost'}")
    try:
        head = "\r\n".join([f"{asked.method} {target} HTTP/1.1", *lines]).encode("latin-1")
        line, fields, host_field, length, seen, upgrade = adapter.reader.read(head)
    except (HttpError, ValueError) as error:
        raise ValueError(f"the listener would refuse the request: {error}") from None
    call = Call("http", listener.name, line[0], Headers(fields.copy()))
    call._target = line[1]
    call.resource, call.query = line[2], line[3]
    call.client, call.upgrade = asked.source, upgrade
    value = b"" if host_field is None else host_field[1]
    call.authority, call.host = value.decode("latin-1"), host_name(value)
    call.body_limit = adapter.body_limit
    if length:
        # Nothing of it has come yet.
        call.body = ByteStream(length=None if length == CHUNKED else length)
    hop = Hop(asked.source, "http", adapter.node)
    if seen & FORWARDED:
        found = extended(call.headers.fields, hop, value, 1, adapter.trusted_hops)
        call.headers.fields, call.client = found
    else:
        call.headers.fields += fresh(hop, value, 1)
    seconds, _ = given(call.headers.fields)
    if seconds is not None:
        call.deadline = adapter.now() + seconds
    return call


def _redis(listener: LiveListener, asked: Question) -> Call:
    # Late: most sidecars speak no Redis.
    from twisted_mesh.codec.command_kinds import Kind
    from twisted_mesh.codec.commands import find
    from twisted_mesh.codec.resp import pack
    from twisted_mesh.redis_call import RedisCall

    target = asked.target
    if _address(target)[0]:
        target = urlsplit(target).path.removeprefix("/")
    words = [each.encode("utf-8", "surrogateescape") for each in (asked.method, target, *asked.words)]
    words = words if target or asked.words else words[:1]
    row = find(words[0], words[1] if len(words) > 1 else None)
    if row is None:
        raise ValueError(f'there is no command "{asked.method}"')
    if row.kind is Kind.REFUSED:
        raise ValueError(f"the listener would refuse {row.name}: it {row.refusal}")
    if row.kind is Kind.LOCAL:
        raise ValueError(f"the listener answers {row.name} itself, without routes and filters")
    if 0 < row.arity < len(words):
        raise ValueError(f"the listener would refuse {row.name}: wrong number of arguments")
    data = pack(words)
    first = words[1] if len(words) > 1 else None
    found = (words[0], first, len(words), 0, len(data))
    _check_user(listener, asked.identity, row, found, data)
    call = RedisCall(listener.name, row, [found], data, data)
    places = [place for place in row.keys(words) if place < len(words)] if len(words) > 1 else []
    call.key = words[places[0]] if places else (first or b"" if row.specs else b"")
    call.write = row.write
    call.db = asked.db
    call.client = asked.source
    return call


def _check_user(listener: LiveListener, name: str, row: Command, found: Found, data: bytes) -> None:
    """Hold a command against the users of its listener, if it has any.

    :raises ValueError: there is no such user, or it may not send that.
    """
    from twisted_mesh.adapters.redis_auth import guard_for

    adapter: Any = listener.adapter
    guard = guard_for(adapter.users)
    if guard is None:
        return
    guard.user = adapter.users.get(name) or adapter.users.holder(name)
    if name and guard.user is None:
        raise ValueError(f'the listener has no user "{name}"')
    refused = guard.refuses(row, found, data)
    if refused is not None:
        who = "" if name else "; say who calls with --identity"
        raise ValueError(f"the listener would refuse {row.name}: {refused[1:-2].decode('utf-8', 'replace')}{who}")

"""Commands that the mesh answers itself: what clients ask of a connection, and not of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from twisted_mesh.codec.commands import Command
from twisted_mesh.codec.resp import OK, array, bulk, error, integer, mapping, null, number_in, simple

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis_connection import RedisConnection

Words = list[bytes]
Answer = Callable[["RedisConnection", Words], bytes]

# The version of the protocol's reference that is spoken; clients look at it to know what they may send.
SERVER_VERSION = "7.4.0"


def answer_locally(client: RedisConnection, command: Command, words: Words) -> bytes:
    """Return the reply to a command of `Kind.LOCAL`, and do what it says."""
    answer = ANSWERS.get(command.name)
    if answer is None:
        return error("ERR", f"{command.name.replace('|', ' ')} is not known to this proxy")
    return answer(client, words)


def _ping(client: RedisConnection, words: Words) -> bytes:
    return simple(b"PONG") if len(words) < 2 else bulk(words[1])


def _echo(client: RedisConnection, words: Words) -> bytes:
    return bulk(words[1])


def _time(client: RedisConnection, words: Words) -> bytes:
    seconds, rest = divmod(int(client.adapter.env.wall() * 1_000_000), 1_000_000)
    return array([bulk(b"%d" % seconds), bulk(b"%d" % rest)])


def _quit(client: RedisConnection, words: Words) -> bytes:
    client.close()
    return OK


def _reset(client: RedisConnection, words: Words) -> bytes:
    client.reset()
    return simple(b"RESET")


def _select(client: RedisConnection, words: Words) -> bytes:
    number = number_in(words[1], -(2**31), 2**31 - 1)
    if number is None:
        return error("ERR", "value is not an integer or out of range")
    if not 0 <= number < client.adapter.databases:
        return error("ERR", "DB index is out of range")
    client.db = number
    return OK


def _hello(client: RedisConnection, words: Words) -> bytes:
    version, name = client.resp, None
    if len(words) > 1:
        number = number_in(words[1], 0, 2**31 - 1)
        if number is None:
            return error("ERR", "Protocol version is not an integer or out of range")
        if number not in (2, 3):
            return error("NOPROTO", "unsupported protocol version")
        version = number
    at = 2
    while at < len(words):
        option, left = words[at].upper(), len(words) - at - 1
        if option == b"AUTH" and left >= 2:
            at += 3
        elif option == b"SETNAME" and left >= 1:
            name = words[at + 1]
            if not _fit(name):
                return _ODD_NAME
            at += 2
        else:
            return error("ERR", f"Syntax error in HELLO option '{words[at].decode('utf-8', 'surrogateescape')}'")
    client.resp = version
    if name is not None:
        client.name = name
    facts = [
        (b"server", bulk(b"redis")),
        (b"version", bulk(SERVER_VERSION.encode())),
        (b"proto", integer(version)),
        (b"id", integer(client.id)),
        (b"mode", bulk(b"standalone")),
        (b"role", bulk(b"master")),
        (b"modules", array([])),
    ]
    return mapping([(bulk(key), value) for key, value in facts], version)


_ODD_NAME = error("ERR", "Client names cannot contain spaces, newlines or special characters.")


def _fit(name: bytes) -> bool:
    """Whether it may be a client's name."""
    return all(33 <= each <= 126 for each in name)


def _client_id(client: RedisConnection, words: Words) -> bytes:
    return integer(client.id)


def _client_getname(client: RedisConnection, words: Words) -> bytes:
    return bulk(client.name) if client.name else null(client.resp)


def _client_setname(client: RedisConnection, words: Words) -> bytes:
    if not _fit(words[2]):
        return _ODD_NAME
    client.name = words[2]
    return OK


def _ok(client: RedisConnection, words: Words) -> bytes:
    return OK


def _command(client: RedisConnection, words: Words) -> bytes:
    return array([])


def _config_get(client: RedisConnection, words: Words) -> bytes:
    return mapping([], client.resp)


ANSWERS: dict[str, Answer] = {
    "PING": _ping,
    "ECHO": _echo,
    "TIME": _time,
    "QUIT": _quit,
    "RESET": _reset,
    "SELECT": _select,
    "HELLO": _hello,
    "CLIENT|ID": _client_id,
    "CLIENT|GETNAME": _client_getname,
    "CLIENT|SETNAME": _client_setname,
    "CLIENT|SETINFO": _ok,
    "COMMAND": _command,
    "COMMAND|DOCS": _command,
    "CONFIG|GET": _config_get,
}

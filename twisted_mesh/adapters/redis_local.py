"""Commands that the mesh answers itself: what clients ask of a connection, and not of the data.

They answer in the words of a server, so that no client library notices whom it speaks to.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Callable

from twisted_mesh.adapters.redis_auth import NO_HELLO, auth, login
from twisted_mesh.adapters.redis_clients import CLIENT_ANSWERS, ODD_NAME, fit
from twisted_mesh.adapters.redis_refusals import wrong_arity
from twisted_mesh.adapters.redis_table import COMMAND_ANSWERS
from twisted_mesh.codec.commands import COMMANDS, Command
from twisted_mesh.codec.resp import OK, array, bulk, error, integer, mapping, number_in, simple
from twisted_mesh.codec.slots import slot

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis_answering import Answering

Words = list[bytes]
Answer = Callable[["Answering", Words], bytes]

# The version that clients are told; they look at it to know what they may send.
SERVER_VERSION = "7.4.0"
_NOT_A_NUMBER = error("ERR", "value is not an integer or out of range")
_LONG = re.compile(rb"-?[1-9][0-9]{9,18}").fullmatch
_NO_INT = error("ERR", "value is out of range, value must between -2147483648 and 2147483647")
_GENPASS_BITS = 4096


def answer_locally(client: Answering, command: Command, words: Words) -> bytes:
    """Return the reply to a command of `Kind.LOCAL`, and do what it says."""
    return ANSWERS[command.name](client, words)


def _ping(client: Answering, words: Words) -> bytes:
    if len(words) > 2:
        return wrong_arity("PING")
    return simple(b"PONG") if len(words) < 2 else bulk(words[1])


def _echo(client: Answering, words: Words) -> bytes:
    return bulk(words[1])


def _time(client: Answering, words: Words) -> bytes:
    seconds, rest = divmod(int(client.adapter.env.wall() * 1_000_000), 1_000_000)
    return array([bulk(b"%d" % seconds), bulk(b"%d" % rest)])


def _quit(client: Answering, words: Words) -> bytes:
    client.close()
    return OK


def _reset(client: Answering, words: Words) -> bytes:
    client.reset()
    return simple(b"RESET")


def _select(client: Answering, words: Words) -> bytes:
    number = number_in(words[1], -(2**31), 2**31 - 1)
    if number is None:
        return _NO_INT if _LONG(words[1]) else _NOT_A_NUMBER
    if not 0 <= number < client.adapter.databases:
        return error("ERR", "DB index is out of range")
    client.db = number
    return OK


def _auth(client: Answering, words: Words) -> bytes:
    return auth(client, words)


def _hello(client: Answering, words: Words) -> bytes:
    version, name = client.resp, None
    if len(words) > 1:
        number = number_in(words[1], -(2**31), 2**31 - 1)
        if number is None:
            return error("ERR", "Protocol version is not an integer or out of range")
        if number not in (2, 3):
            return error("NOPROTO", "unsupported protocol version")
        version = number
    at, pair = 2, None
    while at < len(words):
        option, left = words[at].upper(), len(words) - at - 1
        if option == b"AUTH" and left >= 2:
            pair = (words[at + 1], words[at + 2])
            at += 3
        elif option == b"SETNAME" and left >= 1:
            name = words[at + 1]
            if not fit(name):
                return ODD_NAME
            at += 2
        else:
            return error("ERR", f"Syntax error in HELLO option '{words[at].decode('utf-8', 'surrogateescape')}'")
    refused = None if pair is None else login(client, *pair)
    if refused is not None:
        return refused
    if client.guard is not None and client.guard.user is None:
        return NO_HELLO
    client.resp = version
    if name is not None:
        client.name = name
    return _introduction(client)


def _introduction(client: Answering) -> bytes:
    facts = [
        (b"server", bulk(b"redis")),
        (b"version", bulk(SERVER_VERSION.encode())),
        (b"proto", integer(client.resp)),
        (b"id", integer(client.id)),
        (b"mode", bulk(b"standalone")),
        (b"role", bulk(b"master")),
        (b"modules", array([])),
    ]
    return mapping([(bulk(key), value) for key, value in facts], client.resp)


def _whoami(client: Answering, words: Words) -> bytes:
    return bulk(client.user.encode("utf-8", "surrogateescape"))


def _categories(client: Answering, words: Words) -> bytes:
    if len(words) < 3:
        return array(bulk(each.encode()) for each in sorted({name for row in COMMANDS for name in row.categories}))
    asked = words[2].decode("utf-8", "surrogateescape")
    everything = [each for row in COMMANDS for each in (row, *row.subcommands.values())]
    found = [each.name.lower() for each in everything if asked.lower() in each.categories]
    if not found:
        return error("ERR", f"Unknown category '{asked}'")
    return array(bulk(name.encode()) for name in found)


def _password(client: Answering, words: Words) -> bytes:
    if len(words) > 3:
        return error("ERR", "unknown subcommand or wrong number of arguments for 'GENPASS'. Try ACL HELP.")
    bits = number_in(words[2], -(2**31), 2**31 - 1) if len(words) > 2 else 256
    if bits is None:
        return _NOT_A_NUMBER
    if not 1 <= bits <= _GENPASS_BITS:
        said = f"a positive number up to {_GENPASS_BITS}"
        return error("ERR", f"ACL GENPASS argument must be the number of bits for the output password, {said}")
    digits = (bits + 3) // 4
    return bulk(secrets.token_hex((digits + 1) // 2)[:digits].encode())


def _slot(client: Answering, words: Words) -> bytes:
    return integer(slot(words[2]))


ANSWERS: dict[str, Answer] = {
    "PING": _ping,
    "ECHO": _echo,
    "TIME": _time,
    "QUIT": _quit,
    "RESET": _reset,
    "SELECT": _select,
    "AUTH": _auth,
    "HELLO": _hello,
    "ACL|WHOAMI": _whoami,
    "ACL|CAT": _categories,
    "ACL|GENPASS": _password,
    "CLUSTER|KEYSLOT": _slot,
    **CLIENT_ANSWERS,
    **COMMAND_ANSWERS,
}

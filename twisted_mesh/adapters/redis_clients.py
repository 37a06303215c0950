"""CLIENT: what a client says of itself and asks about others.  The clients are those of this listener."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Iterable, Optional, Sequence

from twisted_mesh.adapters.redis_pause import Pause
from twisted_mesh.codec.resp import OK, array, bulk, error, integer, mapping, null, number_in, text
from twisted_mesh.errors import MeshError
from twisted_mesh.park import Parked
from twisted_mesh.policy.acl import DEFAULT
from twisted_mesh.redis_words import words_for

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis_answering import Answering

Words = list[bytes]
Test = Callable[["Answering"], bool]

ODD_NAME = error("ERR", "Client names cannot contain spaces, newlines or special characters.")
_SYNTAX = error("ERR", "syntax error")
_NOT_A_NUMBER = error("ERR", "value is not an integer or out of range")
_TYPES = (b"normal", b"master", b"primary", b"replica", b"slave", b"pubsub")
_LONG = re.compile(rb"0|-?[1-9][0-9]{0,18}").fullmatch
# What a library may say of itself, and how much of it is kept.
_FACTS = (b"lib-name", b"lib-ver")
_FACT_LIMIT = 256


def fit(name: bytes) -> bool:
    """Whether it may be a client's name."""
    return all(33 <= each <= 126 for each in name)


def describe(client: Answering) -> bytes:
    """Return the line of a client in CLIENT LIST."""
    now = client.adapter.now()
    fields = {
        "id": client.id,
        "addr": client.peer,
        "laddr": client.here,
        "fd": client.descriptor,
        "name": client.name.decode("ascii", "replace"),
        "age": int(now - client.made_at),
        "idle": int(now - client.active_at),
        "flags": _flags(client),
        "db": client.db,
        "sub": _listens(client, "channel"),
        "psub": _listens(client, "pattern"),
        "ssub": _listens(client, "shard"),
        "multi": client.binding.queued if client.binding is not None and client.binding.session.multi else -1,
        "cmd": client.last.lower(),
        "user": client.user,
        "redir": 0 if client.binding is not None and client.binding.session.tracking else -1,
        "resp": client.resp,
        "lib-name": client.facts.get(b"lib-name", b"").decode("ascii", "replace"),
        "lib-ver": client.facts.get(b"lib-ver", b"").decode("ascii", "replace"),
    }
    return " ".join(f"{name}={value}" for name, value in fields.items()).encode() + b"\n"


def _flags(client: Answering) -> str:
    """What binds a client, in a server's letters."""
    binding = client.binding
    if binding is None:
        return "N"
    session = binding.session
    letters = {
        "P": session.subscribed,
        "x": session.multi,
        "b": binding.waits,
        "t": session.tracking,
        "O": session.monitoring,
    }
    return "".join(letter for letter, holds in letters.items() if holds) or "N"


def _listens(client: Answering, sort: str) -> int:
    return 0 if client.binding is None else len(client.binding.session.names(sort))


def _type(client: Answering) -> bytes:
    """The type of a client, as CLIENT LIST and KILL take it."""
    return b"pubsub" if client.binding is not None and client.binding.session.subscribed else b"normal"


def _id(client: Answering, words: Words) -> bytes:
    return integer(client.id)


def _getname(client: Answering, words: Words) -> bytes:
    return bulk(client.name) if client.name else null(client.resp)


def _setname(client: Answering, words: Words) -> bytes:
    if not fit(words[2]):
        return ODD_NAME
    client.name = words[2]
    return OK


def _setinfo(client: Answering, words: Words) -> bytes:
    name, value = words[2].lower(), words[3]
    if name not in _FACTS:
        return error("ERR", f"Unrecognized option '{words[2].decode('utf-8', 'surrogateescape')}'")
    if not fit(value):
        return error("ERR", f"{words[2].decode()} cannot contain spaces, newlines or special characters.")
    client.facts = {**client.facts, name: value[:_FACT_LIMIT]}
    return OK


def _on_or_off(client: Answering, words: Words) -> bytes:
    return OK if words[2].upper() in (b"ON", b"OFF") else _SYNTAX


def _ok(client: Answering, words: Words) -> bytes:
    return OK


def _info(client: Answering, words: Words) -> bytes:
    return text(describe(client), client.resp)


def _list(client: Answering, words: Words) -> bytes:
    everyone: Iterable[Answering] = client.adapter.open
    if len(words) == 4 and words[2].upper() == b"TYPE":
        if words[3].lower() not in _TYPES:
            return error("ERR", f"Unknown client type '{words[3].decode('utf-8', 'surrogateescape')}'")
        everyone = [each for each in everyone if _type(each) == words[3].lower()]
    elif len(words) > 3 and words[2].upper() == b"ID":
        numbers = [number_in(each, -(2**31), 2**31 - 1) for each in words[3:]]
        if None in numbers:
            return error("ERR", "Invalid client ID")
        everyone = [each for each in everyone if each.id in numbers]
    elif len(words) > 2:
        return _SYNTAX
    return text(b"".join([describe(each) for each in everyone]), client.resp)


def _kill(client: Answering, words: Words) -> bytes:
    if len(words) == 3:
        address = words[2].decode("utf-8", "replace")
        found = [each for each in client.adapter.open if each.peer == address]
        if not found:
            return error("ERR", "No such client")
        _end(client, found)
        return OK
    # Of an option that is given twice the last one counts.
    tests: dict[bytes, Test] = {}
    spare = True
    for option, value in zip(words[2::2], words[3::2]):
        if option.upper() == b"SKIPME":
            if value.upper() not in (b"YES", b"NO"):
                return _SYNTAX
            spare = value.upper() == b"YES"
            continue
        if option.upper() == b"TYPE" and value.lower() not in _TYPES:
            return error("ERR", f"Unknown client type '{value.decode('utf-8', 'surrogateescape')}'")
        if option.upper() == b"USER" and not _known(client, value.decode("utf-8", "surrogateescape")):
            return error("ERR", f"No such user '{value.decode('utf-8', 'surrogateescape')}'")
        test = _test(option.upper(), value)
        if test is None:
            return _SYNTAX if option.upper() != b"ID" else error("ERR", "client-id should be greater than 0")
        tests[option.upper()] = test
    if len(words) % 2:
        return _SYNTAX
    found = [
        each
        for each in client.adapter.open
        if all(test(each) for test in tests.values()) and not (spare and each is client)
    ]
    _end(client, found)
    return integer(len(found))


def _known(client: Answering, name: str) -> bool:
    """Whether there may be a client of that name; where a listener has no users all are the default one."""
    users = client.adapter.users
    return users.get(name) is not None if users.needed else name == DEFAULT


def _long(text: bytes) -> Optional[int]:
    """Return the number of a client, or another one of 64 bits; None if it is none."""
    number = int(text) if _LONG(text) else None
    return number if number is not None and -(2**63) <= number < 2**63 else None


def _test(option: bytes, value: bytes) -> Optional[Test]:
    text = value.decode("utf-8", "replace")
    number = _long(value)
    number = None if number is None or number < 1 else number
    if option == b"ID":
        return None if number is None else lambda each: each.id == number
    if option == b"ADDR":
        return lambda each: each.peer == text
    if option == b"LADDR":
        return lambda each: each.here == text
    if option == b"USER":
        return lambda each: each.user == text
    if option == b"TYPE":
        return lambda each: _type(each) == value.lower()
    if option == b"MAXAGE" and number is not None:
        return lambda each: each.adapter.now() - each.made_at >= number
    return None


def _end(client: Answering, found: Sequence[Answering]) -> None:
    for each in found:
        # Who ends itself still gets its answer.
        each.close() if each is client else each.cut()


def _unblock(client: Answering, words: Words) -> bytes:
    if len(words) > 3 and words[3].upper() not in (b"TIMEOUT", b"ERROR"):
        return error("ERR", "CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    number = _long(words[2])
    if number is None:
        return _NOT_A_NUMBER
    found = [each.binding for each in client.adapter.open if each.id == number and each.binding is not None]
    try:
        asked = found[0].session.unblock(b"TIMEOUT" if len(words) < 4 else words[3].upper()) if found else []
    except MeshError as failed:
        return words_for(failed)
    if asked:
        _Unblocking(client, asked)
    # The answer comes when the servers have said it.
    return b"" if asked else integer(0)


class _Unblocking:
    """Waits for what servers say of the waiting that they were to end, and tells who has asked for it."""

    __slots__ = ("_answer", "_client", "_left", "_place")

    def __init__(self, client: Answering, asked: Sequence[Parked[Any]]) -> None:
        self._client = client
        self._place = client.expect()
        self._left = len(asked)
        self._answer = integer(0)
        for each in asked:
            if each.done:
                self._said(each)
            else:
                each.resume = partial(self._said, each)

    def _said(self, parked: Parked[Any]) -> None:
        failed, parked.error = parked.error, None
        if isinstance(failed, MeshError):
            self._answer = words_for(failed)
        elif parked.value.body != integer(0):
            self._answer = parked.value.body
        self._left -= 1
        if not self._left:
            self._client.given(self._place, self._answer)


def _pause(client: Answering, words: Words) -> bytes:
    adapter = client.adapter
    writes = len(words) > 3 and words[3].upper() == b"WRITE"
    if len(words) > 3 and not writes and words[3].upper() != b"ALL":
        return error("ERR", "CLIENT PAUSE mode must be WRITE or ALL")
    milliseconds = _long(words[2])
    if milliseconds is None:
        return error("ERR", "timeout is not an integer or out of range")
    if milliseconds < 0:
        return error("ERR", "timeout is negative")
    if milliseconds:
        if adapter.pause is None:
            adapter.pause = Pause(adapter, writes)
        adapter.env.log.info(
            "{user} at {peer} pauses {what} of {listener} for {seconds} s",
            user=client.user,
            peer=client.peer,
            what="writes" if writes else "all commands",
            listener=adapter.name,
            seconds=milliseconds / 1000,
        )
        adapter.pause.go_on(milliseconds / 1000, writes)
    return OK


def _unpause(client: Answering, words: Words) -> bytes:
    pause = client.adapter.pause
    if pause is not None:
        # Behind this answer.
        client.soon(pause.end)
    return OK


def _getredir(client: Answering, words: Words) -> bytes:
    return integer(-1)


def _trackinginfo(client: Answering, words: Words) -> bytes:
    off = b"~1\r\n$3\r\noff\r\n" if client.resp == 3 else array([bulk(b"off")])
    facts = [(bulk(b"flags"), off), (bulk(b"redirect"), integer(-1)), (bulk(b"prefixes"), array([]))]
    return mapping(facts, client.resp)


CLIENT_ANSWERS = {
    "CLIENT|ID": _id,
    "CLIENT|GETNAME": _getname,
    "CLIENT|SETNAME": _setname,
    "CLIENT|SETINFO": _setinfo,
    "CLIENT|NO-EVICT": _on_or_off,
    "CLIENT|NO-TOUCH": _on_or_off,
    "CLIENT|CAPA": _ok,
    "CLIENT|INFO": _info,
    "CLIENT|LIST": _list,
    "CLIENT|KILL": _kill,
    "CLIENT|UNBLOCK": _unblock,
    "CLIENT|PAUSE": _pause,
    "CLIENT|UNPAUSE": _unpause,
    "CLIENT|GETREDIR": _getredir,
    "CLIENT|TRACKINGINFO": _trackinginfo,
}

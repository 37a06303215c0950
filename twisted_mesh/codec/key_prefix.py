"""Commands with a prefix put before their keys, and replies with it taken away from those that they name."""

from __future__ import annotations

import re
from typing import Callable, Container, Optional, Sequence

from twisted_mesh.codec.command_kinds import Kind
from twisted_mesh.codec.commands import Command
from twisted_mesh.codec.resp_reply import ReplyReader

# What names keys in its reply; and of all of these those that name any key, not only keys of the command.
NAMING = frozenset(
    [
        "BLMPOP",
        "BLPOP",
        "BRPOP",
        "BZMPOP",
        "BZPOPMAX",
        "BZPOPMIN",
        "CLIENT|TRACKINGINFO",
        "KEYS",
        "LMPOP",
        "SCAN",
        "XREAD",
        "XREADGROUP",
        "ZMPOP",
    ]
)
ANY_KEY = frozenset(["CLIENT|TRACKINGINFO", "KEYS", "SCAN"])
# What names its key in an error if a group of a stream is missing.
QUOTING = frozenset(
    [
        *("XAUTOCLAIM", "XCLAIM", "XGROUP|CREATECONSUMER", "XGROUP|DELCONSUMER", "XGROUP|SETID"),
        *("XINFO|CONSUMERS", "XPENDING"),
    ]
)
# What is for all keys of a server, whoever they belong to, or looks up keys that stand in patterns.
_BEYOND = frozenset(
    [
        *("RANDOMKEY", "DBSIZE", "FLUSHALL", "FLUSHDB", "SWAPDB", "CLUSTER|GETKEYSINSLOT"),
        *("MONITOR", "SLOWLOG|GET", "COMMANDLOG|GET"),
    ]
)
# What changes servers for everybody, or undoes what others did there; and what shows others' functions.
_SHARED = frozenset(
    [
        *("CONFIG|SET", "CONFIG|REWRITE", "CONFIG|RESETSTAT", "SLOWLOG|RESET", "COMMANDLOG|RESET", "LATENCY|RESET"),
        *("MEMORY|PURGE", "SCRIPT|FLUSH", "SCRIPT|KILL", "FUNCTION|KILL", "FUNCTION|DUMP"),
    ]
)
# The channels in which a server tells what becomes of keys, by their names, whoever they belong to.
NOTIFYING = (b"__keyspace@", b"__keyevent@")
_LISTENING = frozenset(["SUBSCRIBE", "PSUBSCRIBE"])
_LINE = re.compile(rb"\$(\d+)\r\n")
_GLOB = re.compile(rb"[*?\[\]\\^-]")


class NotConfined(ValueError):
    """A command that would see or change what does not begin with the prefix."""


def prefixed(command: Command, words: list[bytes], prefix: bytes) -> list[bytes]:
    """Return the words of a command with the prefix before each of its keys.

    :raises NotConfined: the command cannot be kept to keys that begin so.
    """
    name = command.name
    if name in _BEYOND or (command.kind is Kind.GATHER and command.flags & {"write"} and not command.specs):
        raise NotConfined(f"{name} is for all keys")
    if name in _SHARED:
        raise NotConfined(f"{name} concerns everybody who uses the servers")
    if name in _LISTENING and any(word.startswith(NOTIFYING) for word in words[1:]):
        raise NotConfined("notifications of keys are about all keys")
    made = list(words)
    if name == "KEYS":
        made[1] = _literal(prefix) + words[1]
        return made
    if name == "SCAN":
        return _scanned(made, prefix)
    if name == "CLIENT|TRACKING":
        return _tracked(made, prefix)
    if name in ("SORT", "SORT_RO") and any(word.upper() in (b"BY", b"GET") for word in words[2:]):
        raise NotConfined(f"{name} with BY or GET looks at keys that only patterns name")
    if names_channels(command):
        return made
    for place in command.keys(words):
        made[place] = prefix + words[place]
    return made


def names_channels(command: Command) -> bool:
    """Whether what decides the server of a command is a channel and no key: SSUBSCRIBE, SPUBLISH."""
    return any(spec.access == "c" for spec in command.specs)


def _literal(prefix: bytes) -> bytes:
    return _GLOB.sub(lambda found: b"\\" + found[0], prefix)


def _scanned(words: list[bytes], prefix: bytes) -> list[bytes]:
    # Of several a server takes the last one.
    places = [place for place in range(2, len(words) - 1, 2) if words[place].upper() == b"MATCH"]
    for place in places:
        words[place + 1] = _literal(prefix) + words[place + 1]
    return words if places else [*words[:2], b"MATCH", _literal(prefix) + b"*", *words[2:]]


def _tracked(words: list[bytes], prefix: bytes) -> list[bytes]:
    """In broadcasting mode a server tells of all keys, or of those with a prefix."""
    options = [word.upper() for word in words]
    if b"BCAST" not in options[3:]:
        return words
    if b"PREFIX" not in options[3:]:
        return [*words, b"PREFIX", prefix]
    for place in range(3, len(words) - 1):
        if options[place] == b"PREFIX" and (place == 3 or options[place - 1] != b"PREFIX"):
            words[place + 1] = prefix + words[place + 1]
    return words


def stripped_invalidation(text: bytes, prefix: bytes) -> bytes:
    """Return what a server tells of keys that have changed with the prefix taken away; anything else as it is."""
    head = _INVALIDATED(text)
    return text if head is None else head[0] + stripped(text[head.end() :], prefix)


def is_notification(text: bytes) -> bool:
    """Whether a message is what a server tells of a key in one of its channels for that."""
    head = _MESSAGE(text)
    if head is None:
        return False
    if head[1] == b"p":
        # The pattern comes first.
        head = _LINE.match(text, head.end())
        head = head and _LINE.match(text, head.end() + int(head[1]) + 2)
    else:
        head = _LINE.match(text, head.end())
    return head is not None and text.startswith(NOTIFYING, head.end())


_MESSAGE = re.compile(rb"[>*]\d\r\n\$\d\r\n(p?)message\r\n").match
_INVALIDATED = re.compile(rb"[>*]2\r\n\$10\r\ninvalidate\r\n").match


def stripped_each(reply: bytes, prefix: bytes, keys: Sequence[Optional[Container[bytes]]]) -> bytes:
    """Return the reply to EXEC with the prefix taken away from what its commands name, as `stripped` does for each.

    :param keys: those of each command; empty for one whose reply names none.
    """
    head = _ARRAY(reply)
    if prefix not in reply or head is None or int(head[1]) != len(keys):
        return reply
    inner = reply[head.end() :]
    parts = ReplyReader(limit=len(inner) + 1).feed(inner)
    return head[0] + b"".join(stripped(inner[start:end], prefix, each) for (_, start, end), each in zip(parts, keys))


_ARRAY = re.compile(rb"\*(\d+)\r\n").match


def stripped(reply: bytes, prefix: bytes, keys: Optional[Container[bytes]] = None) -> bytes:
    """Return a reply with the prefix taken away from the texts in it that begin so.

    :param keys: only from these, which have the prefix; from all texts if None.
    """
    if prefix not in reply:
        return reply
    if reply.startswith(_NO_GROUP):
        return _unquoted(reply, prefix)
    size = len(prefix)

    def change(text: bytes) -> bytes:
        return text[size:] if text.startswith(prefix) and (keys is None or text in keys) else text

    return _changed(reply, change)


def unquoted(replies: bytes, prefix: bytes) -> bytes:
    """Return replies with the prefix taken away from the keys that errors about groups of streams quote."""
    if _NO_GROUP not in replies or prefix not in replies:
        return replies
    found = ReplyReader(limit=len(replies) + 1).feed(replies)
    parts = [replies[start:end] for _, start, end in found]
    return b"".join(_unquoted(each, prefix) if each.startswith(_NO_GROUP) else each for each in parts)


_NO_GROUP = b"-NOGROUP "


def _unquoted(error: bytes, prefix: bytes) -> bytes:
    return error.replace(b"'" + prefix, b"'")


def _changed(reply: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return a reply with every bulk string in it changed; nothing else has texts of keys."""
    made: list[bytes] = []
    position, size = 0, len(reply)
    while position < size:
        found = _LINE.match(reply, position)
        if found is None:
            # A line: an aggregate's head, a number, a simple text, a null.
            end = reply.index(b"\r\n", position) + 2
            if reply[position : position + 1] in (b"=", b"!"):
                # A verbatim or an error of a length of its own: none of them is a key.
                end += int(reply[position + 1 : end - 2]) + 2
            made.append(reply[position:end])
        else:
            start = found.end()
            end = start + int(found[1]) + 2
            text = change(reply[start : end - 2])
            made.append(b"$%d\r\n%b\r\n" % (len(text), text))
        position = end
    return b"".join(made)


_HEAD = re.compile(rb"\*(\d+)\r\n\$\d+\r\n([^\r\n]+)\r\n\$(\d+)\r\n")


def prefixed_head(data: bytes, prefix: bytes) -> bytes:
    """Return the beginning of one large command with the prefix before its first argument, which is its key.

    :raises ValueError: the key is not in it.
    """
    head = _HEAD.match(data)
    if head is None or len(data) < head.end() + int(head[3]):
        raise ValueError("the beginning of the command does not hold its key")
    return b"%b$%d\r\n%b%b" % (data[: head.start(3) - 1], int(head[3]) + len(prefix), prefix, data[head.end() :])

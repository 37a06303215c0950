"""Calls of several Redis commands, and an upstream that answers them."""

from __future__ import annotations

from typing import Any, Callable, Optional

from twisted_mesh.call import Call, Reply
from twisted_mesh.codec.commands import find
from twisted_mesh.codec.resp import arguments, pack
from twisted_mesh.redis_call import RedisCall, RedisReply, errors_in


def several(*texts: str) -> RedisCall:
    """``several("GET a", "SET b 1")`` is one call of these commands."""
    data, found = b"", []
    for text in texts:
        words = text.encode().split()
        packed = pack(words)
        found.append((words[0], words[1] if len(words) > 1 else None, len(words), len(data), len(data) + len(packed)))
        data += packed
    command = find(found[0][0], found[0][1])
    assert command is not None
    call = RedisCall("db", command, found, data, data)
    call.key = found[0][1] or b""
    call.count = len(found)
    call.client = "10.0.0.1"
    return call


class Echo:
    """Answers each command with its words; `seen` has what came, as text."""

    def __init__(self, fail: Optional[Callable[[RedisCall], Any]] = None) -> None:
        self.seen: list[list[str]] = []
        self.keys: list[bytes] = []
        self._fail = fail

    async def __call__(self, call: Call) -> Reply:
        assert isinstance(call, RedisCall)
        commands = [b" ".join(arguments(call.data[start:end])).decode() for _, _, _, start, end in call.commands]
        assert call.body == call.data and call.count == len(commands)
        self.seen.append(commands)
        self.keys.append(call.key)
        if self._fail is not None:
            made = self._fail(call)
            if isinstance(made, BaseException):
                raise made
            if made is not None:
                reply: Reply = made
                return reply
        answered = RedisReply(b"".join(b"+%s\r\n" % each.encode() for each in commands), call.count)
        answered.errors = errors_in(answered.answers)
        return answered


def lines(reply: Any) -> list[str]:
    """The replies, a line each."""
    assert isinstance(reply, RedisReply), reply
    assert isinstance(reply.body, bytes)
    return reply.body.decode().splitlines()

"""The commands of one call, one by one, and what becomes of those that servers did not carry out at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Sequence

from twisted_mesh.call import Body
from twisted_mesh.codec.commands import find
from twisted_mesh.codec.resp import arguments
from twisted_mesh.redis_call import RedisCall

if TYPE_CHECKING:
    from twisted_mesh.upstream.endpoint import Endpoint

# How often a command is sent on at once because a server said where to, before it waits for what others say.
AT_ONCE = 2
# Seconds for which commands wait at most until servers can do what they cannot now.
PATIENCE = 5.0


class Item:
    """One command: its bytes, its key (None where it has none), and the server that it is for if that is settled.

    One whose value is passed on as it comes is the only one of its call, and can be sent once.
    """

    __slots__ = ("data", "endpoint", "key")

    def __init__(self, data: Body, key: Optional[bytes] = None, endpoint: Optional[Endpoint] = None) -> None:
        self.data = data
        self.key = key
        self.endpoint = endpoint

    def all_keys(self) -> set[bytes]:
        """Return all keys of it."""
        if not isinstance(self.data, bytes):
            return set() if self.key is None else {self.key}
        words = arguments(self.data)
        row = find(words[0], words[1]) if len(words) > 1 else None
        return {words[place] for place in row.keys(words)} if row is not None else set()


def in_order(replies: Sequence[bytes]) -> bytes:
    """Return the replies one after the other."""
    return b"".join(replies)


def part_of(call: RedisCall, data: bytes, count: int) -> RedisCall:
    """Return the call for one server of what a call comes to: so many commands, these bytes."""
    part = RedisCall(call.listener, call.command, (), data, data)
    part.count = count
    part.write, part.key, part.id = call.write, call.key, call.id
    part.db, part.resp, part.version = call.db, call.resp, call.version
    part.timeout, part.deadline = call.timeout, call.deadline
    part.started, part.received = call.started, call.received
    part.caller = call.caller
    return part


class Repeats:
    """What of one call is sent more than once because of what servers said.

    `said` has the reply that a command gets in the end if it never is carried out, by its place; `ends` is when it has
    waited for too long.
    """

    __slots__ = ("_times", "ends", "said")

    def __init__(self, now: float) -> None:
        self.ends = now + PATIENCE
        self.said: dict[int, bytes] = {}
        self._times: dict[int, int] = {}

    def at_once(self, place: int) -> bool:
        """Whether a command is sent on at once, once more."""
        times = self._times[place] = self._times.get(place, 0) + 1
        return times <= AT_ONCE

    def waited(self, place: int) -> None:
        """A command has waited, and may be sent on at once again."""
        self._times.pop(place, None)

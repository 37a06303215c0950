"""Reads of Redis that several clients send at once go to the server once.

A read joins one that is under way if it is the same, byte for byte, and nothing that this sidecar knows of has been
written to the key since that was sent.  So a client always sees what it has written itself; what others have written
through other sidecars it sees as of the time at which the read was sent that it joined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Awaitable, Optional

from twisted.plugin import IPlugin
from zope.interface import implementer

from twisted_mesh.call import Reply
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env, Explanation, IFilterPlugin, Proceed
from twisted_mesh.park import Parked
from twisted_mesh.redis_call import RedisReply

Question = tuple[bytes, int, int, Optional[str]]
Flight = dict[Question, "_Leader"]
# It may read keys that its patterns name.
_SORT = "SORT_RO"


@dataclass(frozen=True)
class CoalesceReadsSettings:
    """At most `waiting` clients wait for one read, and `keys` keys are read so at once; beyond, reads go alone."""

    waiting: int = 1000
    keys: int = 10_000

    def __post_init__(self) -> None:
        if self.waiting < 1 or self.keys < 1:
            raise ValueError("waiting and keys are 1 or more")


class _Leader:
    """A read under way, and who waits for its reply beside the one who sent it."""

    __slots__ = ("followers",)

    def __init__(self) -> None:
        self.followers: list[Parked[Optional[RedisReply]]] = []


class CoalesceReads:
    """The filter.  Single reads of one key are looked at; what writes, or may, ends joining."""

    __slots__ = ("_counted", "_flights", "_keys", "_waiting")

    def __init__(self, settings: CoalesceReadsSettings, env: Env) -> None:
        self._waiting = settings.waiting
        self._keys = settings.keys
        # By key: a write ends what is under way for it.
        self._flights: dict[bytes, Flight] = {}
        self._counted = Families(env.metrics).redis_coalesced.labels(env.name.rpartition("/")[0] or env.name)

    def __repr__(self) -> str:
        return f"<CoalesceReads {len(self._flights)} keys>"

    def __call__(self, call: Any, proceed: Proceed) -> Awaitable[Reply]:
        command, key = call.command, call.key
        if call.write or not command.read_only or call.session is not None:
            self._written(call)
            return proceed(call)
        if call.count != 1 or not key or type(call.body) is not bytes or not command.one_key or command.name == _SORT:
            return proceed(call)
        flight = self._flights.get(key)
        question = _question(call)
        leader = None if flight is None else flight.get(question)
        if leader is not None and len(leader.followers) < self._waiting:
            self._counted.value += 1
            return self._follow(call, leader, proceed)
        if leader is not None or len(self._flights) >= self._keys:
            return proceed(call)
        return self._lead(call, key, question, proceed)

    def explain(self, call: Any) -> Explanation:
        """Say whether the call would join another."""
        if call.write or not call.command.read_only:
            return Explanation("pass", "it is no read")
        leader = self._flights.get(call.key, {}).get(_question(call))
        if leader is None:
            return Explanation("pass", "no such read is under way")
        return Explanation("reply", f"it joins a read that is under way, with {len(leader.followers)} others")

    def _written(self, call: Any) -> None:
        """What is read from now on must see this."""
        if not self._flights:
            return
        for at in range(call.count):
            words = call.words(at)
            places = call.row(at).keys(words)
            if not places:
                # It may have changed anything.
                self._flights.clear()
            for place in places:
                self._flights.pop(words[place], None)

    async def _lead(self, call: Any, key: bytes, question: Question, proceed: Proceed) -> Reply:
        leader = _Leader()
        flight = self._flights.setdefault(key, {})
        flight[question] = leader
        given: Optional[RedisReply] = None
        try:
            reply = await proceed(call)
            if isinstance(reply, RedisReply) and isinstance(reply.body, bytes):
                given = reply
            return reply
        finally:
            if flight.get(question) is leader:
                del flight[question]
            if not flight and self._flights.get(key) is flight:
                del self._flights[key]
            for each in leader.followers:
                each.fire(given)

    async def _follow(self, call: Any, leader: _Leader, proceed: Proceed) -> Reply:
        parked: Parked[Optional[RedisReply]] = Parked()
        leader.followers.append(parked)
        try:
            reply = await parked
        finally:
            if not parked.done and parked in leader.followers:
                leader.followers.remove(parked)
        if reply is None:
            # It failed, or was too large to be kept: everybody asks for himself.
            return await proceed(call)
        made = RedisReply(reply.body, 1, errors=reply.errors, sound=True)
        return made


def _question(call: Any) -> Question:
    """Return what has to be the same; who asks does, as further in it may say which keys are meant, or where."""
    return call.body, call.db, call.resp, call.identity


@implementer(IPlugin, IFilterPlugin)
class CoalesceReadsPlugin:
    """Makes the filter."""

    name = "coalesce_reads"
    settings = CoalesceReadsSettings
    protocols = ("redis",)

    def build(self, settings: CoalesceReadsSettings, env: Env) -> CoalesceReads:
        """Return a filter for one chain."""
        return CoalesceReads(settings, env)


plugin = CoalesceReadsPlugin()

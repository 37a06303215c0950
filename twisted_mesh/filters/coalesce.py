"""Identical calls at once become one: the first is sent, the others get its reply.

For reads of HTTP; `coalesce_reads` is for those of Redis.  What a caller gets may be as old as the call that it has
joined: it was sent a little earlier than the caller's own would have been.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Awaitable, Hashable, Optional, Union

from twisted.plugin import IPlugin
from zope.interface import implementer

from twisted_mesh.call import Call, Reply
from twisted_mesh.codec.deadline import STYLES
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.families import Families
from twisted_mesh.headers import FRAMING
from twisted_mesh.interfaces import Env, Explanation, Filter, IFilterPlugin, Proceed
from twisted_mesh.model.fields import HeaderName
from twisted_mesh.model.units import Size
from twisted_mesh.park import Parked
from twisted_mesh.policy.freshness import directives

# What tells apart calls and the ways that they came, not what is asked for.
_OF_THE_CALL = frozenset(
    {
        *STYLES,
        b"forwarded",
        b"traceparent",
        b"tracestate",
        b"user-agent",
        b"via",
        b"x-forwarded-for",
        b"x-forwarded-port",
        b"x-request-id",
    }
)
# What says that a reply is for one caller only.
_PRIVATE = frozenset({"no-store", "private"})


class _Told(Enum):
    """What those that wait are told in the place of a reply: each is to be sent itself, or one of them in its place."""

    APART = "apart"
    AGAIN = "again"


Outcome = Union[Reply, MeshError, _Told]


@dataclass(frozen=True)
class CoalesceSettings:
    """Sends one of several identical calls that are under way at once, and gives all of them its reply.

    These are GET and HEAD without a body, for the same host and target, of the same identity, with the same header
    fields; those that tell calls apart (ids, traces, user agents, the addresses that a call came by, deadlines) and
    those of `ignore` do not count.  Replies of more than `largest`, of unknown length, that set cookies or are for one
    caller only are not shared: the others are then sent themselves.  No more than `waiting` wait for one reply, and no
    more than `most` replies are waited for.
    """

    largest: Size = 256 << 10
    waiting: int = 1000
    most: int = 1000
    ignore: tuple[HeaderName, ...] = ()

    def __post_init__(self) -> None:
        if self.largest < 1 or self.waiting < 1 or self.most < 1:
            raise ValueError("largest, waiting and most are 1 or more")


class Coalesce:
    """Has calls join others."""

    __slots__ = ("_alone", "_groups", "_ignored", "_joined", "_led", "_settings")

    def __init__(self, settings: CoalesceSettings, env: Env) -> None:
        self._settings = settings
        self._ignored = _OF_THE_CALL | FRAMING | {each.lower().encode() for each in settings.ignore}
        self._groups: dict[Hashable, list[Parked[Outcome]]] = {}
        family = Families(env.metrics).coalesced
        self._led, self._joined, self._alone = (family.labels(env.name, each) for each in ("led", "joined", "alone"))

    def __repr__(self) -> str:
        return f"<Coalesce {len(self._groups)} replies waited for>"

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        key = self._key(call)
        return proceed(call) if key is None else self._together(key, call, proceed)

    def explain(self, call: Call) -> Explanation:
        """Say whether the call would join another."""
        key = self._key(call)
        if key is None:
            return Explanation("pass", "it is none that may join another")
        waiting = self._groups.get(key)
        if waiting is None:
            return Explanation("pass", "no such call is under way")
        if len(waiting) >= self._settings.waiting:
            return Explanation("pass", f"{len(waiting)} wait for such a call already")
        return Explanation("reply", "it waits for the reply of one that is under way")

    def _key(self, call: Call) -> Optional[Hashable]:
        """Return what identical calls have in common; None for one that is to be sent in any case."""
        if call.operation not in ("GET", "HEAD") or call.body != b"" or call.upgrade:
            return None
        ignored = self._ignored
        fields = tuple(each[:2] for each in call.headers.fields if each[0] not in ignored)
        return call.operation, call.authority, call.target, call.identity, fields

    async def _together(self, key: Hashable, call: Call, proceed: Proceed) -> Reply:
        while True:
            waiting = self._groups.get(key)
            if waiting is None:
                break
            outcome = _Told.APART if len(waiting) >= self._settings.waiting else await self._wait(waiting)
            if outcome is _Told.APART:
                self._alone.value += 1
                return await proceed(call)
            if not isinstance(outcome, _Told):
                self._joined.value += 1
                return _own(outcome)
        if len(self._groups) >= self._settings.most:
            self._alone.value += 1
            return await proceed(call)
        self._led.value += 1
        return await self._lead(key, call, proceed)

    async def _wait(self, waiting: list[Parked[Outcome]]) -> Outcome:
        parked: Parked[Outcome] = Parked()
        waiting.append(parked)
        try:
            return await parked
        finally:
            if parked in waiting:
                waiting.remove(parked)

    async def _lead(self, key: Hashable, call: Call, proceed: Proceed) -> Reply:
        waiting = self._groups[key] = []
        # Whoever is given up has another of them sent.
        outcome: Outcome = _Told.AGAIN
        try:
            reply = await proceed(call)
            outcome = await self._shared(reply) if waiting else _Told.APART
            return reply
        except MeshError as error:
            # What was this call's own doing says nothing of the others.
            if error.origin is Origin.UPSTREAM:
                outcome = error
            elif error.kind is not Kind.DEADLINE:
                outcome = _Told.APART
            raise
        finally:
            del self._groups[key]
            for each in list(waiting):
                each.fire(outcome)
            # An error's traceback holds this frame: do not make it a cycle.
            del outcome

    async def _shared(self, reply: Reply) -> Outcome:
        """Return a copy with the whole body, if the reply may be shared."""
        body, largest = reply.body, self._settings.largest
        if reply.tunnel is not None or reply.headers.get_all("set-cookie"):
            return _Told.APART
        if directives(reply.headers.get_all("cache-control")).keys() & _PRIVATE:
            return _Told.APART
        size = len(body) if isinstance(body, bytes) else body.length
        if size is None or size > largest:
            return _Told.APART
        whole = body if isinstance(body, bytes) else await body.collect(largest)
        made = reply.twin()
        made.body = whole
        return made


def _own(outcome: Union[Reply, MeshError]) -> Reply:
    """Return what one more caller gets.

    :raises MeshError: that is an error.
    """
    if isinstance(outcome, Reply):
        return outcome.twin()
    raise MeshError(
        outcome.kind,
        outcome.detail,
        origin=outcome.origin,
        retryable=outcome.retryable,
        status=outcome.status,
        headers=outcome.headers,
    )


@implementer(IPlugin, IFilterPlugin)
class _Plugin:
    name = "coalesce"
    settings = CoalesceSettings
    protocols = ("http",)

    def build(self, settings: Any, env: Env) -> Filter:
        return Coalesce(settings, env)


plugin = _Plugin()

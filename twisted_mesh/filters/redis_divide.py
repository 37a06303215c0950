"""Commands of several keys whose keys have different routes: divided among the clusters, or refused.

Stands in the place of a table's `proceed` where routes tell keys of Redis apart; everywhere else there is none.
"""

from __future__ import annotations

from typing import Any, Awaitable, Hashable, Optional, Sequence

from twisted_mesh.call import Completion, Reply
from twisted_mesh.codec.command_kinds import Kind as Where
from twisted_mesh.codec.command_split import Part, merge, split
from twisted_mesh.codec.resp import error
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.filters.attempt import Attempt
from twisted_mesh.filters.route import Table
from twisted_mesh.interfaces import Env, Proceed
from twisted_mesh.park import Parked
from twisted_mesh.policy.apart import Apart
from twisted_mesh.redis_call import RedisCall, RedisReply
from twisted_mesh.redis_pending import answered
from twisted_mesh.redis_words import CROSSED, words_for
from twisted_mesh.stream import ByteStream

# Bytes that the replies to the parts of one call may take.
LONGEST = 256 << 20
# Seconds for which a call waits longer than any of its parts, so that each of these can say so for itself.
_SLACK = 1.0


class Divided:
    """Sends the parts of MGET, MSET, DEL, UNLINK, EXISTS and TOUCH by the routes of their keys, and makes one reply.

    What belongs to one cluster stays together, whichever of its routes that is: it goes by the route of the first key.
    Other commands whose keys belong to several clusters are refused, and spoil a transaction.  In a transaction what
    has no key goes by the route of its first key.

    :param apart: what routes ask for of a command and its key; None if they ask for nothing.
    """

    __slots__ = ("_apart", "_env", "_table")

    def __init__(self, table: Table, apart: Optional[Apart], env: Env) -> None:
        self._table = table
        self._apart = apart
        self._env = env

    def __repr__(self) -> str:
        return f"<Divided {self._table!r}>"

    def __call__(self, call: Any) -> Awaitable[Reply]:
        """Send a call by its route, or its parts by theirs.

        :raises MeshError: `Kind.NO_ROUTE`.
        """
        session = call.session
        if session is None and (call.command.one_key or type(call.body) is not bytes):
            return self._table.proceed(call)
        words = call.words()
        keys = [words[place] for place in call.command.keys(words)]
        if session is not None and session.bound:
            if keys:
                session.key = session.key or keys[0]
            else:
                call.key, call._resource = session.key, None
        owners = self._owners(call, keys) if len(keys) > 1 else []
        if not any(each is not owners[0] for each in owners):
            return self._table.proceed(call)
        if call.command.kind is not Where.SPLIT or session is not None:
            if session is not None:
                session.refused(call.operation)
            return answered(call, CROSSED)
        try:
            parts = split(call.command, words, lambda keys: [id(each) for each in owners])
        except ValueError as wrong:
            return answered(call, error("ERR", str(wrong)))
        return self._divide(call, parts)

    def shares(self, call: RedisCall) -> list[list[bytes]]:
        """Return which keys of a command stay together, in the order of the first of each; one share if all do."""
        words = call.words()
        keys = [words[place] for place in call.command.keys(words) if place < len(words)]
        shares: dict[int, list[bytes]] = {}
        for key, owner in zip(keys, self._owners(call, keys)):
            shares.setdefault(id(owner), []).append(key)
        return list(shares.values())

    def _owners(self, call: RedisCall, keys: Sequence[bytes]) -> list[object]:
        """Return for each key what it belongs to: a cluster, or a route that draws one or answers itself."""
        probe, apart = call.twin(), self._apart
        assert isinstance(probe, RedisCall), "a twin is of the same kind"
        known: dict[Hashable, object] = {}
        owners: list[object] = []
        for key in keys:
            alike = None if apart is None else apart(call.command.name, key)
            owner = known.get(alike)
            if owner is None:
                probe.key, probe._resource = key, None
                owner, sticky = self._owner(probe)
                if not sticky:
                    known[alike] = owner
            owners.append(owner)
        return owners

    def _owner(self, probe: RedisCall) -> tuple[object, bool]:
        """Return what a call belongs to, and whether that depends on more than its route."""
        try:
            route = self._table.find(probe)
        except MeshError:
            return self, False
        if route.sticky:
            route.aim(probe)
            return probe.cluster, True
        return route.targets[0].cluster if len(route.targets) == 1 else route, False

    async def _divide(self, call: RedisCall, parts: Sequence[Part[int]]) -> Reply:
        replies = await _Parts(call, [_part(call, each) for each in parts], self._table.proceed, self._env).run()
        body = merge(call.command, parts, replies)
        return RedisReply(body, errors=int(body.startswith(b"-")))


def _part(call: RedisCall, part: Part[int]) -> RedisCall:
    """Return the call of one part."""
    made = call.twin()
    assert isinstance(made, RedisCall), "a twin is of the same kind"
    data = part.data
    made.commands = [(part.name, part.key, len(part.words), 0, len(data))]
    made.data = made.body = data
    made.bytes_in = len(data)
    made.key, made._resource = part.key, None
    return made


class _Parts:
    """The parts of one call, under way side by side."""

    __slots__ = ("_attempts", "_call", "_env", "_left", "_parked", "_proceed", "_room")

    def __init__(self, call: RedisCall, calls: Sequence[RedisCall], proceed: Proceed, env: Env) -> None:
        self._call = call
        self._attempts = [Attempt(each) for each in calls]
        self._left = len(calls)
        self._parked: Parked[None] = Parked()
        self._proceed = proceed
        self._env = env
        self._room = LONGEST

    async def run(self) -> list[bytes]:
        """Send them; return the reply to each, an error for what failed."""
        kind = Kind.CLIENT_GONE
        try:
            for each in self._attempts:
                each.start(self._proceed, self._ended)
            self._sent()
            await self._parked
            return [await self._reply(each) for each in self._attempts]
        except Cancelled as cancelled:
            kind = cancelled.kind
            raise
        finally:
            for each in self._attempts:
                each.stop(kind)
                each.call.complete(self._env.now(), self._completion_failed)

    def _sent(self) -> None:
        """What the client sends behind it may follow once all parts are sent; it has the time of the slowest."""
        call, calls = self._call, [each.call for each in self._attempts]
        call.attempts = min(each.attempts for each in calls)
        times = [each.timeout for each in calls]
        call.timeout = None if None in times else max(each for each in times if each is not None) + _SLACK
        # For those that want to know one: the access log, the metrics.
        call.route, call.cluster = calls[0].route, calls[0].cluster

    def _ended(self, attempt: Attempt) -> None:
        self._left -= 1
        if not self._left:
            self._parked.fire(None)

    async def _reply(self, attempt: Attempt) -> bytes:
        call = self._call
        call.endpoint = call.endpoint or attempt.call.endpoint
        try:
            body = attempt.result().body
            if isinstance(body, ByteStream):
                body = await body.collect(self._room)
            self._room -= len(body)
            if self._room < 0:
                raise MeshError(Kind.TOO_LARGE, f"more than {LONGEST} bytes of replies from several clusters")
            return body
        except MeshError as failed:
            call.flag(failed.kind)
            call.details = call.details or failed.detail
            return words_for(failed)

    def _completion_failed(self, completion: Completion) -> None:
        self._env.log.failure("{completion!r} failed at the end of a part", completion=completion)

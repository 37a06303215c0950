"""Replies of Redis kept in the sidecar, and let go when the server says that their key has changed.

One connection of the filter's own has CLIENT TRACKING on in broadcasting mode, so that the server tells of every key
that changes, or of those with certain prefixes.  As long as it does not, nothing is kept.
https://valkey.io/topics/client-side-caching/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf
from typing import Any, Awaitable, Optional, Sequence
from weakref import finalize, ref

from twisted.plugin import IPlugin
from zope.interface import implementer

from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Aside
from twisted_mesh.codec.command_classes import operations
from twisted_mesh.codec.commands import Command, find
from twisted_mesh.codec.resp import pack
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env, Explanation, IFilterPlugin, Proceed
from twisted_mesh.model.units import Interval, Size
from twisted_mesh.policy.key_cache import KeyCache
from twisted_mesh.redis_call import RedisCall, RedisReply
from twisted_mesh.redis_session import Session

# What gives the same as long as nothing changes.
KEPT: tuple[str, ...] = (
    *("GET", "STRLEN", "HGET", "HMGET", "HGETALL", "HLEN", "LLEN", "LRANGE"),
    *("SCARD", "SISMEMBER", "SMEMBERS", "ZCARD", "ZRANGE", "ZSCORE"),
)
# Seconds until it is tried again to have the server tell.
AGAIN = 5.0
_KEY = re.compile(rb"\$(\d+)\r\n")
_INTEGER = re.compile(rb":(-?\d+)\r\n").fullmatch


def _known(name: bytes, first: Optional[bytes] = None) -> Command:
    command = find(name, first)
    assert command is not None
    return command


_TRACKING, _PTTL = _known(b"CLIENT", b"TRACKING"), _known(b"PTTL")


@dataclass(frozen=True)
class TrackedCacheSettings:
    """`size` bytes of replies are kept, each for `ttl` at the most: of `commands`, of keys with one of `prefixes`."""

    size: Size = 16 * 1024 * 1024
    ttl: Interval = 60.0
    commands: tuple[str, ...] = KEPT
    prefixes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = operations([each.upper() for each in self.commands])
        for each in self.commands:
            if each.upper() not in names:
                raise ValueError(f"{each} is no command of Redis")
        odd = [each for each in names if not _keepable(each)]
        if odd:
            raise ValueError(f"{odd[0]} is no read of one key, and cannot be kept")
        if self.size < 1024:
            raise ValueError("size is 1KiB or more")


def _keepable(name: str) -> bool:
    command = find(name.encode())
    if command is None or not command.read_only or name == "SORT_RO":
        # That one may read keys that its patterns name, of which servers tell nothing.
        return False
    return len(command.specs) == 1 and command.specs[0].last == 0


class TrackedCache:
    """The filter; for routes to clusters whose keys are all at one primary, which answers the reads as well.

    A client sees what it has written by way of this route at once.  What was written elsewhere, also by another route,
    it sees as soon as the server's word of it is here, which is a moment later.
    """

    __slots__ = (
        "__weakref__",
        "_cache",
        "_cluster",
        "_commands",
        "_counted",
        "_env",
        "_next_try",
        "_prefixes",
        "_session",
        "_tracks",
    )

    def __init__(self, settings: TrackedCacheSettings, env: Env) -> None:
        self._env = env
        self._cache = KeyCache(settings.size, settings.ttl)
        self._commands = frozenset(each.upper() for each in settings.commands)
        self._prefixes = tuple(each.encode() for each in settings.prefixes)
        self._session: Optional[Session] = None
        self._tracks = False
        self._next_try = 0.0
        # The one whose server tells.
        self._cluster: Any = None
        families = Families(env.metrics)
        chain = env.name.rpartition("/")[0] or env.name
        self._counted = {each: families.redis_cached.labels(chain, each) for each in ("hit", "miss")}

    def __repr__(self) -> str:
        return f"<TrackedCache {'on' if self._tracks else 'off'} {self._cache!r}>"

    def __call__(self, call: Any, proceed: Proceed) -> Awaitable[Reply]:
        if call.write or not call.command.read_only or call.session is not None:
            self._written(call)
            return proceed(call)
        key = call.key
        if not self._concerned(call):
            return proceed(call)
        if not self._tracks or call.cluster is not self._cluster:
            if not self._tracks:
                self._track(call, proceed)
            return proceed(call)
        question = (call.body, call.db, call.resp)
        known = self._cache.get(key, question, self._env.now())
        if known is not None:
            self._counted["hit"].value += 1
            return _given(known)
        self._counted["miss"].value += 1
        return self._ask(call, key, question, proceed)

    def _concerned(self, call: Any) -> bool:
        """Whether a read is one whose reply may be kept."""
        if call.count != 1 or call.operation not in self._commands or type(call.body) is not bytes:
            return False
        return not self._prefixes or call.key.startswith(self._prefixes)

    def explain(self, call: Any) -> Explanation:
        """Say whether a reply is kept; it is one look that does not count as use."""
        if call.write or not call.command.read_only or not self._concerned(call):
            return Explanation("pass", "its reply is none that is kept")
        if not self._tracks or call.cluster is not self._cluster:
            return Explanation("pass", "nothing is kept while the server does not tell of changes")
        if self._cache.has(call.key, (call.body, call.db, call.resp), self._env.now()):
            return Explanation("reply", f"from what is kept of {len(self._cache)} keys")
        return Explanation("pass", "its reply is not kept yet")

    async def _ask(self, call: RedisCall, key: bytes, question: Any, proceed: Proceed) -> Reply:
        token = self._cache.ask(key)
        body: Optional[bytes] = None
        try:
            reply = await proceed(call)
            if isinstance(reply, RedisReply) and isinstance(reply.body, bytes) and not reply.errors:
                body = reply.body
            return reply
        finally:
            if body is None:
                self._cache.answer(key, token, question, None, self._env.now())
            else:
                self._keep(call, key, token, question, body, proceed)

    def _keep(self, call: RedisCall, key: bytes, token: object, question: Any, body: bytes, proceed: Proceed) -> None:
        """Keep a reply for as long as its key lives, which is asked behind it.

        A server tells that a key has come to its end when it notices, which may be some time later.
        """
        now = self._env.now()
        asked = self._call(call, _PTTL, [b"PTTL", key], now)
        asked.key, asked.db, asked.identity = key, call.db, call.identity

        def answered(ended: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
            ended.complete(self._env.now(), self._completion_failed)
            said = _INTEGER(reply.body) if isinstance(reply, RedisReply) and isinstance(reply.body, bytes) else None
            # -1 is one without an end, -2 none at all: if one has just ended, the server notices, and tells.
            life = -1 if said is None else int(said[1])
            kept = None if said is None else body
            self._cache.answer(key, token, question, kept, self._env.now(), inf if life < 0 else now + life / 1000)

        Aside("cache", asked, answered).start(proceed)

    def _written(self, call: Any) -> None:
        """Let go of what a command may change, now and once it is done: in between the old may be read again."""
        keys: list[bytes] = []
        for at in range(call.count):
            words = call.words(at)
            places = call.row(at).keys(words)
            if not places and (call.write or call.command.write):
                keys = []
                break
            keys += [words[place] for place in places]
        self._forget(keys)
        call.on_complete(lambda ended: self._forget(keys))

    def _forget(self, keys: list[bytes]) -> None:
        if not keys:
            self._cache.clear()
        for key in keys:
            self._cache.forget(key)

    # --- what the server tells

    def _track(self, asked: RedisCall, proceed: Proceed) -> None:
        """Have the server tell of changes, over a connection of our own; once in a while, until it does."""
        now = self._env.now()
        if now < self._next_try:
            return
        self._next_try = now + AGAIN
        obstacle = _obstacle(asked)
        if obstacle:
            self._next_try = inf
            self._env.log.error("{name}: nothing is kept: {why}", name=self._env.name, why=obstacle)
            return
        self._cluster = asked.cluster
        # A filter that a reload has left behind must not be kept by its connection, and must let go of it.
        filter_of = ref(self)

        def tell(text: bytes) -> None:
            live = filter_of()
            if live is not None:
                live.told(text)

        def lost(why: str) -> None:
            live = filter_of()
            if live is not None:
                live.lost(why)

        session = self._session = Session(tell, lost)
        finalize(self, session.end)
        session.tracking = True
        words = [b"CLIENT", b"TRACKING", b"ON", b"BCAST"]
        for each in self._prefixes:
            words += [b"PREFIX", each]
        call = self._call(asked, _TRACKING, words, now)
        call.session, call.resp, call.version, call.write = session, 3, "3", True
        Aside("cache", call, self._answered).start(proceed)

    @staticmethod
    def _call(asked: RedisCall, command: Command, words: Sequence[bytes], now: float) -> RedisCall:
        """Return a call of our own, to where another one goes."""
        data = pack(words)
        call = RedisCall(asked.listener, command, [(words[0], words[1], len(words), 0, len(data))], data, data)
        call.route, call.started, call.received = asked.route, now, now
        call.cluster = asked.cluster
        return call

    def _answered(self, call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        call.complete(self._env.now(), self._completion_failed)
        body = reply.body if isinstance(reply, RedisReply) else b""
        if body == b"+OK\r\n":
            self._cache.clear()
            self._tracks = True
            return
        said = body[1:-2].decode("utf-8", "replace") if isinstance(body, bytes) and body else str(error)
        self._env.log.warn(
            "{name}: nothing is kept, as the server does not tell: {said}", name=self._env.name, said=said
        )
        if self._session is not None:
            self._session.end()

    def _completion_failed(self, completion: Any) -> None:
        self._env.log.failure("{completion!r} failed", completion=completion)

    def told(self, text: bytes) -> None:
        """The server has said something: which keys have changed, or that all may have."""
        if b"invalidate" not in text[:24]:
            return
        at = text.index(b"invalidate\r\n") + 12
        if text[at : at + 1] != b"*":
            self._cache.clear()
            return
        at = text.index(b"\r\n", at) + 2
        while found := _KEY.match(text, at):
            end = found.end() + int(found[1])
            self._cache.forget(text[found.end() : end])
            at = end + 2

    def lost(self, why: str) -> None:
        """The connection is gone: nobody tells any more."""
        self._tracks = False
        self._cache.clear()
        self._next_try = 0.0
        self._env.log.info("{name}: everything kept is let go: {why}", name=self._env.name, why=why)


def _obstacle(call: RedisCall) -> str:
    """Return why what a server tells would not be enough; empty if it is."""
    if call.cluster is None:
        return "it has to be a filter of a route, since only a route knows the cluster"
    servers = getattr(getattr(call.cluster, "config", None), "redis", None)
    if servers is not None and servers.read != "primary":
        return f"the cluster {call.cluster.name} has reads answered by replicas, which may not know yet what is told"
    return ""


async def _given(body: bytes) -> Reply:
    return RedisReply(body, 1, local=True, sound=True)


@implementer(IPlugin, IFilterPlugin)
class TrackedCachePlugin:
    """Makes the filter."""

    name = "tracked_cache"
    settings = TrackedCacheSettings
    protocols = ("redis",)

    def build(self, settings: TrackedCacheSettings, env: Env) -> TrackedCache:
        """Return a filter for one chain."""
        return TrackedCache(settings, env)


plugin = TrackedCachePlugin()

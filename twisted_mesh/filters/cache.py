"""A small cache of replies: what may be kept by RFC 9111 is answered without asking anybody, for a time.

It keeps whole replies to GET in memory, bounded by bytes; what was used longest ago goes first.  What it may keep, and
for how long, is decided in `policy/freshness`.  It is the sidecar's own, and empty after a start.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Awaitable, NamedTuple, Optional

from twisted.plugin import IPlugin
from zope.interface import implementer

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.families import Families
from twisted_mesh.headers import Field, Headers
from twisted_mesh.interfaces import Env, Explanation, Filter, IFilterPlugin, Proceed
from twisted_mesh.model.units import Interval, Size
from twisted_mesh.policy.freshness import Kept, Wish, kept, same_tag, wish

# Envoy's name for a reply that comes from a cache.
CACHED = "RFCF"
# What an entry weighs beside its body and its fields.
_OVERHEAD = 512
# Replies that differ by fields of the request, for one target.
_VARIANTS = 8
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# They belong to one answer only, or the adapter writes them.
_NOT_KEPT = frozenset({b"age", b"connection", b"content-length", b"transfer-encoding", b"keep-alive", b"trailer"})

Target = tuple[str, bytes]


@dataclass(frozen=True)
class CacheSettings:
    """Keeps replies to GET, and answers with them while they are fresh.

    What a reply says of caches (Cache-Control, Expires, Vary) holds, but none is kept for longer than `longest`; one
    that says nothing is kept for `ttl`, if that is given.  Not kept are replies that set cookies, those of callers with
    Authorization or an identity unless the reply says that it is for all, and bodies over `largest` or of unknown
    length.  `size` is the memory for all.  What changes a target by another method drops what is kept of it.
    """

    size: Size = 16 << 20
    largest: Size = 256 << 10
    ttl: Optional[Interval] = None
    longest: Interval = 3600.0

    def __post_init__(self) -> None:
        if self.largest < 1 or self.size < self.largest + _OVERHEAD:
            raise ValueError("largest is 1 byte or more, and size more than that")


class _Entry(NamedTuple):
    status: int
    reason: bytes
    fields: list[Field]
    body: bytes
    # When it came, and how old it was then; until when it is fresh.
    came: float
    age: float
    ends: float
    # The fields of requests that it was chosen by.
    vary: tuple[tuple[str, tuple[str, ...]], ...]
    weight: int


class Cache:
    """Answers calls of HTTP with what was answered before."""

    __slots__ = ("_cells", "_entries", "_env", "_held", "_settings", "_weight")

    def __init__(self, settings: CacheSettings, env: Env) -> None:
        self._settings = settings
        self._env = env
        self._entries: OrderedDict[Target, list[_Entry]] = OrderedDict()
        self._weight = 0
        families = Families(env.metrics)
        self._cells = {
            each: families.cache_calls.labels(env.name, each)
            for each in ("hit", "miss", "bypass", "unkept", "kept", "dropped")
        }
        self._held = families.cache_bytes.labels(env.name)

    def __repr__(self) -> str:
        return f"<Cache of {len(self._entries)} targets, {self._weight} bytes>"

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        if call.operation not in _SAFE:
            return self._changing(call, proceed)
        asked = self._wish(call)
        if asked.bypass:
            self._cells["bypass"].value += 1
            return proceed(call)
        found = None if asked.renew else self._find(call, asked)
        if found is not None:
            return self._answer(call, found)
        return self._asking(call, proceed, asked)

    def explain(self, call: Call) -> Explanation:
        """Say whether a reply to the call is kept."""
        asked = self._wish(call)
        if call.operation not in _SAFE or asked.bypass:
            return Explanation("pass", "it is not for a cache")
        found = None if asked.renew else self._find(call, asked)
        if found is None:
            return (
                Explanation("refuse", "504: nothing is kept") if asked.only else Explanation("pass", "nothing is kept")
            )
        return Explanation("reply", f"{found.status} is kept, fresh for {found.ends - self._env.now():.1f} s")

    def _wish(self, call: Call) -> Wish:
        plain = call.operation == "GET" and call.body == b"" and not call.upgrade and "range" not in call.headers
        return wish(call.headers) if plain else Wish(bypass=True)

    # --- what is kept

    def _find(self, call: Call, asked: Wish) -> Optional[_Entry]:
        now = self._env.now()
        for each in self._entries.get(_target(call), ()):
            age = each.age + now - each.came
            fresh = each.ends - now > asked.least_left and (asked.most_age is None or age <= asked.most_age)
            if fresh and all(tuple(call.headers.get_all(name)) == values for name, values in each.vary):
                return each
        return None

    async def _answer(self, call: Call, found: _Entry) -> Reply:
        self._entries.move_to_end(_target(call))
        self._cells["hit"].value += 1
        call.flag(CACHED)
        headers = Headers(found.fields.copy())
        headers.set("Age", str(int(found.age + self._env.now() - found.came)))
        etag, tags = headers.get("etag"), ",".join(call.headers.get_all("if-none-match"))
        if tags and etag and found.status == 200 and same_tag(tags, etag):
            return Reply(304, headers, local=True)
        return Reply(found.status, headers, found.body, reason=found.reason, local=True)

    async def _asking(self, call: Call, proceed: Proceed, asked: Wish) -> Reply:
        if asked.only:
            raise MeshError(Kind.NO_ENDPOINT, "nothing is kept of it", origin=Origin.CLIENT, status=504)
        self._cells["miss"].value += 1
        # As they are now: filters further in may change them.
        target, headers = _target(call), call.headers.copy()
        reply = await proceed(call)
        personal = call.identity is not None or "authorization" in headers
        wall = self._env.wall()
        found = kept(reply.status, reply.headers, personal=personal, default=self._settings.ttl, now=wall)
        body = None if found is None else await self._body(reply)
        if found is None or body is None:
            self._cells["unkept"].value += 1
        else:
            self._keep(target, headers, reply, body, found)
        return reply

    async def _body(self, reply: Reply) -> Optional[bytes]:
        """Return the body of a reply if it is small and whole, or soon will be."""
        body, largest = reply.body, self._settings.largest
        if reply.tunnel is not None or reply.trailers:
            return None
        if isinstance(body, bytes):
            return body if len(body) <= largest else None
        if body.length is None or body.length > largest:
            return None
        # It is delivered all the same; what cuts it cuts the call.
        return await body.collect(largest)

    def _keep(self, target: Target, headers: Headers, reply: Reply, body: bytes, found: Kept) -> None:
        fields = [each for each in reply.headers.fields if each[0] not in _NOT_KEPT]
        vary = tuple((name, tuple(headers.get_all(name))) for name in found.vary)
        weight = len(body) + sum(len(each[2]) for each in fields) + len(target[1]) + _OVERHEAD
        weight += sum(len(value) for _, values in vary for value in values)
        if weight > self._settings.size:
            self._cells["unkept"].value += 1
            return
        now = self._env.now()
        ends = now + min(found.lifetime, self._settings.longest)
        entry = _Entry(reply.status, reply.reason, fields, body, now, found.age, ends, vary, weight)
        others = [each for each in self._entries.pop(target, []) if self._stays(each, entry, now)]
        self._entries[target] = [entry, *others]
        self._weight += weight
        self._cells["kept"].value += 1
        self._make_room()

    def _stays(self, each: _Entry, entry: _Entry, now: float) -> bool:
        """Whether a reply is still worth its room beside a new one for the same target."""
        stays = each.vary != entry.vary and each.ends > now
        self._weight -= 0 if stays else each.weight
        return stays

    def _make_room(self) -> None:
        newest = next(reversed(self._entries))
        variants = self._entries[newest]
        while len(variants) > _VARIANTS:
            self._weight -= variants.pop().weight
            self._cells["dropped"].value += 1
        while self._weight > self._settings.size:
            if len(self._entries) > 1:
                _, gone = self._entries.popitem(last=False)
            else:
                gone = [variants.pop()]
            self._weight -= sum(each.weight for each in gone)
            self._cells["dropped"].value += len(gone)
        self._held.value = self._weight

    async def _changing(self, call: Call, proceed: Proceed) -> Reply:
        """RFC 9111, section 4.4: what may have changed a target drops what is kept of it."""
        target = _target(call)
        reply = await proceed(call)
        if reply.status < 400:
            gone = self._entries.pop(target, [])
            self._weight -= sum(each.weight for each in gone)
            self._cells["dropped"].value += len(gone)
            self._held.value = self._weight
        return reply


def _target(call: Call) -> Target:
    return call.authority.lower(), call.target


@implementer(IPlugin, IFilterPlugin)
class _Plugin:
    name = "cache"
    settings = CacheSettings
    protocols = ("http",)

    def build(self, settings: Any, env: Env) -> Filter:
        return Cache(settings, env)


plugin = _Plugin()

"""Keeps the clients of Redis to keys of their own: a prefix is put before each key, and nobody sees it.

So several tenants share servers without knowing of each other.  What would see or change other keys is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Awaitable, Callable

from twisted.plugin import IPlugin
from zope.interface import implementer

from twisted_mesh.call import Call, Reply
from twisted_mesh.codec.key_prefix import (
    ANY_KEY,
    NAMING,
    QUOTING,
    NotConfined,
    is_notification,
    prefixed,
    prefixed_head,
    stripped,
    stripped_each,
    stripped_invalidation,
    unquoted,
)
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.interfaces import Env, Explanation, IFilterPlugin, Proceed
from twisted_mesh.redis_call import RedisReply
from twisted_mesh.stream import ByteStream

_IDENTITY, _LISTENER = "%IDENTITY%", "%LISTENER%"


@dataclass(frozen=True)
class KeyPrefixSettings:
    """`prefix` stands before every key; `%IDENTITY%` in it is the user's name, `%LISTENER%` the listener's."""

    prefix: str

    def __post_init__(self) -> None:
        if not self.prefix:
            raise ValueError("prefix must not be empty")
        if "%" in self.prefix.replace(_IDENTITY, "").replace(_LISTENER, ""):
            raise ValueError(f"of what stands between % prefix may hold {_IDENTITY} and {_LISTENER}, got {self.prefix}")


class KeyPrefix:
    """The filter.  Routes and filters further in see the keys with their prefix.

    Channels have no keys and are left as they are, and so is what scripts do beyond the keys that they are given.
    """

    __slots__ = ("_by_identity", "_prefix")

    def __init__(self, settings: KeyPrefixSettings, env: Env) -> None:
        self._prefix = settings.prefix
        self._by_identity = _IDENTITY in settings.prefix

    def __repr__(self) -> str:
        return f"<KeyPrefix {self._prefix}>"

    def __call__(self, call: Any, proceed: Proceed) -> Awaitable[Reply]:
        prefix = self._prefix_of(call)
        if isinstance(call.body, ByteStream):
            self._rewrite_stream(call, prefix)
            return proceed(call)
        made = self._rewrite(call, prefix)
        session, name = call.session, call.operation
        if name == "EXEC":
            return self._strip_each(call, proceed, prefix)
        if name in _TOLD and session is not None and not isinstance(session.tell, _Told):
            session.tell = _Told(session.tell, prefix)
        keys = None if name in ANY_KEY else {key for each in made for key in each} if name in NAMING else _NO_KEYS
        if session is not None and session.multi:
            # Its reply is a part of that to EXEC.
            session.queued.append(keys)
        if name in NAMING:
            return self._strip(call, proceed, prefix, keys)
        if any(call.row(at).name in QUOTING for at in range(call.count)):
            return self._unquote(call, proceed, prefix)
        return proceed(call)

    def explain(self, call: Any) -> Explanation:
        """Change the keys of the imaginary call, too."""
        prefix = self._prefix_of(call)
        self._rewrite(call, prefix)
        return Explanation("change", f"{prefix.decode('utf-8', 'replace')} before each key")

    def _rewrite(self, call: Any, prefix: bytes) -> list[list[bytes]]:
        """Put the prefix before every key; returns the words that the commands have then."""
        words = [call.words(at) for at in range(call.count)]
        try:
            made = [prefixed(call.row(at), each, prefix) for at, each in enumerate(words)]
        except NotConfined as error:
            raise MeshError(Kind.DENIED, str(error), origin=Origin.CLIENT) from None
        if made != words:
            call.rewrite(made)
        return made

    def _prefix_of(self, call: Call) -> bytes:
        if self._by_identity and not call.identity:
            raise MeshError(Kind.DENIED, "whose keys these are is not known", origin=Origin.CLIENT)
        text = self._prefix.replace(_IDENTITY, call.identity or "").replace(_LISTENER, call.listener)
        return text.encode("utf-8", "surrogateescape")

    def _rewrite_stream(self, call: Any, prefix: bytes) -> None:
        """A command whose large value is still coming: its key is in the first piece."""
        change: list[Callable[[bytes], bytes]] = [lambda data: prefixed_head(data, prefix)]
        call.body = call.body.map(lambda data: change.pop()(data) if change else data)
        call.key = prefix + call.key
        call._resource = None
        name, first, *rest = call.commands[0]
        call.commands = ((name, prefix + (first or b""), *rest),)

    async def _strip(self, call: Any, proceed: Proceed, prefix: bytes, keys: Any) -> Reply:
        return await _changed(await proceed(call), lambda body: stripped(body, prefix, keys))

    async def _unquote(self, call: Any, proceed: Proceed, prefix: bytes) -> Reply:
        return await _changed(await proceed(call), lambda body: unquoted(body, prefix))

    async def _strip_each(self, call: Any, proceed: Proceed, prefix: bytes) -> Reply:
        queued, call.session.queued = call.session.queued, []
        return await _changed(await proceed(call), lambda body: stripped_each(body, prefix, queued))


async def _changed(reply: Reply, change: Callable[[bytes], bytes]) -> Reply:
    if not isinstance(reply, RedisReply):
        return reply
    body = reply.body
    if isinstance(body, ByteStream):
        body = await body.collect(_LONGEST)
    return RedisReply(change(body), reply.count, errors=reply.errors)


class _Told:
    """Tells a client which of its keys have changed, by the names that it knows, and nothing of those of others."""

    __slots__ = ("_prefix", "_tell")

    def __init__(self, tell: Callable[[bytes], None], prefix: bytes) -> None:
        self._tell = tell
        self._prefix = prefix

    def __call__(self, text: bytes) -> None:
        # A pattern such as * is for a server's notifications of keys as well.
        if not is_notification(text):
            self._tell(stripped_invalidation(text, self._prefix))


# What has a server tell something later.
_TOLD = frozenset(["CLIENT|TRACKING", "PSUBSCRIBE"])
# Of a command whose reply names none.
_NO_KEYS: frozenset[bytes] = frozenset()


# Bytes of a reply that are put together to take prefixes away.
_LONGEST = 64 * 1024 * 1024


@implementer(IPlugin, IFilterPlugin)
class KeyPrefixPlugin:
    """Makes the filter."""

    name = "key_prefix"
    settings = KeyPrefixSettings
    protocols = ("redis",)

    def build(self, settings: KeyPrefixSettings, env: Env) -> KeyPrefix:
        """Return a filter for one chain."""
        return KeyPrefix(settings, env)


plugin = KeyPrefixPlugin()

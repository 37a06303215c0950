"""A worked example: callers show a key, and the call gets their name.

    filters:
      - api_key: {keys: {mobile: "file:/run/secrets/mobile", partner: "${PARTNER_KEY}"}}

It decides before the call goes on and wants nothing of the reply, so it is a plain method and no coroutine.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Awaitable, Mapping, Optional

from zope.interface import implementer

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.interfaces import Env, Explanation, Filter, IFilterPlugin, IPlugin, Proceed
from twisted_mesh.model.fields import HeaderName


@dataclass(frozen=True)
class ApiKeySettings:
    """`keys` holds a key for each caller; `header` is where they show it.

    The upstream does not see the key unless `forward` says so.
    """

    keys: Mapping[str, str]
    header: HeaderName = "x-api-key"
    forward: bool = False

    def __post_init__(self) -> None:
        if not self.keys or not all(self.keys.values()):
            raise ValueError("keys wants a key for at least one caller, and none that is empty")
        if len(set(self.keys.values())) < len(self.keys):
            raise ValueError("two callers have the same key")


class ApiKey:
    """Sets ``call.identity`` to the caller's name, or refuses the call.

    :raises MeshError: `Kind.UNAUTHENTICATED` (401) without a key, `Kind.DENIED` (403) with one that nobody has.
    """

    def __init__(self, settings: ApiKeySettings, env: Env) -> None:
        self._header = settings.header
        self._forward = settings.forward
        # By digest, so that how long the look-up takes says nothing about the keys.
        self._callers = {_digest(key): name for name, key in settings.keys.items()}
        self._calls = env.metrics.counter(
            "twisted_mesh_filter_api_key_total",
            "Calls by the caller that their key belongs to; none and unknown were refused.",
            ("caller",),
        )

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        caller = self._caller(call.headers.get(self._header))
        self._calls.labels(caller).value += 1
        call.identity = caller
        if not self._forward:
            call.headers.remove(self._header)
        return proceed(call)

    def explain(self, call: Call) -> Explanation:
        """Say whose key it is, and count nothing."""
        key = call.headers.get(self._header)
        caller = None if key is None else self._callers.get(_digest(key))
        if caller is None:
            return Explanation("refuse", "there is no key" if key is None else "nobody has this key")
        call.identity = caller
        if not self._forward:
            call.headers.remove(self._header)
        return Explanation("change", f"the caller is {caller}")

    def _caller(self, key: Optional[str]) -> str:
        if key is None:
            self._calls.labels("none").value += 1
            raise MeshError(Kind.UNAUTHENTICATED, f"send your key as {self._header}", origin=Origin.CLIENT)
        caller = self._callers.get(_digest(key))
        if caller is None:
            self._calls.labels("unknown").value += 1
            raise MeshError(Kind.DENIED, "nobody has this key", origin=Origin.CLIENT)
        return caller


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8")).digest()


@implementer(IPlugin, IFilterPlugin)
class ApiKeyPlugin:
    """How the mesh finds and builds it."""

    name = "api_key"
    settings = ApiKeySettings
    protocols = ("http",)

    def build(self, settings: Any, env: Env) -> Filter:
        return ApiKey(settings, env)


plugin = ApiKeyPlugin()

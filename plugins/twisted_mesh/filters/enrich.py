"""A worked example: asks a service about the caller, and tells the upstream what it said.

    filters:
      - api_key: {keys: {mobile: "${MOBILE_KEY}"}}
      - enrich: {url: "http://127.0.0.1:9100/callers/", field: plan, header: x-caller-plan, limit: 250ms, keep: 1m}

It waits for something outside before the call goes on, and changes the reply behind it.  A service that is down or slow
costs the upstream its header and no caller the call.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Optional
from urllib.parse import quote

from twisted.internet.defer import Deferred
from zope.interface import implementer

from twisted_mesh.call import Call, Reply
from twisted_mesh.headers import field
from twisted_mesh.interfaces import Env, Filter, IFilterPlugin, IPlugin, Proceed
from twisted_mesh.model.fields import SetHeaderName
from twisted_mesh.model.units import Duration

# Bytes of an answer: a profile that is larger is a mistake.
LONGEST_ANSWER = 64 * 1024
# Callers that are remembered; the one that was not asked about for longest goes first.
MOST_KEPT = 10_000


@dataclass(frozen=True)
class EnrichSettings:
    """Asks for `url` + the call's identity, and sets `header` to what the JSON answer has as `field`.

    An answer is waited for no longer than `limit`, and good for as long as `keep`.
    """

    url: str
    field: str
    header: SetHeaderName
    limit: Duration = 0.25
    keep: Duration = 60.0


class Enrich:
    """Sets a request header from what a service knows, and says in ``server-timing`` what that took."""

    def __init__(self, settings: EnrichSettings, env: Env) -> None:
        self._settings = settings
        self._env = env
        self._kept: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._well = True
        self._lookups = env.metrics.counter(
            "twisted_mesh_filter_enrich_total", "Lookups by how they ended: kept, asked or failed.", ("outcome",)
        )

    async def __call__(self, call: Call, proceed: Proceed) -> Reply:
        call.headers.remove(self._settings.header)  # nobody but us says this
        if call.identity is None:
            return await proceed(call)
        began = self._env.now()
        value = await self._value(call.identity)
        took = self._env.now() - began
        if value is not None:
            call.headers.set(self._settings.header, value)
        reply = await proceed(call)
        reply.headers.add("server-timing", f"enrich;dur={took * 1000:.1f}")
        return reply

    async def _value(self, who: str) -> Optional[str]:
        known = self._kept.get(who)
        if known is not None and self._env.now() < known[0]:
            self._kept.move_to_end(who)
            self._lookups.labels("kept").value += 1
            return known[1]
        try:
            # A Deferred, so that one limit stands over the head of the answer and its body.
            value = await Deferred.fromCoroutine(self._ask(who)).addTimeout(self._settings.limit, self._env.clock)
        except Exception:
            self._failed(who)
            return None
        self._well = True
        self._lookups.labels("asked").value += 1
        self._keep(who, value)
        return value

    async def _ask(self, who: str) -> str:
        response = await self._env.http.get(self._settings.url + quote(who, safe=""))
        if response.code != 200:
            raise ValueError(f"status {response.code}")
        if not isinstance(response.length, int) or response.length > LONGEST_ANSWER:
            raise ValueError(f"an answer of {response.length} bytes")
        value = str((await response.json())[self._settings.field])
        field(self._settings.header, value)  # raises if it cannot be a header's value
        return value

    def _keep(self, who: str, value: str) -> None:
        self._kept[who] = (self._env.now() + self._settings.keep, value)
        self._kept.move_to_end(who)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def _failed(self, who: str) -> None:
        self._lookups.labels("failed").value += 1
        if self._well:
            # Once, until it is well again; the counter has the rest.
            self._well = False
            self._env.log.failure("asking {url} about {who} failed", url=self._settings.url, who=who)


@implementer(IPlugin, IFilterPlugin)
class EnrichPlugin:
    """How the mesh finds and builds it."""

    name = "enrich"
    settings = EnrichSettings
    protocols = ("http",)

    def build(self, settings: Any, env: Env) -> Filter:
        return Enrich(settings, env)


plugin = EnrichPlugin()

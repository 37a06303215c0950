"""The route's timeout: from the end of the request to the reply head, all tries and back-off included.

Nothing here waits.  The listener's sweep compares numbers and cancels a call whose time is up, or whose caller said
that it waits no longer; this layer gives the cancellation its meaning, after everything further in has cleaned up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.plugin import IPlugin
from zope.interface import implementer

from twisted_mesh.call import Call, Reply, deadline_passed, out_of_time
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.interfaces import Env, Filter, IFilterPlugin, Proceed

# What a cancellation says whose time is up.
LATE = frozenset((Kind.TIMEOUT, Kind.DEADLINE))


@dataclass(frozen=True)
class TimeoutSettings:
    """There is nothing to set here: the time is the route's `timeout`."""


async def timeout(call: Call, proceed: Proceed) -> Reply:
    """Turn the sweep's cancellation into a `MeshError` of its kind; let every other one through."""
    try:
        return await proceed(call)
    except Cancelled as cancelled:
        if cancelled.kind not in LATE:
            raise
        raise timed_out(call, cancelled.kind) from cancelled


def timed_out(call: Call, kind: Kind) -> MeshError:
    """Return what the sweep's cancellation of a call means.

    :param kind: one of `LATE`.
    """
    return deadline_passed(call) if kind is Kind.DEADLINE else out_of_time(call)


@implementer(IPlugin, IFilterPlugin)
class _Plugin:
    name = "timeout"
    settings = TimeoutSettings
    protocols = ("http", "tcp", "redis")

    def build(self, settings: Any, env: Env) -> Filter:
        return timeout


plugin = _Plugin()

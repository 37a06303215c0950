"""Calls whose connections are limited by priority: each such priority keeps connections of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Awaitable

from twisted_mesh.call import Call, Reply
from twisted_mesh.upstream.http_forward import HttpForward

if TYPE_CHECKING:
    from twisted_mesh.interfaces import Env
    from twisted_mesh.net.connect import Connector
    from twisted_mesh.upstream.cluster import Cluster


class HttpByPriority:
    """An `HttpForward` for each priority whose connections have a limit of their own, and one for all other calls.

    A connection is lent to calls of the kind that it was made for and to no others: what is kept idle for one priority
    would have to be taken from it else.
    """

    def __init__(self, cluster: Cluster, connector: Connector, env: Env) -> None:
        self._others = HttpForward(cluster, connector, env)
        self._own = {each: HttpForward(cluster, connector, env, each) for each in cluster.connection_limits.own}

    def __repr__(self) -> str:
        return f"<HttpByPriority {self._others!r}, {len(self._own)} priorities have their own>"

    def __call__(self, call: Call) -> Awaitable[Reply]:
        """Send the call over the connections of its priority; as `HttpForward`."""
        return self._own.get(call.priority, self._others)(call)

    def start(self) -> None:
        """Look after the connections that endpoints bring along."""
        for each in (self._others, *self._own.values()):
            each.start()

    def stop(self) -> None:
        """Look after nothing any more."""
        for each in (self._others, *self._own.values()):
            each.stop()

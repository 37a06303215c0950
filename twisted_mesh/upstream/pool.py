"""The HTTP/1.1 connections to one endpoint."""

from __future__ import annotations

import math
import sys
from collections import deque
from typing import TYPE_CHECKING, Callable, Optional

from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.park import Parked
from twisted_mesh.upstream.http1 import HttpUpstream
from twisted_mesh.upstream.http_link import HttpLink

if TYPE_CHECKING:
    from twisted_mesh.cells import UpstreamCells
    from twisted_mesh.codec.response import ResponseReader
    from twisted_mesh.interfaces import Env
    from twisted_mesh.model import Pool as PoolOptions
    from twisted_mesh.net.connect import Connector
    from twisted_mesh.upstream.connections import Connections
    from twisted_mesh.upstream.endpoint import Endpoint

# Seconds between two log lines about the same habit of an endpoint.
LOG_EVERY = 10.0


class HttpPool:
    """Lends connections to one endpoint, and keeps those that come back.

    The connection used last is lent first, so that the others grow old and close.  At most `max_connections` are open;
    past that calls wait, `max_pending` of them at most and `pending_timeout` seconds at most.
    """

    __slots__ = (
        "_connect_timeout",
        "_connector",
        "_env",
        "_handing_out",
        "_max_idle",
        "_max_uses",
        "_reader",
        "_shared",
        "_surplus_at",
        "_unsaid",
        "cells",
        "draining",
        "endpoint",
        "idle",
        "now",
        "open",
        "options",
        "waiting",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        options: PoolOptions,
        connect_timeout: float,
        env: Env,
        connector: Connector,
        reader: ResponseReader,
        cells: UpstreamCells,
        shared: Optional[Connections] = None,
    ) -> None:
        self.endpoint = endpoint
        self.cells = cells
        self.idle: list[HttpLink] = []
        self.open = 0
        self.waiting: deque[Parked[None]] = deque()
        self.draining = False
        self._handing_out = False
        self._surplus_at = -math.inf
        self._unsaid = 0
        self.now: Callable[[], float] = env.now
        self._env = env
        self._connector = connector
        self._reader = reader
        self._shared: Optional[Connections] = None
        self.configure(options, connect_timeout, shared)

    def __repr__(self) -> str:
        state = "draining " if self.draining else ""
        return f"<HttpPool {state}{self.open} open, {len(self.idle)} idle, {len(self.waiting)} waiting>"

    def configure(self, options: PoolOptions, connect_timeout: float, shared: Optional[Connections] = None) -> None:
        """Go by these options from now on.

        :param shared: counts the connections of the whole cluster; None where they are not limited.
        """
        if shared is not self._shared:
            if self._shared is not None:
                self._shared.leave(self, self.open)
            if shared is not None:
                shared.join(self, self.open)
            self._shared = shared
        self.options = options
        self._max_idle = options.max_idle
        self._max_uses = options.max_requests or sys.maxsize
        self._connect_timeout = connect_timeout
        self.next()

    async def connect(self) -> HttpLink:
        """Return a connection, usually a new one; a call that has to wait may get one that came back.

        :raises MeshError: `Kind.CONNECT_FAILED`, `Kind.CONNECT_TIMEOUT`, or `Kind.OVERFLOW`: too many wait already, or
            this one has waited too long.
        """
        while self.open >= self.options.max_connections or not (self._shared is None or self._shared.take(self)):
            await self._wait()
            if self.idle:
                return self.idle.pop()
        connection = HttpUpstream(self, self._reader)
        self.open += 1
        made = False
        try:
            await self._connector.connect(self.endpoint.target, connection, self._connect_timeout)
            made = True
        except MeshError as error:
            self.endpoint.not_connected(error, self.cells)
            raise
        finally:
            if not made:
                self._gone()
        self.cells.connects.value += 1
        return connection

    async def _wait(self) -> None:
        """Wait until a connection comes back or may be made."""
        if len(self.waiting) >= self.options.max_pending:
            self.cells.overflows.value += 1
            raise MeshError(Kind.OVERFLOW, f"{self.endpoint.address}: {len(self.waiting)} calls wait for a connection")
        parked: Parked[None] = Parked()
        self.waiting.append(parked)
        longest = self._longest_wait()
        timer = self._env.clock.callLater(longest, self._waited_too_long, parked, longest)
        try:
            await parked
        except Cancelled as error:
            error.queued = True
            raise
        finally:
            if timer.active():
                timer.cancel()
            if parked in self.waiting:
                self.waiting.remove(parked)

    def _longest_wait(self) -> float:
        limit = self.options.pending_timeout
        return self._connect_timeout if limit is None else limit

    def _waited_too_long(self, parked: Parked[None], longest: float) -> None:
        if parked in self.waiting:
            self.waiting.remove(parked)
            self.cells.overflows.value += 1
            waited = f"no connection free within {longest:g} s"
            parked.fail(MeshError(Kind.OVERFLOW, f"{self.endpoint.address}: {waited}"))

    # --- what connections call

    def release(self, connection: HttpLink) -> None:
        """A connection is free again."""
        if self.draining or connection.uses >= self._max_uses or len(self.idle) >= self._max_idle:
            connection.close()
            return
        connection.idle_since = self.now()
        if self._shared is not None and not self.waiting and self._shared.wanted:
            # Another endpoint of the cluster needs its place.
            connection.close()
            return
        self.idle.append(connection)
        if self.waiting:
            self.next()

    def lost(self, connection: HttpLink) -> None:
        """A connection is gone."""
        if connection in self.idle:
            self.idle.remove(connection)
        self._gone()

    def surplus(self, connection: HttpLink) -> None:
        """An endpoint sent bytes that belong to no reply; said once in `LOG_EVERY` seconds, as some do it each time."""
        now = self.now()
        if now - self._surplus_at < LOG_EVERY:
            self._unsaid += 1
            return
        more, self._unsaid, self._surplus_at = self._unsaid, 0, now
        self._env.log.warn(
            "cluster {cluster}: {endpoint} sent bytes behind its answer; the connection is closed ({more} more since"
            " the last line)",
            cluster=self._env.name,
            endpoint=self.endpoint.address,
            more=more,
        )

    def _gone(self) -> None:
        self.open -= 1
        if self._shared is not None:
            self._shared.give()
            self._maybe_leave()
        self.next()

    def _maybe_leave(self) -> None:
        """A pool that is done with shares nothing more."""
        if self._shared is not None and self.draining and not self.open:
            self._shared.leave(self)
            self._shared = None

    def spare(self) -> bool:
        """Close the connection that was idle for longest; returns whether there was any."""
        if not self.idle:
            return False
        self.idle.pop(0).close()
        return True

    def next(self) -> None:
        """Serve calls that wait, as far as there is something for them."""
        # One loop, not one frame for each call: a connect that fails at once gets here again from inside `fire`.
        if self._handing_out:
            return
        self._handing_out = True
        try:
            while self.waiting and (self.idle or self._may_open()):
                self.waiting.popleft().fire(None)
        finally:
            self._handing_out = False

    def _may_open(self) -> bool:
        return self.open < self.options.max_connections and (self._shared is None or self._shared.free)

    # --- time

    def sweep(self, now: float) -> bool:
        """Close what has been idle for too long, the oldest stand first; returns whether any is left."""
        expired = now - self.options.idle_timeout
        old = []
        for each in self.idle:
            if each.idle_since > expired:
                break
            old.append(each)
        del self.idle[: len(old)]
        for each in old:
            each.close()
        return bool(self.idle)

    def drain(self) -> None:
        """Lend no more, close what is idle now and the rest when it comes back."""
        self.draining = True
        idle, self.idle = self.idle, []
        for each in idle:
            each.close()
        self._maybe_leave()

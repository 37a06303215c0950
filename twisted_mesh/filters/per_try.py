"""The time that one try of a call may take, inside the time of the call.

Made by `retry` where it has a `per_try_timeout`.  A try then runs in a driver of its own, so that it can be cancelled
without the call's being, which costs 3.3 us.  No timer runs for it; one sweep looks at all.
"""

from __future__ import annotations

from typing import Awaitable

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Cancelled, Kind, MeshError, Origin
from twisted_mesh.filters.attempt import Attempt
from twisted_mesh.interfaces import Env, Explanation, Proceed
from twisted_mesh.sweep import Sweep


class PerTry:
    """Fails a try that has no reply head within `limit` seconds, connecting included: `Kind.TRY_TIMEOUT`.

    The time in which the request is still coming does not count: how long a client takes is for others to watch.
    """

    __slots__ = ("__weakref__", "_env", "_limit", "_open", "_sweep")

    def __init__(self, limit: float, env: Env) -> None:
        self._limit = limit
        self._env = env
        # When each began.
        self._open: dict[Attempt, float] = {}
        self._sweep = Sweep(env.clock)
        self._sweep.add(self._look)

    def __repr__(self) -> str:
        return f"<PerTry {self._limit:g} s, {len(self._open)} under way>"

    def explain(self, call: Call) -> Explanation:
        """Say how long a try may take."""
        return Explanation("pass", f"a try may take {self._limit:g} s")

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        return self._within(call, proceed)

    async def _within(self, call: Call, proceed: Proceed) -> Reply:
        began = self._env.now()
        call.try_ends = began + self._limit if call.received else None
        # Set again by whoever connects: it says whether this try did.
        call.connected = 0.0
        attempt = Attempt(call)
        self._open[attempt] = began
        self._sweep.wake()
        try:
            return await attempt.run(proceed)
        except Cancelled as cancelled:
            if cancelled.kind is not Kind.TRY_TIMEOUT:
                raise
            raise self._late(call) from cancelled
        finally:
            del self._open[attempt]
            call.try_ends = None

    def _late(self, call: Call) -> MeshError:
        return MeshError(
            Kind.TRY_TIMEOUT,
            f"no reply within the {self._limit:g} s of a try",
            origin=Origin.UPSTREAM,
            # Where connections are not the call's own nobody says whether it was sent.
            retryable=not call.connected and call.protocol != "redis",
        )

    def _look(self) -> bool:
        now = self._env.now()
        for each, began in list(self._open.items()):
            call = each.call
            if call.try_ends is None and call.received:
                call.try_ends = max(began, call.received) + self._limit
            if call.try_ends is not None and now >= call.try_ends and not each.overdue:
                each.overdue = True
                each.driver.cancel(Cancelled(Kind.TRY_TIMEOUT))
        return bool(self._open)

"""Copies of calls for another cluster, whose answers nobody gets, and what they differ in if that is asked for.

Made by a route, and no filter of the configuration.
"""

from __future__ import annotations

from typing import Awaitable, Optional, Sequence

from twisted_mesh.call import Call, Reply
from twisted_mesh.calls import CallTable
from twisted_mesh.chain import compose
from twisted_mesh.errors import MeshError
from twisted_mesh.families import Families
from twisted_mesh.filters.mirrored import Heard, Mirrored
from twisted_mesh.filters.timeout import timeout
from twisted_mesh.interfaces import Env, Explanation, Proceed
from twisted_mesh.labels import NONE
from twisted_mesh.policy.compare import differences
from twisted_mesh.policy.share import share
from twisted_mesh.sweep import Sweep

# The longest body of a request that is copied; what a stream holds anyhow.
BODY_LIMIT = 64 * 1024
_COPIED = (
    *("authority", "host", "resource", "query", "_target", "version", "trailers"),
    *("peer", "client", "id", "identity", "route", "plain"),
)
# Seconds between two lines in the log about answers that differ.
LOG_EVERY = 1.0


class Mirror:
    """Sends copies of a share of the calls to a cluster, once the head of the real answer is known, or its failure.

    :param name: the cluster's, :param forward: the way to it.
    :param percent: of the calls, :param limit: seconds for the whole answer to a copy, :param most: copies under way.
    :param compare: the answers are compared; else none of the following matters.
    :param status: compare the statuses, :param headers: and these, lower case, :param body: and the bodies.
    """

    def __init__(
        self,
        name: str,
        forward: Proceed,
        env: Env,
        *,
        percent: float = 100.0,
        limit: float = 15.0,
        most: int = 100,
        compare: bool = False,
        status: bool = True,
        headers: Sequence[str] = (),
        body: bool = True,
    ) -> None:
        self.name = name
        self.env = env
        self.limit = limit
        self._most = most
        self._compare = compare
        self._status = status
        self._headers = tuple(headers)
        self._body = body
        self._percent = percent
        self._belongs = share(percent, env.random.random)
        self.proceed = compose([timeout], forward)
        self._sweep = Sweep(env.clock)
        self.table = CallTable(env.now, self._sweep)
        self._sweep.add(self._look)
        self._open: set[Mirrored] = set()
        families = Families(env.metrics)
        self._calls, self._compared = families.mirror_calls, families.mirror_compared
        self._quiet_until = 0.0

    def __repr__(self) -> str:
        return f"<Mirror to {self.name}, {len(self._open)} under way>"

    def explain(self, call: Call) -> Explanation:
        """Say what would be copied."""
        obstacle = self._obstacle(call)
        if obstacle:
            return Explanation("pass", f"no copy to {self.name}: {obstacle.replace('_', ' ')}")
        return Explanation("pass", f"a copy of {self._percent:g} % of the calls goes to {self.name}")

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        return self._both(call, proceed) if self._belongs() else proceed(call)

    async def _both(self, call: Call, proceed: Proceed) -> Reply:
        copy = await self._copy(call)
        if copy is None:
            return await proceed(call)
        try:
            reply = await proceed(call)
        except MeshError:
            self._send(copy, None)
            raise
        self._send(copy, Heard(call, reply, self._headers) if self._compare and reply.tunnel is None else None)
        return reply

    async def _copy(self, call: Call) -> Optional[Call]:
        """Return a copy as it is now, since further in it may be changed; None, counted, where there can be none."""
        obstacle = self._obstacle(call)
        body = call.body
        if not obstacle and not isinstance(body, bytes):
            try:
                body = await body.collect(BODY_LIMIT)
            except MeshError:
                # It was cut; whoever sends the call finds out as well.
                obstacle = "skipped_body"
        if obstacle:
            self.count(call, obstacle)
            return None
        copy = Call(call.protocol, call.listener, call.operation, call.headers.copy())
        for name in _COPIED:
            setattr(copy, name, getattr(call, name))
        copy.body = body
        return copy

    def _obstacle(self, call: Call) -> str:
        if call.upgrade:
            return "skipped_upgrade"
        if len(self._open) >= self._most:
            return "skipped_busy"
        length = len(call.body) if isinstance(call.body, bytes) else call.body.length
        # One that does not say how long it is may never end.
        return "skipped_body" if length is None or length > BODY_LIMIT else ""

    def count(self, call: Call, result: str) -> None:
        """Count a call by what became of its copy."""
        self._calls.labels(_route(call), self.name, result).value += 1

    def _send(self, copy: Call, heard: Optional[Heard]) -> None:
        if len(self._open) >= self._most:
            # They were fewer when the call came.
            self.count(copy, "skipped_busy")
            return
        mirrored = Mirrored(self, copy, heard, self._headers)
        self._open.add(mirrored)
        self._sweep.wake()
        mirrored.start()

    def ended(self, mirrored: Mirrored) -> None:
        """A copy's answer is there whole, or there will be none."""
        self._open.discard(mirrored)

    def judge(self, call: Call, real: Heard, copied: Heard) -> None:
        """Compare two whole answers, count the result, and log a difference now and then."""
        found = differences(real.answer(), copied.answer(), status=self._status, body=self._body)
        self._compared.labels(_route(call), self.name, "different" if found else "same").value += 1
        now = self.env.now()
        if found and now >= self._quiet_until:
            self._quiet_until = now + LOG_EVERY
            self.env.log.warn(
                "the mirror {mirror} answers {id} ({method} {path}) in another way: {found}",
                mirror=self.name,
                id=call.id,
                method=call.operation,
                path=call.resource,
                found="; ".join(found),
            )

    def _look(self) -> bool:
        now = self.env.now()
        for each in [each for each in self._open if now >= each.deadline]:
            each.late()
        return bool(self._open)


def _route(call: Call) -> str:
    return NONE if call.route is None else call.route.name

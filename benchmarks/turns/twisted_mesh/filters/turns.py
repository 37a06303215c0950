"""For benchmarks: how long the loop of a running sidecar stood still.

A timer of one millisecond notes how late it is, which is for how long no other event could have been taken either; how
late it would have been without the time in which the loop could have run but another process had the processor (Linux
counts that); and the CPU time that the process used since the one before: in the loop's thread or in another, for which
the loop waits just as long.
Every call is answered with the largest of each since the call before, in milliseconds, as JSON.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from heapq import nlargest
from typing import Any

from zope.interface import implementer

from twisted_mesh.call import Call, Reply
from twisted_mesh.interfaces import Env, Filter, IFilterPlugin, IPlugin, Proceed

INTERVAL = 0.001
SHOWN = 5
MOST = 1000
# For how long the thread ran, and for how long it could have run and did not, in nanoseconds.
SCHEDULED = "/proc/thread-self/schedstat"


@dataclass(frozen=True)
class TurnsSettings:
    """There are none."""


class Turns:
    """Watches the loop for as long as the process lives."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._file = os.open(SCHEDULED, os.O_RDONLY) if os.path.exists(SCHEDULED) else None
        self._last = self._now()
        self._gaps: tuple[list[float], ...] = ([], [], [])
        self._tick()

    def _now(self) -> tuple[float, float, float]:
        """Return the time, the time without waiting for the processor, and the CPU time, in seconds."""
        now = time.monotonic()
        waited = 0 if self._file is None else int(os.pread(self._file, 100, 0).split()[1])
        return now, now - waited / 1e9, time.process_time()

    def _tick(self) -> None:
        now = self._now()
        due = self._last[0] + INTERVAL, self._last[1] + INTERVAL, self._last[2]
        for gaps, before, after in zip(self._gaps, due, now, strict=True):
            gaps.append(after - before)
            if len(gaps) > MOST:
                gaps[:] = nlargest(SHOWN, gaps)
        self._last = now
        self._env.clock.callLater(INTERVAL, self._tick)

    async def __call__(self, call: Call, proceed: Proceed) -> Reply:
        found = [[round(each * 1000, 2) for each in nlargest(SHOWN, gaps)] for gaps in self._gaps]
        self._gaps = ([], [], [])
        said = dict(zip(("gaps", "own", "cpu"), found, strict=True))
        return Reply(200, body=json.dumps(said).encode(), local=True)


@implementer(IFilterPlugin, IPlugin)
class _Plugin:
    name = "turns"
    protocols = ("http",)
    settings = TurnsSettings

    def build(self, settings: Any, env: Env) -> Filter:
        return Turns(env)


turns = _Plugin()

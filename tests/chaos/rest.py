"""A sidecar at rest has what it had at rest before the load: tasks, chains, timers, connections, descriptors."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import Optional

from tests.support import Mesh, until

# What may be no more and no less than before; of the rest only what it is.
_COUNTED = (
    "twisted_mesh_process_tasks",
    "twisted_mesh_process_timers",
    "twisted_mesh_process_chains",
    "twisted_mesh_process_connections",
    "twisted_mesh_process_descriptors",
    "twisted_mesh_downstream_calls_active",
    "twisted_mesh_downstream_connections_active",
    "twisted_mesh_upstream_connections",
    "twisted_mesh_upstream_pending",
    "twisted_mesh_cluster_calls_active",
    "twisted_mesh_cluster_calls_waiting",
    "twisted_mesh_cluster_retries_active",
)
_TIMERS = "twisted_mesh_process_timers"
# What is due some time after the last call or change, and has nothing to do with how many there were.
_LATER = [f'twisted_mesh_process_timers{{of="server.{each}"}}' for each in ("settling", "keeper")]
TRACKING = 'twisted_mesh_upstream_connections{protocol="redis_session",cluster="one",state="active"}'
Sample = dict[str, float]


def sample(mesh: Mesh) -> Sample:
    """Return what there is now, by metric with its labels."""
    found = {}
    for line in mesh.get("/metrics").text.splitlines():
        name, _, value = line.rpartition(" ")
        if name.partition("{")[0] in _COUNTED:
            found[name] = float(value)
    return found


class Rest:
    """What a sidecar that has nothing to do was seen to have, the least and the most of each."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._seen: list[Sample] = []

    def look(self, seconds: float) -> None:
        """Wait until nobody is connected, and nothing new is seen for so long; what was seen in that time is rest."""
        try:
            until(lambda: not connected(self._mesh), "a sidecar without connections")
        except AssertionError as error:
            raise AssertionError(f"{error}: {connected(self._mesh)}; {descriptors(self._mesh.pid)}") from None
        until(lambda: self._steady(seconds), "a sidecar at rest", 120.0)

    def _steady(self, seconds: float) -> bool:
        """Whether the second half of this time brings nothing that the first has not: timers come and go."""
        self._seen = self._samples(seconds / 2)
        return not any(self.busy(each) for each in self._samples(seconds / 2))

    def _samples(self, seconds: float) -> list[Sample]:
        ends, found = time.monotonic() + seconds, []
        while time.monotonic() < ends:
            found.append(sample(self._mesh))
            time.sleep(0.02)
        return found

    def busy(self, now: Optional[Sample] = None) -> list[str]:
        """Return what there is now that was not there then, or was and is not, a line each.

        Of timers there may be less: some look after what is left of the load for seconds.
        """
        now = sample(self._mesh) if now is None else now
        wrong = []
        for name in sorted({*now, *(name for each in self._seen for name in each)}.difference(_LATER)):
            then = [each.get(name, 0) for each in self._seen]
            least = 0 if name.startswith(_TIMERS) else min(then)
            if not least <= now.get(name, 0) <= max(then):
                wrong.append(f"{name} is {now.get(name, 0):g}; at rest before it was {min(then):g} to {max(then):g}")
        return wrong

    def wait(self, within: float) -> list[str]:
        """Wait until it is as it was; return what is not, with the descriptors that are open."""
        try:
            until(lambda: not self.busy(), "a sidecar at rest", within)
        except AssertionError:
            wrong = self.busy()
            return [f"left: {each}" for each in wrong] + [f"open: {descriptors(self._mesh.pid)}"] if wrong else []
        return []


def connected(mesh: Mesh) -> list[str]:
    """Return what is connected to listeners, and kept open for the next call, a line each."""
    kept = ("twisted_mesh_downstream_", "twisted_mesh_upstream_connections{")
    found = {name: value for name, value in sample(mesh).items() if value and name.startswith(kept)}
    # A server tells a cache of changes over a connection that stays.
    if found.get(TRACKING) == 1:
        del found[TRACKING]
    return [f"{name} {value:g}" for name, value in found.items()]


def tracks(mesh: Mesh) -> bool:
    """Whether the cache has its connection: after one that failed it waits for a while before the next."""
    return sample(mesh).get(TRACKING, 0) >= 1


def descriptors(pid: int) -> str:
    """Return what a process has open, by kind; of connections also to which port."""
    peers = _peers()
    found: Counter[str] = Counter()
    for each in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{each}")
        except OSError:
            continue
        inode = target.partition("[")[2].rstrip("]")
        found[peers.get(inode, target.partition(":")[0])] += 1
    return ", ".join(f"{count} x {what}" for what, count in sorted(found.items()))


def _peers() -> dict[str, str]:
    """Return what is at both ends of each connection, by its inode."""
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        local, remote = (int(each.rpartition(":")[2], 16) for each in words[1:3])
        found[words[9]] = f"listening at {local}" if not remote else f"{local} to {remote} (state {words[3]})"
    return found

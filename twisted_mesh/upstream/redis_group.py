"""Redis servers that have the same data: a primary and its replicas, and which of them takes a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional, Sequence

from twisted_mesh.call import Call
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.policy.balance import BALANCES, pick_random

if TYPE_CHECKING:
    from twisted_mesh.upstream.cluster import Cluster
    from twisted_mesh.upstream.endpoint import Endpoint

# Those to try, one set after the other.
Tiers = list[list["Endpoint"]]
Zone = Callable[[], str]


def no_zone() -> str:
    """The zone of a sidecar that has none."""
    return ""


class Group:
    """A primary and its replicas.

    :param read: who answers reads: primary, prefer_primary, replica, prefer_replica, any or nearest.
    :param zone: gives the sidecar's own, for nearest; "" where it has none.

    `primary` is None as long as nobody knows it.  `ready` is the primary while it takes commands without ado.
    """

    __slots__ = ("_cluster", "_pick", "_read", "_zone", "name", "primary", "ready", "replicas")

    def __init__(self, name: str, cluster: Cluster, read: str = "primary", zone: Zone = no_zone) -> None:
        self.name = name
        self.primary: Optional[Endpoint] = None
        self.replicas: tuple[Endpoint, ...] = ()
        self._cluster = cluster
        self._read = read
        self._zone = zone
        self.ready: Optional[Endpoint] = None
        # How a reader is picked while nothing speaks against it.
        self._pick: Optional[Callable[[], Endpoint]] = None

    def __repr__(self) -> str:
        primary = "none" if self.primary is None else self.primary.address
        return f"<Group {self.name} primary {primary}, {len(self.replicas)} replicas>"

    def have(self, primary: Optional[Endpoint], replicas: Sequence[Endpoint] = ()) -> None:
        """Have these servers."""
        self.primary = primary
        self.replicas = tuple(replicas)
        self.refresh()

    def refresh(self) -> None:
        """See which of them can be used; to be called when that has changed."""
        usable, trials = self._cluster.usable, self._cluster.trials
        primary = self.primary
        self.ready = primary if primary in usable and primary not in trials else None
        self._pick = None
        for tier in self._tiers():
            if any(each in trials for each in tier):
                return
            good = [each for each in tier if each in usable]
            if good:
                self._pick = self._spread(good)
                return

    def choose(self, call: Call, write: bool) -> Endpoint:
        """Return the server for a command.

        :raises MeshError: `Kind.NO_ENDPOINT`: there is none that takes it.
        """
        if write:
            return self.ready or self._primary(call)
        pick = self._pick
        if pick is not None and not call.tried:
            return pick()
        return self._reader(call)

    def peek(self, write: bool) -> Endpoint:
        """Return the server that the first try of a command would go to if it came now; nothing changes.

        :raises MeshError: as `choose`.
        """
        if write:
            primary = self.primary
            if primary is None:
                raise self._none("no primary is known")
            if primary not in self._cluster.usable and primary not in self._cluster.trials:
                raise self._none(f"the primary {primary.address} takes no commands")
            return primary
        for tier in self._tiers():
            waits = next((each for each in tier if each in self._cluster.trials), None)
            if waits is not None:
                return waits
            if any(each in self._cluster.usable for each in tier):
                return self._peeked()
        raise self._none("no server that answers reads takes commands")

    def _peeked(self) -> Endpoint:
        pick = self._pick
        assert pick is not None, "it is there while a reader can be used and none is to be tried"
        found = pick()
        after = self._pick

        def first() -> Endpoint:
            # It has its turn when a command comes, or there are other turns by then.
            if self._pick is first:
                self._pick = after
            return found

        if self._cluster.config.balance == "round_robin":
            self._pick = first
        return found

    def _primary(self, call: Call) -> Endpoint:
        primary = self.primary
        if primary is None:
            raise self._none("no primary is known")
        if not self._cluster.admits(primary, call):
            raise self._none(f"the primary {primary.address} takes no commands")
        return primary

    def _reader(self, call: Call) -> Endpoint:
        tried: Optional[Endpoint] = None
        for tier in self._tiers():
            waits = [each for each in tier if each in self._cluster.trials and each not in call.tried]
            for each in waits:
                if self._cluster.admits(each, call):
                    return each
            good = [each for each in tier if each in self._cluster.usable]
            fresh = [each for each in good if each not in call.tried]
            if fresh:
                return self._spread(fresh)()
            tried = tried or (good[0] if good else None)
        if tried is None:
            raise self._none("no server that answers reads takes commands")
        return tried

    def _none(self, why: str) -> MeshError:
        return MeshError(Kind.NO_ENDPOINT, f"cluster {self._cluster.name}: {self.name}: {why}", origin=Origin.UPSTREAM)

    def _tiers(self) -> Tiers:
        primary = [] if self.primary is None else [self.primary]
        replicas = list(self.replicas)
        if self._read == "nearest":
            zone = self._zone()
            near = [each for each in [*replicas, *primary] if zone and each.zone == zone]
            return [near, [*replicas, *primary]]
        return {
            "primary": [primary],
            "prefer_primary": [primary, replicas],
            "replica": [replicas],
            "prefer_replica": [replicas, primary],
            "any": [[*primary, *replicas]],
        }[self._read]

    def _spread(self, endpoints: Sequence[Endpoint]) -> Callable[[], Endpoint]:
        if len(endpoints) == 1:
            only = endpoints[0]
            return lambda: only
        # Balances by keys or latencies need more than is here; what has no replica of its own goes anywhere.
        balance = BALANCES.get(self._cluster.config.balance, pick_random)
        return balance(endpoints, self._cluster.env.random.random)

    def describe(self) -> dict[str, object]:
        """Everything worth showing to an operator."""
        return {
            "name": self.name,
            "primary": None if self.primary is None else self.primary.address,
            "replicas": [each.address for each in self.replicas],
        }

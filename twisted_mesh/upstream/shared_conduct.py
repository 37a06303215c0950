"""The part of a cluster that tells other sidecars of endpoints that are left out, and hears of theirs.

An agreement of enough of them is acted on once: what this sidecar's own calls show afterwards goes before it, until
one of the others says so anew.
"""

from __future__ import annotations

from typing import Callable, Mapping, Optional, Sequence

from twisted_mesh.interfaces import Env
from twisted_mesh.policy.agreement import Agreement, Opinion, agreements
from twisted_mesh.upstream.services import Stoppable, Verdicts


class SharedConduct:
    """What the sidecars of a mesh know together of the endpoints of one cluster.

    :param least: by kind, how many others must leave an endpoint out for this sidecar to do so too.
    :param learn: called with what they agree on; returns whether the endpoint is known here.
    """

    def __init__(
        self,
        cluster: str,
        env: Env,
        least: Mapping[str, int],
        verdicts: Verdicts,
        learn: Callable[[Agreement], bool],
    ) -> None:
        self._cluster = cluster
        self._now = env.now
        self._least = least
        self._verdicts = verdicts
        self._learn = learn
        self._opinions: Sequence[Opinion] = ()
        self._heard_at = 0.0
        # By endpoint and kind: the opinions that were acted on.
        self._acted: dict[tuple[str, str], frozenset[str]] = {}
        self._following: Optional[Stoppable] = None

    def __repr__(self) -> str:
        return f"<SharedConduct of {self._cluster}: {len(self._opinions)} opinions>"

    def start(self) -> None:
        """Begin to hear of what others say."""
        if self._following is None:
            self._following = self._verdicts.follow(self._cluster, self._heard)

    def stop(self) -> None:
        """Hear nothing any more."""
        if self._following is not None:
            self._following.stop()
            self._following = None

    def tell(self, endpoint: str, kind: str, reason: str, seconds: float) -> None:
        """This sidecar's own calls had an endpoint left out for so many seconds."""
        if kind in self._least:
            self._verdicts.tell(self._cluster, endpoint, kind, reason, seconds)

    def look(self) -> None:
        """Act on what the others agree on, as far as that has not been done."""
        gone = self._now() - self._heard_at
        still = [each._replace(left=each.left - gone) for each in self._opinions]
        found = {(each.endpoint, each.kind): each for each in agreements(still, self._least)}
        self._acted = {key: marks for key, marks in self._acted.items() if key in found}
        for key, each in found.items():
            if not each.marks <= self._acted.get(key, frozenset()) and self._learn(each):
                self._acted[key] = each.marks

    def _heard(self, opinions: Sequence[Opinion]) -> None:
        self._opinions = opinions
        self._heard_at = self._now()
        self.look()

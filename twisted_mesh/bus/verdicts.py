"""What sidecars say of endpoints to each other: which breakers are open, and who is ejected as an outlier.

A verdict is a record under a lease that ends when the breaker may be tried again, or the ejection is over: nobody has
to take it back, also a sidecar that dies does not.
"""

from __future__ import annotations

from typing import Callable, Sequence

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_mesh.bus.access import Access
from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.follow import Following
from twisted_mesh.bus.view import View
from twisted_mesh.families import Families
from twisted_mesh.policy.agreement import Opinion

KIND = "verdict"
# Seconds: as long as an endpoint can be left out.
LONGEST = 366 * 86400.0
SHORTEST = 0.05
# Characters of a reason.
LONGEST_REASON = 256
# Own verdicts that are remembered, to say them again when Redis is back.
MOST_OWN = 10_000

Heard = Callable[[Sequence[Opinion]], None]

log = Logger("twisted_mesh.bus")


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One verdict: `sidecar`, which is called `node`, leaves `endpoint` out for `seconds` from `at` on.

    `kind` is ``breaker`` or ``outlier``, `at` seconds since the epoch by the sidecar's clock, for people.
    """

    sidecar: str
    node: str
    endpoint: str
    kind: str
    reason: str
    seconds: float
    at: float = 0.0

    @property
    def id(self) -> str:
        """What tells it from others: each sidecar has one of a kind for each endpoint."""
        return f"{self.kind}/{self.endpoint}/{self.sidecar}"


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Verdict)


def _decode(name: str, id: str, record: bytes) -> Verdict:
    verdict = _decoder.decode(record)
    if verdict.id != id:
        raise ValueError(f"it says that it is {verdict.id}")
    if not 0 <= verdict.seconds <= LONGEST:
        raise ValueError(f"seconds: expected 0 to {LONGEST:g}, got {verdict.seconds:g}")
    return verdict


class VerdictView(View[Verdict]):
    """The verdicts about one cluster, by id."""

    def __init__(self, name: str) -> None:
        super().__init__(name, _decode)
        # Until when each holds, by our own clock.
        self.ends: dict[Verdict, float] = {}


class Verdicts:
    """The verdicts of one mesh.

    :param who: what tells this sidecar apart from all others, in this life of its process; `node` is its name.
    """

    def __init__(self, access: Access, who: str, node: str) -> None:
        families = Families(access.metrics)
        self._redis = access.redis
        self._leases = access.leases(KIND)
        self._who = who
        self._node = node
        self._clock = access.clock
        self._wall = access.wall
        self._own: dict[tuple[str, str], tuple[Verdict, float]] = {}
        self._running = False
        self._trouble = ""
        self._sent, self._failed = (families.verdicts.labels(each) for each in ("sent", "failed"))
        follower = access.follower(self._leases, VerdictView)
        assert follower is not None, "verdicts are to be followed"
        self._follower = follower

    def __repr__(self) -> str:
        return f"<Verdicts {len(self._own)} of our own>"

    def start(self) -> None:
        """Begin to keep up with them."""
        self._running = True
        self._redis.on_up.append(self._again)
        self._follower.start()

    def stop(self) -> None:
        """Follow them no more."""
        if self._running:
            self._running = False
            self._redis.on_up.remove(self._again)
            self._follower.stop()

    def follow(self, cluster: str, heard: Heard) -> Following:
        """Call `heard` with what others say of the endpoints of a cluster, each time that it changes."""

        def changed(view: VerdictView) -> None:
            now = self._clock.seconds()
            view.ends = {each: view.ends.get(each, now + each.seconds) for each in view.records.values()}
            opinions = [_opinion(each, end - now) for each, end in view.ends.items() if each.sidecar != self._who]
            heard(opinions)

        return self._follower.follow(cluster, changed)

    def tell(self, cluster: str, endpoint: str, kind: str, reason: str, seconds: float) -> None:
        """Say that an endpoint is left out here for so many seconds; where Redis is away, once it is back."""
        verdict = Verdict(
            sidecar=self._who,
            node=self._node,
            endpoint=endpoint,
            kind=kind,
            reason=reason[:LONGEST_REASON],
            seconds=min(seconds, LONGEST),
            at=round(self._wall(), 3),
        )
        key = cluster, verdict.id
        self._own.pop(key, None)
        self._own[key] = verdict, self._clock.seconds() + verdict.seconds
        if len(self._own) > MOST_OWN:
            del self._own[next(iter(self._own))]
        self._put(cluster, verdict)

    @property
    def me(self) -> str:
        """What tells this sidecar from the others."""
        return self._who

    def _put(self, cluster: str, verdict: Verdict) -> None:
        if self._running and self._redis.connected and verdict.seconds >= SHORTEST:
            put = self._leases.put(cluster, verdict.id, _encoder.encode(verdict), verdict.seconds)
            Deferred.fromCoroutine(put).addCallbacks(self._was_put, self._was_not)

    def _was_put(self, answer: object) -> None:
        self._trouble = ""
        self._sent.value += 1

    def _was_not(self, failure: Failure) -> None:
        failure.trap(BusError)
        self._failed.value += 1
        error = failure.value
        assert isinstance(error, BusError)
        if error.kind in ("refused", "protocol") and str(error) != self._trouble:
            self._trouble = str(error)
            log.error("other sidecars cannot be told of endpoints that are left out: {error}", error=error)

    def _again(self) -> None:
        """Redis is back, and may have lost what was said."""
        now = self._clock.seconds()
        self._own = {key: each for key, each in self._own.items() if each[1] > now}
        for (cluster, _), (verdict, end) in self._own.items():
            self._put(cluster, msgspec.structs.replace(verdict, seconds=end - now))


def _opinion(verdict: Verdict, left: float) -> Opinion:
    return Opinion(
        verdict.sidecar,
        verdict.node,
        verdict.endpoint,
        verdict.kind,
        verdict.reason,
        left,
        f"{verdict.sidecar} {verdict.at}",
    )

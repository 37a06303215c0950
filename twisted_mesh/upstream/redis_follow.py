"""Topologies that servers tell of: asking them at intervals, and whenever something speaks for a change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Hashable, Optional, Sequence

from twisted.internet.interfaces import IDelayedCall

from twisted_mesh.codec.redis_facts import Place
from twisted_mesh.families import Families
from twisted_mesh.model.address import Address
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.members import TOLD
from twisted_mesh.upstream.probe import Probe
from twisted_mesh.upstream.redis_barrier import Barrier
from twisted_mesh.upstream.redis_group import Zone
from twisted_mesh.upstream.redis_question import Login, RedisQuestion
from twisted_mesh.upstream.redis_topology import Topology

if TYPE_CHECKING:
    from twisted_mesh.model.redis_servers import RedisServers
    from twisted_mesh.net.connect import Connector
    from twisted_mesh.upstream.cluster import Cluster
    from twisted_mesh.upstream.redis_errand import Errand

# Seconds between two times of asking, however much speaks for a change; the first is asked for at once.  Twice as many
# after each time that brought nothing new, up to the most.
GAP = 0.1
MOST_GAP = 1.0
# Seconds for an answer.
ASK_TIMEOUT = 2.0
# The share of the interval by which it varies, so that many sidecars do not ask together.
_JITTER = 0.2
# Seconds for which commands wait for a server that had their keys before to answer what it was sent.
GRACE = 1.0
# Seconds for which keys count as on their way to another server, after a server has said so.
SHIFTING = 2.0
# Seconds for which it is known that commands went past others; longer than replies are awaited.
REMEMBERED = 60.0
# Nodes that are taken in because of a redirection, between two times of asking.
STRANGERS_LIMIT = 100


class Following(Topology):
    """A topology that is asked for.

    Whoever inherits asks in `ask`, and ends each time with `told` or `nothing_told`.
    """

    moving = True

    def __init__(self, cluster: Cluster, config: RedisServers, zone: Zone, connector: Connector) -> None:
        super().__init__(cluster, config, zone)
        self._env = cluster.env
        self._connector = connector
        self._login: Login = (config.username, config.password)
        self._timer: Optional[IDelayedCall] = None
        self._asking: list[Probe] = []
        self._running = False
        self._asked_at = -1e9
        self._gap = GAP
        self._again = False
        # Commands that wait until more is known, in the order in which they came.
        self._waiting: list[tuple[Errand, int]] = []
        self._strangers: dict[str, Endpoint] = {}
        self._stopped = False
        self._asked_total = Families(self._env.metrics).redis_asked
        self.trouble = "not asked yet"

    # --- its life

    def start(self) -> None:
        self._running = True
        self._plan(0.0)

    def stop(self) -> None:
        super().stop()
        self._running = False
        self._stopped = True
        self._cancel()
        for each in self._asking:
            each.cancel()
        self._asking = []
        for barrier in dict.fromkeys(self.barriers.values()):
            self._lift(barrier)
        waiting, self._waiting = self._waiting, []
        for errand, places in _gathered(waiting):
            errand.give_up(places)

    def doubt(self, endpoint: Optional[Endpoint]) -> None:
        """Ask soon."""
        if not self._running:
            return
        if self._asking:
            self._again = True
        else:
            self._plan(max(0.0, self._asked_at + self._gap - self._env.now()))

    def news(self) -> None:
        """Something has changed: more may."""
        self._gap = GAP

    def _plan(self, wait: float) -> None:
        timer = self._timer
        if timer is not None:
            if timer.getTime() <= self._env.clock.seconds() + wait:
                return
            timer.cancel()
        self._timer = self._env.clock.callLater(wait, self._due)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        now = self._env.now()
        self._gap = GAP if now - self._asked_at > 2 * MOST_GAP else min(2 * self._gap, MOST_GAP)
        self._asked_at = now
        self._again = False
        self.ask()

    # --- asking

    def ask(self) -> None:
        """Begin to ask."""
        raise NotImplementedError

    def question(
        self,
        target: Address,
        commands: Sequence[Sequence[str]],
        answered: Any,
        failed: Any,
        login: Optional[Login] = None,
    ) -> None:
        """Ask one server; either function is called once, and not after `stop`."""
        mine: list[RedisQuestion] = []

        def ended() -> None:
            if mine and mine[0] in self._asking:
                self._asking.remove(mine[0])

        def well(replies: Sequence[Any]) -> None:
            ended()
            answered(replies)

        def badly(result: str, reason: str) -> None:
            ended()
            failed(reason)

        asked = RedisQuestion(
            self._env.clock,
            self._connector,
            target,
            ASK_TIMEOUT,
            commands,
            self._login if login is None else login,
            well,
            badly,
        )
        mine.append(asked)
        if not asked.over:
            self._asking.append(asked)

    def told(self) -> None:
        """What was asked for is known, and holds."""
        if self.trouble:
            self._env.log.info("cluster {cluster}: {shape}", cluster=self.cluster.name, shape=repr(self))
        self.trouble = ""
        self._asked_total.labels(self.cluster.name, "known").value += 1
        self._asked()

    def nothing_told(self, why: str) -> None:
        """Nobody has answered well; what was known holds."""
        if why != self.trouble:
            self._env.log.warn(
                "cluster {cluster}: cannot find out who has what: {why}", cluster=self.cluster.name, why=why
            )
        self.trouble = why
        self._asked_total.labels(self.cluster.name, "unknown").value += 1
        self._asked()

    def _asked(self) -> None:
        if not self._running:
            return
        interval = self.config.refresh * (1 + _JITTER * (self._env.random.random() - 0.5))
        self._plan(self._gap if self._again or self.trouble else interval)
        waiting, self._waiting = self._waiting, []
        for errand, places in _gathered(waiting):
            errand.go_on(places)

    # --- endpoints

    def endpoints_of(self, places: Sequence[Place], by: str) -> list[Endpoint]:
        """Return the endpoints at these places, new ones where the cluster has none there."""
        return [self.endpoint_of(place, by) for place in places]

    def endpoint_of(self, place: Place, by: str) -> Endpoint:
        """Return the endpoint at a place; `by` is the host of who told of it."""
        address = Address(place[0] or by, place[1])
        return self.cluster.find(str(address)) or self._configured(address)

    def _configured(self, address: Address) -> Endpoint:
        text = str(address)
        for each in self.cluster.config.endpoints:
            if str(each.address) == text:
                return Endpoint(address, weight=each.weight, zone=each.zone, labels=each.labels)
        return Endpoint(address)

    def have_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """Have these in the cluster, beside those of the configuration."""
        self._strangers = {}
        self.cluster.replace(TOLD, list(dict.fromkeys(endpoints)))

    def stranger(self, place: Place, by: str) -> Optional[Endpoint]:
        """Return the endpoint that a server has sent a command to; None if it cannot be taken in."""
        address = Address(place[0] or by, place[1])
        known = self.cluster.find(str(address))
        if known is not None:
            return known
        if address.family is None or len(self._strangers) >= STRANGERS_LIMIT:
            return None
        made = self._configured(address)
        self._strangers[str(address)] = made
        told = [each for each in self.cluster.endpoints if each.address not in self._static]
        self.cluster.replace(TOLD, [*told, made])
        return self.cluster.find(str(address)) or made

    @property
    def _static(self) -> set[str]:
        return {str(each.address) for each in self.cluster.config.endpoints}

    # --- commands that wait

    def later(self, errand: Errand, place: int) -> None:
        if self._stopped:
            errand.give_up([place])
            return
        self._waiting.append((errand, place))
        if self._asking:
            self._again = True
        elif self._running:
            self._plan(max(0.0, self._asked_at + GAP - self._env.now()))

    def barred(self, errand: Errand, place: int, key: bytes) -> bool:
        barrier = self.barriers.get(self.lane(key))
        if barrier is None:
            return False
        barrier.waiting.append((errand, place))
        return True

    def shifted(self, key: bytes) -> None:
        self.shifting[self.lane(key)] = self._env.now() + SHIFTING

    def shifts(self, key: bytes) -> bool:
        lane = self.lane(key)
        ends = self.shifting.get(lane)
        if ends is None or self._env.now() < ends:
            return ends is not None
        del self.shifting[lane]
        return False

    def bar(self, lanes: Sequence[Hashable], old: Optional[Endpoint]) -> None:
        """Another server than `old` takes the commands of these lanes: once `old` has answered what it was sent."""
        if old is None:
            return
        fresh = Barrier()
        touched = {self.barriers.get(lane, fresh): None for lane in lanes}
        for barrier in touched:
            barrier.wait_for(old, lambda barrier=barrier: self._passed(barrier))  # type: ignore[misc]
        if fresh.left:
            fresh.lanes = [lane for lane in lanes if lane not in self.barriers]
            self.barriers.update(dict.fromkeys(fresh.lanes, fresh))
            fresh.timer = self._env.clock.callLater(GRACE, self._expired, fresh, old)

    def _passed(self, barrier: Barrier) -> None:
        barrier.left -= 1
        if not barrier.left:
            self._lift(barrier)

    def _expired(self, barrier: Barrier, old: Endpoint) -> None:
        """A server still has not answered what it was sent."""
        barrier.timer = None
        now = self._env.now()
        self.passed = {lane: when for lane, when in self.passed.items() if now - when < REMEMBERED}
        self.passed.update(dict.fromkeys(barrier.lanes, now))
        self.give_up(old)
        self._lift(barrier)

    def give_up(self, old: Endpoint) -> None:
        """`old` has commands and does not answer, while others wait for it."""

    def _lift(self, barrier: Barrier) -> None:
        if barrier.timer is not None:
            barrier.timer.cancel()
            barrier.timer = None
        for lane in barrier.lanes:
            self.barriers.pop(lane, None)
        barrier.lanes = []
        waiting, barrier.waiting = barrier.waiting, []
        for errand, places in _gathered(waiting):
            errand.send(places)

    def describe(self) -> dict[str, object]:
        return {**super().describe(), "trouble": self.trouble}


def _gathered(waiting: Sequence[tuple[Errand, int]]) -> list[tuple[Errand, list[int]]]:
    """Return the commands of each errand together; they keep their order."""
    found: dict[Errand, list[int]] = {}
    for errand, place in waiting:
        found.setdefault(errand, []).append(place)
    return list(found.items())

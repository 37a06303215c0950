"""A named set of endpoints, and which of them takes the next call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Awaitable, Callable, MutableMapping, Optional, Sequence
from weakref import WeakValueDictionary, ref

from twisted.internet.defer import Deferred

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env, Proceed
from twisted_mesh.policy.health import usable
from twisted_mesh.upstream.conducts import Conducts
from twisted_mesh.upstream.connection_limits import ConnectionLimits
from twisted_mesh.upstream.connections import Connections
from twisted_mesh.upstream.endpoint import DRAINING, Endpoint
from twisted_mesh.upstream.health import HealthChecks
from twisted_mesh.upstream.maintenance import Switch
from twisted_mesh.upstream.members import Members
from twisted_mesh.upstream.overruled import Overrides, under_maintenance
from twisted_mesh.upstream.picks import Picks
from twisted_mesh.upstream.resolve import Resolver
from twisted_mesh.upstream.retries import Retries
from twisted_mesh.upstream.room import Room
from twisted_mesh.upstream.services import Services, Verdicts
from twisted_mesh.upstream.watched import watched
from twisted_mesh.weakly import weakly

if TYPE_CHECKING:
    from twisted_mesh.model import Cluster as ClusterConfig
    from twisted_mesh.net.connect import Connector


class Cluster:
    """A named set of endpoints.

    `endpoints` are all of them, `usable` those that calls go to now, `panicking` says that these are all of them for
    want of healthy ones.  `members` says where they come from, `picks` which of them takes a call.  `forwards` holds
    the innermost `proceed` by protocol, `room` counts their calls where it is limited, and `connection_limits` their
    connections.  `on_change` functions are called with the cluster when `usable` has changed.

    A cluster can be picked from as soon as it is made.  `adopt` takes endpoints over from the one before it, `start`
    begins resolving and checking, `stop` ends that and lets the endpoints go.
    """

    def __init__(
        self,
        name: str,
        config: ClusterConfig,
        env: Env,
        connector: Connector,
        resolver: Optional[Resolver] = None,
        services: Optional[Services] = None,
        overrides: Optional[Overrides] = None,
        verdicts: Optional[Verdicts] = None,
        zone: Callable[[], str] = lambda: "",
    ) -> None:
        self.name = name
        self.config = config
        self.env = env
        self.connect_timeout: float = config.connect_timeout
        self.forwards: MutableMapping[str, Proceed] = {}
        # What else is worth showing to an operator, by name.
        self.details: dict[str, Callable[[], object]] = {}
        self.on_change: list[Callable[[Cluster], None]] = []
        self.endpoints: tuple[Endpoint, ...] = ()
        self.usable: tuple[Endpoint, ...] = ()
        self.panicking = False
        # Those it is made of must not keep it alive: see `weakly`.
        refresh = weakly(self.refresh)
        self._conducts = Conducts(name, env, watched(config), refresh, verdicts)
        self.switch = Switch(name, env)
        self.room = None if config.limits is None else Room(name, config.limits, env)
        self.connection_limits = ConnectionLimits(name, config.limits, env)
        self.retries = Retries(name, config.limits, env)
        self.picks = Picks(name, config, env, self._conducts, self.switch, _nobody_of(self), zone)
        self._running = False
        self._cells = _Cells(Families(env.metrics), name)
        self._checks: Optional[HealthChecks] = None
        if config.health_check is not None:
            login = ("", "") if config.redis is None else (config.redis.username, config.redis.password)
            self._checks = HealthChecks(name, config.health_check, env, connector, lambda endpoint: refresh(), login)
        settled = weakly(self._settled)
        self.members = Members(name, config, env, connector, resolver, services, overrides, settled, refresh)
        self.members.settle()

    def __repr__(self) -> str:
        panic = " panicking" if self.panicking else ""
        return f"<Cluster {self.name} {len(self.usable)} of {len(self.endpoints)} usable{panic}>"

    # --- the hot path; what sends many calls asks `picks` itself

    def pick(self, call: Call) -> Endpoint:
        """Return the endpoint for the next try of `call`, one that it has not tried yet if there is any.

        Setting ``call.endpoint`` and counting the call as active is up to the caller.

        :raises MeshError: `Kind.NO_ENDPOINT`: there is none that may be used; `Kind.MAINTENANCE`.
        """
        return self.picks.pick(call)

    def admits(self, endpoint: Endpoint, call: Call) -> bool:
        """Return whether this endpoint, which nothing else can stand in for, takes the call now.

        Where its breaker is half-open, the call is the one that finds out.
        """
        return self.picks.admits(endpoint, call)

    def find(self, address: str) -> Optional[Endpoint]:
        """Return the endpoint at an address, if there is one."""
        return self.members.find(address)

    def resolved(self, address: str) -> Sequence[Endpoint]:
        """Return the endpoints of one configured address: its own, or those that its name stands for."""
        return self.members.resolved(address)

    @property
    def connections(self) -> Optional[Connections]:
        """What counts its connections but those of priorities that have a limit of their own; None: they have none."""
        return self.connection_limits.others

    @property
    def trials(self) -> Sequence[Endpoint]:
        """Those that take one call to find out whether they are well again."""
        return self.picks.trials

    def forward(self, call: Call) -> Awaitable[Reply]:
        """Send the call to one endpoint by the call's own protocol, and return its reply."""
        try:
            proceed = self.forwards[call.protocol]
        except KeyError:
            detail = f"cluster {self.name} takes no {call.protocol} calls, or is gone"
            raise MeshError(Kind.NO_CLUSTER, detail) from None
        return proceed(call)

    def unreachable(self, endpoint: Endpoint) -> None:
        """`endpoint` could not be connected to: for a moment the others take its calls, if there are any."""
        if self._running:
            self.picks.rest(endpoint)

    # --- its life

    def adopt(self, old: Cluster) -> None:
        """Go on with the endpoints of `old` that this cluster has too: their health, counts and connections.

        Both clusters may be used until `old` is stopped.  What the new configuration says of an endpoint (its weight,
        zone and labels) holds from `start` on, so that a change which is given up changes nothing.
        """
        self.members.adopt(old.members)
        if self.room is not None and old.room is not None:
            self.room = old.room
        self.connection_limits.adopt(old.connection_limits)
        self.picks.adopt(old.picks)
        self.members.settle()

    def start(self) -> Deferred[None]:
        """Begin resolving, following and checking.

        What is returned fires when every name was looked up once, well or not, and the service is known.
        """
        self._running = True
        self.picks.start()
        if self.room is not None and self.config.limits is not None:
            self.room.configure(self.config.limits)
            self.connection_limits.configure(self.config.limits)
        return self.members.start()

    def stop(self) -> None:
        """End resolving and checking; endpoints that no other cluster has adopted drain."""
        if not self._running:
            return
        self._running = False
        self.picks.stop()
        self._conducts.stop()
        if self._checks is not None:
            self._checks.stop()
        self.members.stop()

    def let_go(self) -> None:
        """No new calls come: keep what sends them only as long as those in flight do, which know by which they go."""
        self.forwards = WeakValueDictionary(self.forwards)

    @property
    def ready(self) -> bool:
        """Whether a call has good prospects: an endpoint can be used, and where there are checks one is healthy."""
        if self.switch.closed:
            return False
        if self._checks is None:
            return bool(self.usable)
        return any(each.checked and each.healthy for each in self.usable)

    @property
    def trouble(self) -> str:
        """Why no call can be sent, for people; "" while one can."""
        if self.switch.closed:
            return self.switch.trouble
        if self.usable:
            return ""
        if self.endpoints and all(each.out for each in self.endpoints):
            return f"all of {len(self.endpoints)} endpoints are out: {self.endpoints[0].out}"
        held = self._conducts.trouble(self.endpoints)
        if held:
            return held
        if self.endpoints:
            return f"none of {len(self.endpoints)} endpoints is healthy"
        return self.members.trouble

    def describe(self) -> dict[str, object]:
        """Everything worth showing to an operator."""
        return {
            "name": self.name,
            "balance": self.config.balance,
            "ready": self.ready,
            "panicking": self.panicking,
            "maintenance": self.switch.describe(),
            "trouble": self.trouble,
            "room": None if self.room is None else self.room.describe(),
            "connections": self.connection_limits.describe(),
            "retries": self.retries.describe(),
            "usable": [each.address for each in self.usable],
            "endpoints": [each.describe() for each in self.endpoints],
            **self.picks.describe(),
            **self.members.describe(),
            **{name: say() for name, say in self.details.items()},
        }

    # --- the endpoints

    def replace(self, group: str, endpoints: Sequence[Endpoint]) -> None:
        """Have exactly these endpoints of `group`, beside those of other groups; see `Members.replace`."""
        self.members.replace(group, endpoints)

    def _settled(self, moved: bool, reweighted: bool) -> None:
        """The endpoints were worked out anew."""
        self.endpoints = self.members.endpoints
        if self._running:
            reweighted = self.switch.follow(self.members.overrides, self.config.service) or reweighted
            self._tend(moved)
        self.refresh(reweighted)

    def _tend(self, moved: bool) -> None:
        """Count and check exactly the endpoints there are."""
        self._cells.changes.value += int(moved)
        self._cells.overridden.value = sum(each.override is not None for each in self.endpoints)
        self._conducts.tend(self.endpoints)
        if self._checks is not None:
            self._checks.watch([each for each in self.endpoints if not under_maintenance(each)])
            return
        for each in self.endpoints:
            each.forget_health()

    def refresh(self, rebuild: bool = False) -> None:
        """Work out again which endpoints take calls; to be called when the state of one has changed.

        :param rebuild: a weight has changed too.
        """
        wanted = [each for each in self.endpoints if not each.out]
        # An endpoint that is about to end still serves, and is better than none.
        wanted = wanted or [each for each in self.endpoints if each.out == DRAINING]
        well, panicking = usable(wanted, self.config.panic_threshold)
        if panicking and self.picks.suffices(self.endpoints, wanted):
            well, panicking = usable(wanted, 0.0)
        chosen = self._conducts.admitted(well)
        trials = self._conducts.offered(well)
        rebuild = rebuild or trials != self.picks.trials
        self.picks.trials = trials
        if self._running:
            self._cells.endpoints.value = len(self.endpoints)
            self._cells.healthy.value = sum(each.healthy for each in self.endpoints)
            self._say(chosen, panicking)
        if chosen == self.usable and panicking == self.panicking and not rebuild:
            return
        self.usable = chosen
        self.panicking = panicking
        self.picks.use(self.endpoints, chosen, trials, panicking)
        for each in list(self.on_change):
            each(self)

    def _say(self, chosen: Sequence[Endpoint], panicking: bool) -> None:
        """Log what an operator should know, once each time it begins and ends."""
        log, healthy = self.env.log, sum(each.healthy for each in self.endpoints)
        if panicking and not self.panicking:
            log.warn(
                "cluster {cluster} panics: {healthy} of {all} endpoints are healthy, so all are used",
                cluster=self.name,
                healthy=healthy,
                all=len(self.endpoints),
            )
        elif self.panicking and not panicking:
            log.info("cluster {cluster} panics no more: {healthy} are healthy", cluster=self.name, healthy=healthy)
        if self.usable and not chosen:
            log.error("cluster {cluster} has no endpoint left that can be used", cluster=self.name)
        elif chosen and not self.usable:
            log.info("cluster {cluster} has {count} endpoints to use", cluster=self.name, count=len(chosen))


def _nobody_of(cluster: Cluster) -> Callable[[], Endpoint]:
    name, kept = cluster.name, ref(cluster)

    def nobody() -> Endpoint:
        alive = kept()
        why = "it is gone" if alive is None else alive.trouble
        raise MeshError(Kind.NO_ENDPOINT, f"cluster {name}: {why}", origin=Origin.UPSTREAM)

    return nobody


class _Cells:
    """What a cluster counts."""

    __slots__ = ("changes", "endpoints", "healthy", "overridden")

    def __init__(self, families: Families, cluster: str) -> None:
        self.endpoints = families.endpoints.labels(cluster)
        self.healthy = families.endpoints_healthy.labels(cluster)
        self.changes = families.membership_changes.labels(cluster)
        self.overridden = families.overridden.labels(cluster)

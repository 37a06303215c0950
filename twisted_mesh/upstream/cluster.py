"""A named set of endpoints, and which of them takes the next call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Awaitable, Callable, Optional, Sequence

from twisted.internet.defer import Deferred, DeferredList

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env, Proceed
from twisted_mesh.model.cluster import KEYED
from twisted_mesh.policy.balance import BALANCES, pick_random
from twisted_mesh.policy.ewma import peak_ewma
from twisted_mesh.policy.health import usable
from twisted_mesh.upstream.conducts import Conducts
from twisted_mesh.upstream.connections import Connections
from twisted_mesh.upstream.discovered import Discovered
from twisted_mesh.upstream.endpoint import DRAINING, Endpoint
from twisted_mesh.upstream.health import HealthChecks
from twisted_mesh.upstream.keyed import Keyed
from twisted_mesh.upstream.maintenance import Switch
from twisted_mesh.upstream.names import NameWatch, at
from twisted_mesh.upstream.overruled import Overrides, overrule, under_maintenance
from twisted_mesh.upstream.resolve import Resolver, SystemResolver
from twisted_mesh.upstream.resting import Resting
from twisted_mesh.upstream.retries import Retries
from twisted_mesh.upstream.room import Room
from twisted_mesh.upstream.services import Services, Stoppable, Verdicts
from twisted_mesh.upstream.watched import watched

if TYPE_CHECKING:
    from twisted_mesh.model import Address
    from twisted_mesh.model import Cluster as ClusterConfig
    from twisted_mesh.model import Endpoint as EndpointConfig
    from twisted_mesh.net.connect import Connector

# The group of the endpoints that the configuration gives as addresses; those of a name have the name's own.
STATIC = ""
# The group of those that the registry knows; no address looks like that.
SERVICE = "service"


class Cluster:
    """A named set of endpoints.

    `endpoints` are all of them, `usable` those that calls go to now, `panicking` says that these are all of them for
    want of healthy ones.  `forwards` holds the innermost `proceed` by protocol, `room` counts their calls where it is
    limited.  `on_change` functions are called with
    the cluster when `usable` has changed.

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
    ) -> None:
        self.name = name
        self.config = config
        self.env = env
        self.connect_timeout: float = config.connect_timeout
        self.forwards: dict[str, Proceed] = {}
        self.on_change: list[Callable[[Cluster], None]] = []
        self.endpoints: tuple[Endpoint, ...] = ()
        self.usable: tuple[Endpoint, ...] = ()
        self.panicking = False
        self._keyed: Optional[Keyed] = None
        if config.balance in KEYED:
            self._keyed = Keyed(config.balance, config.hash, env)
        self._conducts = Conducts(name, env, watched(config), self.refresh, verdicts)
        # Those to which one call may be sent to find out; `_special` says that picking is not for the balance alone.
        self._trials: list[Endpoint] = []
        self._special = self._keyed is not None
        self.switch = Switch(name, env)
        self.room = None if config.limits is None else Room(name, config.limits, env)
        most_open = None if config.limits is None else config.limits.connections
        self.connections = None if most_open is None else Connections(most_open)
        self.retries = Retries(name, config.limits, env)
        self._resting = Resting(env.clock, self._choose)
        self._next: Callable[[], Endpoint] = self._none
        self._known: dict[str, Endpoint] = {}
        self._held: set[Endpoint] = set()
        self._running = False
        self._cells = _Cells(Families(env.metrics), name)
        self._checks: Optional[HealthChecks] = None
        if config.health_check is not None:
            login = ("", "") if config.redis is None else (config.redis.username, config.redis.password)
            self._checks = HealthChecks(
                name, config.health_check, env, connector, lambda endpoint: self.refresh(), login
            )
        literal = [each for each in config.endpoints if each.address.family is not None]
        self._named = {str(each.address): each for each in config.endpoints if each.address.family is None}
        self._groups: dict[str, Sequence[Endpoint]] = {STATIC: [_endpoint(each) for each in literal]}
        self._watches: dict[str, NameWatch] = {}
        self._connector = connector
        self._resolver = resolver
        for key, each in self._named.items():
            self._groups[key] = ()
            self._watches[key] = self._watch(each.address, self._found)
        self._discovered: Optional[Discovered] = None
        if config.service is not None:
            assert services is not None, "a cluster of a service needs the registry"
            self._discovered = Discovered(
                name, config, services, env, lambda found: self.replace(SERVICE, found), self._alter, self._watch
            )
        self._overrides = overrides
        self._overruling: Optional[Stoppable] = None
        self._settle()

    def __repr__(self) -> str:
        panic = " panicking" if self.panicking else ""
        return f"<Cluster {self.name} {len(self.usable)} of {len(self.endpoints)} usable{panic}>"

    # --- the hot path

    def pick(self, call: Call) -> Endpoint:
        """Return the endpoint for the next try of `call`, one that it has not tried yet if there is any.

        Setting ``call.endpoint`` and counting the call as active is up to the caller.

        :raises MeshError: `Kind.NO_ENDPOINT`: there is none that may be used; `Kind.MAINTENANCE`.
        """
        if call.tried or self._special:
            return self._pick_other(call)
        return self._next()

    def admits(self, endpoint: Endpoint, call: Call) -> bool:
        """Return whether this endpoint, which nothing else can stand in for, takes the call now.

        Where its breaker is half-open, the call is the one that finds out.
        """
        if endpoint in self._trials:
            self._conducts.probe(endpoint, call)
            return True
        return endpoint in self.usable

    def find(self, address: str) -> Optional[Endpoint]:
        """Return the endpoint at an address, if there is one."""
        return self._known.get(address)

    def resolved(self, address: str) -> Sequence[Endpoint]:
        """Return the endpoints of one configured address: its own, or those that its name stands for."""
        known = self._known.get(address)
        return self._groups.get(address, ()) if known is None else (known,)

    @property
    def trials(self) -> Sequence[Endpoint]:
        """Those that take one call to find out whether they are well again."""
        return self._trials

    def forward(self, call: Call) -> Awaitable[Reply]:
        """Send the call to one endpoint by the call's own protocol, and return its reply."""
        return self.forwards[call.protocol](call)

    def _pick_other(self, call: Call) -> Endpoint:
        if self.switch.on:
            self.switch.check()
        if self._keyed is not None:
            owner = self._keyed.pick(call)
            if owner is not None:
                self._cells.panic_picks.value += self.panicking
                if owner in self._trials:
                    self._conducts.probe(owner, call)
                return owner
        for each in self._trials:
            if each not in call.tried:
                self._conducts.probe(each, call)
                return each
        picked = self._next()
        if picked not in call.tried:
            return picked
        rest = self._resting.awake([each for each in self.usable if each not in call.tried])
        return self._spread(rest)() if rest else picked

    def unreachable(self, endpoint: Endpoint) -> None:
        """`endpoint` could not be connected to: for a moment the others take its calls, if there are any."""
        if self._running and len(self.usable) > 1:
            self._resting.add(endpoint)

    def _none(self) -> Endpoint:
        raise MeshError(Kind.NO_ENDPOINT, f"cluster {self.name}: {self.trouble}", origin=Origin.UPSTREAM)

    def _counted(self, pick: Callable[[], Endpoint]) -> Callable[[], Endpoint]:
        def counted() -> Endpoint:
            self._cells.panic_picks.value += 1
            return pick()

        return counted

    # --- its life

    def adopt(self, old: Cluster) -> None:
        """Go on with the endpoints of `old` that this cluster has too: their health, counts and connections.

        Both clusters may be used until `old` is stopped.  What the new configuration says of an endpoint (its weight,
        zone and labels) holds from `start` on, so that a change which is given up changes nothing.
        """
        self._known = dict(old._known)
        for key, watch in self._watches.items():
            before = old._watches.get(key)
            if before is not None:
                watch.addresses = before.addresses
                self._groups[key] = self._resolved(watch)
        if self._discovered is not None and old._discovered is not None:
            self._discovered.adopt(old._discovered)
        if self.room is not None and old.room is not None:
            self.room = old.room
        if self.connections is not None and old.connections is not None:
            self.connections = old.connections
        if self._keyed is not None and old._keyed is not None:
            self._keyed.adopt(old._keyed)
        self._settle()

    def start(self) -> Deferred[None]:
        """Begin resolving, following and checking.

        What is returned fires when every name was looked up once, well or not, and the service is known.
        """
        self._running = True
        if self.room is not None and self.config.limits is not None:
            self.room.configure(self.config.limits)
            if self.connections is not None and self.config.limits.connections is not None:
                self.connections.configure(self.config.limits.connections)
        if self._overrides is not None:
            self._overruling = self._overrides.follow(self._overruled)
        self._settle()
        begun = [each.start() for each in self._watches.values()]
        if self._discovered is not None:
            begun.append(self._discovered.start())
        return DeferredList(begun).addCallback(lambda results: None)

    def stop(self) -> None:
        """End resolving and checking; endpoints that no other cluster has adopted drain."""
        if not self._running:
            return
        self._running = False
        self._resting.stop()
        self._conducts.stop()
        if self._keyed is not None:
            self._keyed.stop()
        for each in self._watches.values():
            each.stop()
        if self._discovered is not None:
            self._discovered.stop()
        if self._overruling is not None:
            self._overruling.stop()
            self._overruling = None
        if self._checks is not None:
            self._checks.stop()
        for endpoint in self._held:
            endpoint.release()
        self._held = set()

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
        if self._discovered is not None:
            return self._discovered.trouble
        return "; ".join(each.problem for each in self._watches.values() if each.problem) or "no endpoint"

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
            "connections": None if self.connections is None else self.connections.describe(),
            "usable": [each.address for each in self.usable],
            "endpoints": [each.describe() for each in self.endpoints],
            "names": {
                key: {"addresses": list(each.addresses), "problem": each.problem} for key, each in self._watches.items()
            },
            "registry": None if self._discovered is None else self._discovered.describe(),
        }

    # --- the endpoints

    def replace(self, group: str, endpoints: Sequence[Endpoint]) -> None:
        """Have exactly these endpoints of `group`, beside those of other groups.

        One whose address is known stays the object it is, with its state, and takes over what is declared.  An address
        in several groups belongs to the first.
        """
        self._groups[group] = endpoints
        self._settle()

    def _alter(self, changed: Sequence[Endpoint], gone: Sequence[str]) -> None:
        """Have these endpoints of the service beside or in place of others, and none at the addresses in `gone`."""
        members = set(self._known)
        for address in gone:
            endpoint = self._known.pop(address)
            self._held.discard(endpoint)
            endpoint.release()
        reweighted = False
        for fresh in changed:
            known = self._known.setdefault(fresh.address, fresh)
            if known is not fresh:
                reweighted = known.configure(fresh) or reweighted
            elif known not in self._held:
                self._held.add(known)
                known.hold()
        touched = [self._known[each.address] for each in changed]
        reweighted = overrule(self.name, self.config.service, touched, self._overrides) or reweighted
        if self._known.keys() != members:
            self.endpoints = tuple(self._known.values())
            self._tend()
        self.refresh(reweighted)

    def _watch(self, address: Address, found: Callable[[NameWatch], None]) -> NameWatch:
        self._resolver = self._resolver or SystemResolver(self.env.clock)
        return NameWatch(
            self.name, address, self.config.dns, self.env, self._connector, self._resolver, found, self._failures
        )

    def _found(self, watch: NameWatch) -> None:
        self.replace(str(watch.address), self._resolved(watch))

    def _resolved(self, watch: NameWatch) -> list[Endpoint]:
        config = self._named[str(watch.address)]
        return [_endpoint(config, host) for host in watch.addresses]

    def _failures(self, address: str) -> int:
        known = self._known.get(address)
        return known.failures if known is not None else 0

    def _overruled(self) -> None:
        """What operators say at run time has changed."""
        if self._running:
            self._settle()

    def _settle(self) -> None:
        """Bring the endpoints in line with the groups."""
        before = self.endpoints
        if self._discovered is not None:
            self._groups[SERVICE] = self._discovered.endpoints
        found: dict[str, Endpoint] = {}
        reweighted = False
        for group in self._groups.values():
            for fresh in group:
                if fresh.address in found:
                    continue
                known = self._known.get(fresh.address, fresh)
                if known is not fresh and self._running:
                    reweighted = known.configure(fresh) or reweighted
                found[fresh.address] = known
        self.endpoints = tuple(found.values())
        self._known = found
        if self._running:
            reweighted = overrule(self.name, self.config.service, self.endpoints, self._overrides) or reweighted
            reweighted = self.switch.follow(self._overrides, self.config.service) or reweighted
            self._take_care(before)
        self.refresh(reweighted)

    def _take_care(self, before: Sequence[Endpoint]) -> None:
        """Hold what is new, let go what is gone, and check exactly what there is."""
        now = set(self.endpoints)
        for each in now - self._held:
            each.hold()
        for each in self._held - now:
            each.release()
        self._held = now
        self._tend(now != set(before))

    def _tend(self, changed: bool = True) -> None:
        """Count and check exactly the endpoints there are."""
        self._cells.changes.value += int(changed)
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
        chosen = self._conducts.admitted(well)
        trials = self._conducts.offered(well)
        rebuild = rebuild or trials != self._trials
        self._trials = trials
        if self._running:
            self._cells.endpoints.value = len(self.endpoints)
            self._cells.healthy.value = sum(each.healthy for each in self.endpoints)
            self._say(chosen, panicking)
        if chosen == self.usable and panicking == self.panicking and not rebuild:
            return
        self.usable = chosen
        self.panicking = panicking
        self._choose()
        for each in list(self.on_change):
            each(self)

    def _choose(self) -> None:
        """Prepare the next picks."""
        chosen = self._resting.awake(self.usable)
        if self._keyed is not None:
            self._keyed.use(self.endpoints, [*chosen, *self._trials])
        self._special = self._keyed is not None or bool(self._trials) or self.switch.on
        pick = self._spread(chosen) if chosen else self._none
        self._next = self._counted(pick) if self.panicking else pick

    def _spread(self, endpoints: Sequence[Endpoint]) -> Callable[[], Endpoint]:
        """Return a function that picks among these by the cluster's balance."""
        dice = self.env.random.random
        if self.config.balance == "peak_ewma":
            return peak_ewma(endpoints, self._conducts.latencies(endpoints), dice, self.env.now)
        # What has no key goes anywhere.
        return pick_random(endpoints, dice) if self._keyed else BALANCES[self.config.balance](endpoints, dice)

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


def _endpoint(config: EndpointConfig, host: str = "") -> Endpoint:
    """Make an endpoint, at `host` if the configured address is a name."""
    address = config.address
    return Endpoint(
        at(address, host) if host else address,
        name=str(address) if host else "",
        weight=config.weight,
        zone=config.zone,
        labels=config.labels,
    )


class _Cells:
    """What a cluster counts."""

    __slots__ = ("changes", "endpoints", "healthy", "overridden", "panic_picks")

    def __init__(self, families: Families, cluster: str) -> None:
        self.endpoints = families.endpoints.labels(cluster)
        self.healthy = families.endpoints_healthy.labels(cluster)
        self.panic_picks = families.panic_picks.labels(cluster)
        self.changes = families.membership_changes.labels(cluster)
        self.overridden = families.overridden.labels(cluster)

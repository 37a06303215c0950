"""The endpoints of a cluster whose instances the registry knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Collection, Mapping, Optional, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env
from twisted_mesh.model.address import Address
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.instance_names import InstanceNames, Watch
from twisted_mesh.upstream.kept import Kept
from twisted_mesh.upstream.names import at
from twisted_mesh.upstream.services import InstanceLike, Services, Stoppable, ViewLike

if TYPE_CHECKING:
    from twisted_mesh.model import Cluster as ClusterConfig

# How long a cluster that is new waits to hear of its service before calls go on without; seconds.
FIRST_VIEW = 2.0


Alter = Callable[[Sequence[Endpoint], Sequence[str]], None]
"""Has endpoints beside those there are, or in their place; and none at some addresses."""

# Why endpoints are kept, and for how long those that Redis has lost may take to come back when the first have; seconds.
EMPTY = "the registry knows no instance any more"
LOST = "the registry has lost what it knew"
COMING_BACK = 15.0
# A change of fewer instances than this share of all is made to those alone.
FEW = 8


class Discovered:
    """Turns what the registry knows of one service into endpoints.

    `replace` is called with all of them, or `alter` with those that have changed: a service may have thousands.

    When the registry suddenly knows none, the last ones are kept for `keep_last_good` seconds.  When Redis has lost
    what it had, those that are not registered again yet are kept too, until some time after the first have come back.
    A kept endpoint and a suspect are gone as soon as one connection to them is refused.
    """

    def __init__(
        self,
        cluster: str,
        config: ClusterConfig,
        services: Services,
        env: Env,
        replace: Callable[[Sequence[Endpoint]], None],
        alter: Alter,
        watch: Watch,
    ) -> None:
        assert config.service is not None
        self.cluster = cluster
        self.service: str = config.service
        self._config = config
        self._services = services
        self._env = env
        self._replace = replace
        self._alter = alter
        self._names = InstanceNames(watch, self._resolved)
        # The endpoint of each instance, and the instance at each address; one with a name may have several.
        self._made: dict[str, Sequence[Endpoint]] = {}
        self._holders: dict[str, str] = {}
        self._view: Optional[ViewLike] = None
        self._following: Optional[Stoppable] = None
        self._first: Optional[Deferred[None]] = None
        self._first_timer: Optional[IDelayedCall] = None
        # Suspects that have refused a connection; the registry is told, and may be slow to hear.
        self._refused: set[str] = set()
        self._useless: set[str] = set()
        families = Families(env.metrics)
        self._suspects = families.suspects.labels(cluster)
        self._kept = Kept(env, self._kept_long_enough, self._kept_refused, families.kept.labels(cluster))

    def __repr__(self) -> str:
        kept = " kept" if self._kept.made else ""
        return f"<Discovered {self.service} for {self.cluster}: {len(self.endpoints)} endpoints{kept}>"

    @property
    def endpoints(self) -> list[Endpoint]:
        """All of them; fresh ones, of which the cluster may have others with their state."""
        return [each for made in self._made.values() for each in made]

    # --- its life

    def adopt(self, old: Discovered) -> None:
        """Begin with what the one before knows, as far as it is wanted here too."""
        if old.service == self.service and old._view is not None:
            self._view = old._view
            self._names.adopt(old._names)
            self._have(self._wanted(old._view) or old._made)

    def start(self) -> Deferred[None]:
        """Begin to follow; what is returned fires when the service is known, or after `FIRST_VIEW` seconds."""
        first: Deferred[None] = Deferred()
        self._first = first
        self._first_timer = self._env.clock.callLater(FIRST_VIEW, self._waited)
        self._names.start()
        self._following = self._services.follow(self.service, self._changed)
        return first

    def stop(self) -> None:
        """Follow no more."""
        if self._following is not None:
            self._following.stop()
            self._following = None
        self._names.stop()
        self._kept.end()
        self._waited()

    def _waited(self) -> None:
        first, self._first = self._first, None
        timer, self._first_timer = self._first_timer, None
        if timer is not None and timer.active():
            timer.cancel()
        if first is not None:
            first.callback(None)

    @property
    def trouble(self) -> str:
        """Why there is no endpoint, for people."""
        if self._view is None or not (self._view.known or self._view.records):
            return f"nothing is known of service {self.service} yet"
        if self._view.records:
            unresolved = self._names.problem()
            if unresolved:
                return unresolved
            said = ", ".join(f"{name}: {value}" for name, value in self._config.subset.items())
            return f"service {self.service} has no instance with {said or 'such a port'}"
        return f"service {self.service} has no instance"

    def describe(self) -> dict[str, object]:
        """Everything worth showing to an operator."""
        view = self._view
        return {
            "service": self.service,
            "subset": dict(self._config.subset),
            "version": 0 if view is None else view.version,
            "synced": view is not None and view.synced,
            "stale_since": None if view is None else view.stale_since,
            "kept_until": self._kept.until,
            "suspects": {}
            if view is None
            else {id: {"until": each.until, "reason": each.why} for id, each in view.suspects.items()},
        }

    # --- changes

    def _changed(self, view: ViewLike) -> None:
        self._view = view
        self._refused &= view.suspects.keys()
        self._suspects.value = len(view.suspects)
        if not self._take_few(view):
            self._take_all(view, view.vanished)
        if view.known or view.records:
            self._waited()

    def _take_few(self, view: ViewLike) -> bool:
        """Take in a change of a few instances; returns whether that was possible."""
        if self._kept.made or view.vanished or len(view.touched) * FEW > len(self._made):
            return False
        changed: dict[str, Endpoint] = {}
        gone: set[str] = set()
        for id in view.touched:
            before = self._made.get(id, ())
            made = self._of(view, id)
            if made is None or len(made) > 1 or len(before) > 1 or any(each.name for each in (*before, *made)):
                return False
            if any(self._holders.get(each.address, id) != id for each in made):
                # Somebody else has the address: that takes all of them to decide.
                return False
            gone.update(each.address for each in before)
            for each in made:
                changed[id] = each
        gone -= {each.address for each in changed.values()}
        if len(gone) == len(self._holders) or len(self._holders) != len(self._made):
            return False
        for address in gone:
            self._made.pop(self._holders.pop(address))
        for id, each in changed.items():
            self._made[id] = (each,)
            self._holders[each.address] = id
        if changed or gone:
            self._alter(list(changed.values()), list(gone))
        return True

    def _take_all(self, view: ViewLike, vanished: Collection[str] = ()) -> None:
        wanted = self._wanted(view)
        believed = {id: made for id, made in self._made.items() if id not in self._refused}
        lost = {id: made for id, made in believed.items() if id in vanished and id not in self._kept.made}
        if lost:
            self._keep(lost, LOST)
        elif not wanted and not self._kept.made:
            self._keep(believed, EMPTY)
        if wanted and self._kept.why == EMPTY:
            self._kept.end()
        elif wanted and self._kept.made:
            self._kept.shorten(COMING_BACK)
        self._use_with_kept(wanted)

    def _resolved(self) -> None:
        """The addresses of a name have changed."""
        if self._view is not None and self._following is not None:
            self._take_all(self._view)

    def _use(self, made: Mapping[str, Sequence[Endpoint]]) -> None:
        self._have(made)
        self._replace(self.endpoints)

    def _have(self, made: Mapping[str, Sequence[Endpoint]]) -> None:
        self._made = dict(made)
        self._holders = {}
        for id, endpoints in made.items():
            for each in endpoints:
                self._holders.setdefault(each.address, id)

    def _wanted(self, view: ViewLike) -> dict[str, Sequence[Endpoint]]:
        found: dict[str, Sequence[Endpoint]] = {}
        useless: set[str] = set()
        self._names.begin()
        for id in sorted(view.records):
            made = self._of(view, id)
            if made is None:
                useless.add(id)
            elif made:
                found[id] = made
        self._names.end()
        for id in useless - self._useless:
            self._env.log.warn(
                "cluster {cluster}: instance {service}/{id} has no port{protocol} and is passed over",
                cluster=self.cluster,
                service=self.service,
                id=id,
                protocol=f" for {self._config.port}" if self._config.port else "",
            )
        self._useless = useless
        return found

    def _of(self, view: ViewLike, id: str) -> Optional[list[Endpoint]]:
        """Return the endpoints of an instance, none if it is not wanted; None if it cannot be reached at all."""
        instance: Optional[InstanceLike] = view.records.get(id)
        if instance is None or id in self._refused or not self._matches(instance):
            return []
        target = instance.target(self._config.port)
        if not target:
            return None
        address = Address.parse(_literal(target))
        if address.family is not None:
            return [self._endpoint(instance, view.suspects.get(id), address)]
        found = [at(address, host) for host in self._names.addresses(address)]
        return [self._endpoint(instance, view.suspects.get(id), each, target) for each in found]

    def _matches(self, instance: InstanceLike) -> bool:
        return all(instance.label(name) == value for name, value in self._config.subset.items())

    def _endpoint(self, instance: InstanceLike, suspect: Any, address: Address, name: str = "") -> Endpoint:
        made = Endpoint(
            address,
            name=name,
            weight=instance.weight,
            zone=instance.zone,
            labels=instance.labels,
            instance=instance.id,
            unused="" if instance.status == "up" else instance.status,
        )
        if suspect is not None:
            made.doubt = f"a suspect: {suspect.why}"
            made.on_refused = self._suspect_refused
        return made

    # --- a service that is suddenly empty, or has lost some

    def _keep(self, made: Mapping[str, Sequence[Endpoint]], why: str) -> None:
        keep = self._config.keep_last_good
        if keep <= 0 or not made:
            return
        self._kept.keep(made, why, keep)
        self._env.log.warn(
            "cluster {cluster}: of service {service} {why}; its last {count} endpoints are kept for {keep:g} s",
            cluster=self.cluster,
            service=self.service,
            why=why,
            count=sum(map(len, made.values())),
            keep=keep,
        )

    def _use_with_kept(self, wanted: Mapping[str, Sequence[Endpoint]]) -> None:
        """Use what is wanted, and of what is kept the rest."""
        if self._kept.made:
            self._kept.drop(wanted.keys(), {each.address for made in wanted.values() for each in made})
        self._use({**wanted, **self._kept.made})

    def _kept_long_enough(self) -> None:
        self._env.log.info("cluster {cluster}: no endpoints are kept any more", cluster=self.cluster)
        self._use({} if self._view is None else self._wanted(self._view))

    # --- what calls have found

    def _kept_refused(self, endpoint: Endpoint) -> None:
        if self._kept.has(endpoint.address):
            self._said_no(endpoint)
            self._kept.drop((), {endpoint.address})
            self._use_with_kept({} if self._view is None else self._wanted(self._view))

    def _suspect_refused(self, endpoint: Endpoint) -> None:
        view, id = self._view, endpoint.instance
        if view is None or id not in view.suspects or id in self._refused:
            return
        self._said_no(endpoint)
        self._refused.add(id)
        self._services.refused(self.service, id).addErrback(self._not_told, id)
        self._take_all(view)

    def _not_told(self, failure: Any, id: str) -> None:
        self._env.log.warn(
            "cluster {cluster}: the registry could not be told that {service}/{id} is gone: {why}",
            cluster=self.cluster,
            service=self.service,
            id=id,
            why=failure.getErrorMessage(),
        )

    def _said_no(self, endpoint: Endpoint) -> None:
        self._env.log.warn(
            "cluster {cluster}: {service}/{id} at {address} refused a connection and is gone; it was {doubt}",
            cluster=self.cluster,
            service=self.service,
            id=endpoint.instance,
            address=endpoint.address,
            doubt=endpoint.doubt,
        )


def _literal(target: str) -> str:
    """A loopback name needs no resolver (RFC 6761, section 6.3)."""
    return "127.0.0.1" + target[9:] if target.startswith("localhost:") else target

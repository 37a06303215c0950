"""The endpoints of a cluster whose instances the registry knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Collection, Mapping, Optional, Protocol, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env
from twisted_mesh.model.address import Address
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.instance_names import InstanceNames, Watch
from twisted_mesh.upstream.names import at

if TYPE_CHECKING:
    from twisted_mesh.model import Cluster as ClusterConfig

# How long a cluster that is new waits to hear of its service before calls go on without; seconds.
FIRST_VIEW = 2.0


class InstanceLike(Protocol):
    """One instance of a service, as the registry knows it."""

    @property
    def id(self) -> str: ...
    @property
    def zone(self) -> str: ...
    @property
    def weight(self) -> int: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def version(self) -> str: ...
    @property
    def status(self) -> str: ...

    def label(self, name: str) -> str:
        """Return a label's value, "" if it has none."""

    def target(self, protocol: str = "") -> str:
        """Return ``host:port``, "" if there is no such port."""


class ViewLike(Protocol):
    """What is known of a service now."""

    version: int
    synced: bool
    known: bool
    stale_since: Optional[float]
    touched: frozenset[str]
    vanished: frozenset[str]

    @property
    def records(self) -> Mapping[str, Any]: ...
    @property
    def suspects(self) -> Mapping[str, Any]: ...


class Stoppable(Protocol):
    """What ends when it is told to."""

    def stop(self) -> None:
        """End."""


class Services(Protocol):
    """The service registry, as clusters see it."""

    def follow(self, service: str, changed: Callable[[Any], None]) -> Stoppable:
        """Call `changed` with the view of a service whenever it has changed, and at once if anything is known."""

    def refused(self, service: str, id: str) -> Deferred[bool]:
        """A connection to an instance was refused: if it is a suspect, it is gone."""


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
        self.kept_until: Optional[float] = None
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
        self._keeping: Optional[IDelayedCall] = None
        self._keep: dict[str, Sequence[Endpoint]] = {}
        self._keep_why = ""
        # Suspects that have refused a connection; the registry is told, and may be slow to hear.
        self._refused: set[str] = set()
        self._useless: set[str] = set()
        families = Families(env.metrics)
        self._suspects = families.suspects.labels(cluster)
        self._kept = families.kept.labels(cluster)

    def __repr__(self) -> str:
        kept = " kept" if self.kept_until is not None else ""
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
        self._end_keeping()
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
            "kept_until": self.kept_until,
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
        if self.kept_until is not None or view.vanished or len(view.touched) * FEW > len(self._made):
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
        lost = {id: made for id, made in self._made.items() if id in vanished and id not in self._keep}
        if lost:
            self._begin_keeping({**self._keep, **lost}, LOST)
        elif not wanted and self._made and self.kept_until is None:
            self._begin_keeping(self._made, EMPTY)
        if wanted and self._keep_why == EMPTY:
            self._end_keeping()
        elif wanted and self.kept_until is not None:
            self._keep_until(min(self.kept_until, self._env.wall() + COMING_BACK))
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

    # --- a service that is suddenly empty

    def _begin_keeping(self, made: Mapping[str, Sequence[Endpoint]], why: str) -> None:
        keep = self._config.keep_last_good
        if keep <= 0:
            return
        self._keep, self._keep_why = dict(made), why
        if self.kept_until is None:
            self._keep_until(self._env.wall() + keep)
        for each in self._kept_endpoints():
            each.doubt = f"kept: {why}"
            each.on_refused = self._kept_refused
        self._env.log.warn(
            "cluster {cluster}: of service {service} {why}; its last {count} endpoints are kept for {keep:g} s",
            cluster=self.cluster,
            service=self.service,
            why=why,
            count=len(self._kept_endpoints()),
            keep=keep,
        )

    def _keep_until(self, until: float) -> None:
        if self.kept_until is not None and until >= self.kept_until:
            return
        if self._keeping is not None:
            self._keeping.cancel()
        self.kept_until = until
        self._keeping = self._env.clock.callLater(max(0.0, until - self._env.wall()), self._kept_long_enough)

    def _kept_endpoints(self) -> list[Endpoint]:
        return [each for made in self._keep.values() for each in made]

    def _use_with_kept(self, wanted: Mapping[str, Sequence[Endpoint]]) -> None:
        """Use what is wanted, and of what is kept the rest."""
        if self.kept_until is not None:
            addresses = {each.address for made in wanted.values() for each in made}
            self._keep = {
                id: made
                for id, made in self._keep.items()
                if id not in wanted and not any(each.address in addresses for each in made)
            }
            self._kept.value = len(self._kept_endpoints())
            if not self._keep:
                self._end_keeping()
        self._use({**wanted, **self._keep})

    def _end_keeping(self) -> None:
        if self._keeping is not None and self._keeping.active():
            self._keeping.cancel()
        self._keeping = None
        self._keep, self._keep_why = {}, ""
        self._kept.value = 0
        if self.kept_until is not None:
            self.kept_until = None
            self._env.log.info("cluster {cluster}: no endpoints are kept any more", cluster=self.cluster)

    def _kept_long_enough(self) -> None:
        self._end_keeping()
        self._use({} if self._view is None else self._wanted(self._view))

    # --- what calls have found

    def _kept_refused(self, endpoint: Endpoint) -> None:
        if endpoint.address not in {each.address for each in self._kept_endpoints()}:
            return
        self._said_no(endpoint)
        rest = {id: [each for each in made if each.address != endpoint.address] for id, made in self._keep.items()}
        self._keep = {id: made for id, made in rest.items() if made}
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

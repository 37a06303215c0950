"""The endpoints that a cluster has: those configured, those that names stand for, those that the registry knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional, Sequence

from twisted.internet.defer import Deferred, DeferredList

from twisted_mesh.interfaces import Env
from twisted_mesh.model.cluster import has_labels
from twisted_mesh.upstream.discovered import Discovered
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.names import NameWatch, at
from twisted_mesh.upstream.overruled import Overrides, overrule
from twisted_mesh.upstream.resolve import Resolver, SystemResolver
from twisted_mesh.upstream.services import Services, Stoppable
from twisted_mesh.weakly import weakly

if TYPE_CHECKING:
    from twisted_mesh.model import Address
    from twisted_mesh.model import Cluster as ClusterConfig
    from twisted_mesh.model import Endpoint as EndpointConfig
    from twisted_mesh.net.connect import Connector

# The group of the endpoints that the configuration gives as addresses; those of a name have the name's own.
STATIC = ""
# The group of those that the registry knows; no address looks like that.
SERVICE = "service"
# The group of those that Redis servers told of; nor does any look like that.
TOLD = "redis"


class Members:
    """The endpoints of one cluster, and what operators say of them.

    `endpoints` are all of them.  After `start` they are held, and `settled` is called when they were worked out anew,
    with whether others are here now and whether calls are spread otherwise; `reweighted` when only that can be, with
    the same.
    """

    def __init__(
        self,
        name: str,
        config: ClusterConfig,
        env: Env,
        connector: Connector,
        resolver: Optional[Resolver],
        services: Optional[Services],
        overrides: Optional[Overrides],
        settled: Callable[[bool, bool], None],
        reweighted: Callable[[bool], None],
    ) -> None:
        self.endpoints: tuple[Endpoint, ...] = ()
        self.overrides = overrides
        self._name = name
        self._config = config
        self._env = env
        self._connector = connector
        self._resolver = resolver
        self._settled = settled
        self._reweighted = reweighted
        self._known: dict[str, Endpoint] = {}
        self._held: set[Endpoint] = set()
        self._running = False
        wanted = [each for each in config.endpoints if has_labels(each, config.subset)]
        literal = [each for each in wanted if each.address.family is not None]
        self._named = {str(each.address): each for each in wanted if each.address.family is None}
        self._groups: dict[str, Sequence[Endpoint]] = {STATIC: [_endpoint(each) for each in literal]}
        self._watches: dict[str, NameWatch] = {}
        for key, each in self._named.items():
            self._groups[key] = ()
            self._watches[key] = self._watch(each.address, weakly(self._found))
        self._discovered: Optional[Discovered] = None
        if config.service is not None:
            assert services is not None, "a cluster of a service needs the registry"
            self._discovered = Discovered(
                name, config, services, env, weakly(self._discover), weakly(self._alter), weakly(self._watch)
            )
        self._overruling: Optional[Stoppable] = None

    def __repr__(self) -> str:
        return f"<Members of {self._name}: {len(self.endpoints)} endpoints>"

    def find(self, address: str) -> Optional[Endpoint]:
        """Return the endpoint at an address, if there is one."""
        return self._known.get(address)

    def resolved(self, address: str) -> Sequence[Endpoint]:
        """Return the endpoints of one configured address: its own, or those that its name stands for."""
        known = self._known.get(address)
        return self._groups.get(address, ()) if known is None else (known,)

    # --- their life

    def adopt(self, old: Members) -> None:
        """Go on with the endpoints of `old` that are here too; see `Cluster.adopt`."""
        self._known = dict(old._known)
        for key, watch in self._watches.items():
            before = old._watches.get(key)
            if before is not None:
                watch.addresses = before.addresses
                self._groups[key] = self._resolved(watch)
        if self._discovered is not None and old._discovered is not None:
            self._discovered.adopt(old._discovered)
        if TOLD in old._groups and _asks_the_same(self._config, old._config):
            self._groups[TOLD] = old._groups[TOLD]

    def start(self) -> Deferred[None]:
        """Begin resolving and following.

        What is returned fires when every name was looked up once, well or not, and the service is known.
        """
        self._running = True
        if self.overrides is not None:
            self._overruling = self.overrides.follow(self._overruled)
        self.settle()
        begun = [each.start() for each in self._watches.values()]
        if self._discovered is not None:
            begun.append(self._discovered.start())
        return DeferredList(begun).addCallback(lambda results: None)

    def stop(self) -> None:
        """End that; endpoints that no other cluster has adopted drain."""
        self._running = False
        for each in self._watches.values():
            each.stop()
        if self._discovered is not None:
            self._discovered.stop()
        if self._overruling is not None:
            self._overruling.stop()
            self._overruling = None
        for endpoint in self._held:
            endpoint.release()
        self._held = set()

    @property
    def trouble(self) -> str:
        """Why there is no endpoint, for people."""
        if self._discovered is not None:
            return self._discovered.trouble
        return "; ".join(each.problem for each in self._watches.values() if each.problem) or "no endpoint"

    def describe(self) -> dict[str, object]:
        """Where the endpoints come from."""
        return {
            "names": {
                key: {"addresses": list(each.addresses), "problem": each.problem} for key, each in self._watches.items()
            },
            "registry": None if self._discovered is None else self._discovered.describe(),
        }

    # --- changes

    def replace(self, group: str, endpoints: Sequence[Endpoint]) -> None:
        """Have exactly these endpoints of `group`, beside those of other groups.

        One whose address is known stays the object it is, with its state, and takes over what is declared.  An address
        in several groups belongs to the first.
        """
        self._groups[group] = endpoints
        self.settle()

    def settle(self) -> None:
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
            reweighted = overrule(self._name, self._config.service, self.endpoints, self.overrides) or reweighted
            self._hold()
        self._settled(set(self.endpoints) != set(before), reweighted)

    def _hold(self) -> None:
        """Hold what is new, let go what is gone."""
        now = set(self.endpoints)
        for each in now - self._held:
            each.hold()
        for each in self._held - now:
            each.release()
        self._held = now

    def _discover(self, found: Sequence[Endpoint]) -> None:
        self.replace(SERVICE, found)

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
        reweighted = overrule(self._name, self._config.service, touched, self.overrides) or reweighted
        if self._known.keys() == members:
            self._reweighted(reweighted)
            return
        self.endpoints = tuple(self._known.values())
        self._settled(True, reweighted)

    def _watch(self, address: Address, found: Callable[[NameWatch], None]) -> NameWatch:
        self._resolver = self._resolver or SystemResolver(self._env.clock)
        failures = weakly(self._failures)
        return NameWatch(
            self._name, address, self._config.dns, self._env, self._connector, self._resolver, found, failures
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
            self.settle()


def _asks_the_same(new: ClusterConfig, old: ClusterConfig) -> bool:
    """Whether the same servers are asked for the others."""
    if new.redis is None or old.redis is None:
        return False
    who = new.endpoints, new.redis.topology, new.redis.sentinel
    return who == (old.endpoints, old.redis.topology, old.redis.sentinel)


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

"""From what runs now to another configuration.

1. `Change.steps` builds the new world beside the old and touches nothing that runs; `warm` looks up its names.
2. `open` opens the new sockets, the last thing that may fail; clients wait in them.
3. `begin` has the new clusters start.
4. `swap` makes all of it what runs, between two turns of the loop.
5. `tidy` ends what ran before and lets it go.

All but 2 and 4 are long for large configurations and come in steps, between which calls may run; those two take longer
with the number of listeners only.  Whatever goes wrong before the swap, `give_up` leaves everything as it was.  What is
equal in both worlds stays the same object: sockets, pools, endpoint state, filters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterator, Optional

from twisted_mesh.control.certificates import served_for
from twisted_mesh.control.compile import Chain, Chains
from twisted_mesh.control.listener import LiveListener
from twisted_mesh.control.world import World
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.net.accept import Accepted, Port
from twisted_mesh.upstream.cluster import Cluster

if TYPE_CHECKING:
    from twisted_mesh import model
    from twisted_mesh.net.certificates import Served


class Change:
    """One change from what runs now to another configuration."""

    def __init__(self, world: World, config: model.Config) -> None:
        self.world = world
        self.config = config
        self._clusters: dict[str, Cluster] = {}
        self._listeners: dict[str, LiveListener] = {}
        self._chains: dict[str, Chain] = {}
        self._served: dict[str, Optional[Served]] = {}
        self._all_chains: Optional[Chains] = None
        self._logs: set[str] = set()
        # Clusters that resolve already, before they begin.
        self._warmed: list[Cluster] = []
        self._ports: dict[str, dict[str, Port]] = {}
        self._opened: list[Port] = []
        self._swapped = False
        # What ran before, once it does not any more.
        self._left: list[Iterator[None]] = []

    def steps(self) -> Iterator[None]:
        """Build the new world.  Each step is short; what runs is not touched.

        :raises ConfigError: something could not be built.
        """
        world = self.world
        protocols = {each.protocol for each in self.config.listeners.values()}
        for name, cluster in self.config.clusters.items():
            old = world.clusters.get(name)
            if old is None or old.config != cluster:
                old = world.new_cluster(name, cluster)
            for protocol in protocols:
                world.reach(old, protocol)
            self._clusters[name] = old
            yield
        chains = Chains(self._clusters, world.env, find=world.find, before=world.chains)
        for name, listener in self.config.listeners.items():
            live = world.listeners.get(name)
            if live is None or live.config.protocol != listener.protocol:
                live = world.new_listener(name, listener)
            self._listeners[name] = live
            if listener.tls is not None:
                self._served[name] = served_for(name, listener, live)
            self._chains[name] = yield from chains.listener(name, self.config)
        chains.settled()
        self._all_chains = chains
        for path in _log_paths(self.config):
            if path is not None:
                self._logs.add(path)
            yield
        yield from self._adopt()

    def _adopt(self) -> Iterator[None]:
        """Have changed clusters know the endpoints of those before them, and note which must be looked up."""
        for name, cluster in self._clusters.items():
            old = self.world.clusters.get(name)
            if old is not None and old is not cluster:
                cluster.adopt(old)
            if old is not cluster and not cluster.usable:
                self._warmed.append(cluster)
            yield

    async def warm(self) -> None:
        """Look up the names of clusters that have no endpoint yet, so that the first calls to them find one."""
        for looked_up in [each.start() for each in self._warmed]:
            await looked_up

    def give_up(self) -> None:
        """Nothing comes of this change: end what was begun."""
        if self._swapped:
            return
        for port in self._opened:
            port.accepted = _turned_away
            port.stop_accepting()
        for name, cluster in self._clusters.items():
            if self.world.clusters.get(name) is not cluster:
                self.world.retire(cluster)

    def commit(self) -> None:
        """Do all that follows `warm` in one go.

        :raises ConfigError: a socket could not be opened; what ran goes on as it was.
        """
        self.open()
        for _ in self.begin():
            continue
        self.swap()
        for _ in self.tidy():
            continue

    def begin(self) -> Iterator[None]:
        """Have the clusters start that are new or have changed; calls still go to those before them."""
        world = self.world
        for name, cluster in self._clusters.items():
            old = world.clusters.get(name)
            if old is cluster:
                continue
            if cluster not in self._warmed:
                if old is not None:
                    cluster.adopt(old)
                if world.running:
                    cluster.start()
            world.take_over(cluster)
            yield

    def swap(self) -> None:
        """From now on this is what runs."""
        world = self.world
        self._swapped = True
        before, clusters, config, chains = world.listeners, world.clusters, world.config, world.chains
        for name, live in self._listeners.items():
            live.configure(self.config.listeners[name], self._chains[name], self.config.node.id, self._served.get(name))
        gone = {key: port for live in before.values() for key, port in live.ports.items()}
        for name, live in self._listeners.items():
            live.ports = self._ports[name]
            for key, port in live.ports.items():
                port.accepted = live.takes
                gone.pop(key, None)
        for port in gone.values():
            port.stop_accepting()
        for port in self._opened:
            port.resume()
        world.clusters = self._clusters
        world.listeners = self._listeners
        world.config = self.config
        world.chains = self._all_chains
        world.version += 1
        if config is None or config.node.zone != self.config.node.zone:
            world.moved()
        for name, live in before.items():
            if self._listeners.get(name) is not live:
                world.leave(live, self.config.drain.limit)
        world.env.logs.keep(self._logs)
        world.renewal.wake()
        self._left = [self._retire(clusters), _let_go(config)]
        if chains is not None and self._all_chains is not None:
            self._left.append(chains.let_go(self._all_chains))

    def tidy(self) -> Iterator[None]:
        """End what ran before, and let go of it a little at a time: freeing it takes some milliseconds."""
        for each in self._left:
            yield from each
        self._left = []

    def _retire(self, before: dict[str, Cluster]) -> Iterator[None]:
        gone = []
        while before:
            name, old = before.popitem()
            if self._clusters.get(name) is not old:
                self.world.retire(old)
            if name not in self._clusters:
                gone.append(name)
            del old
            yield
        if gone:
            yield from self.world.forget_clusters(gone)

    # --- sockets

    def open(self) -> None:
        """Find the ports of every listener: those that are open already, and new ones, open from now on but held.

        :raises ConfigError: one could not be opened; nothing has changed.
        """
        known = {key: port for live in self.world.listeners.values() for key, port in live.ports.items()}
        problems: list[Problem] = []
        for name, live in self._listeners.items():
            self._ports[name] = {}
            for at, bind in enumerate(self.config.listeners[name].bind):
                key = _key(name, at, bind)
                port = known.get(key)
                if port is None:
                    port = self.world.new_port(live, bind)
                    try:
                        port.start()
                    except OSError as error:
                        problems.append(Problem(f"listeners.{name}.bind[{at}]", 0, 0, "", error.strerror or str(error)))
                        continue
                    port.hold()
                    self._opened.append(port)
                self._ports[name][key] = port
        if problems:
            raise ConfigError(problems)


def _key(listener: str, at: int, bind: model.Bind) -> str:
    """What tells sockets apart across changes: the address; which listener has it does not matter.

    Port 0 is as many addresses as there are binds of it.
    """
    text = str(bind.address)
    return text if bind.address.path or bind.address.port else f"{text} {listener}[{at}]"


def _log_paths(config: model.Config) -> Iterator[Optional[str]]:
    """Yield every file that an access log of this configuration writes to, and None for the steps to one."""
    logs: list[Any] = [config.access_log, *(config.access_log_of(each) for each in config.listeners.values())]
    yield from (each.path for each in logs if each is not None and hasattr(each, "path"))
    yield from (_log_path(use) for each in config.listeners.values() for use in each.filters)
    tables = [*config.routes.values(), *(each.routes for each in config.listeners.values())]
    for table in tables:
        for route in table if not isinstance(table, str) else ():
            yield None
            yield from (_log_path(use) for use in route.filters)


def _log_path(use: model.FilterUse) -> Optional[str]:
    path: Optional[str] = getattr(use.settings, "path", None) if use.name == "access_log" else None
    return path


def _let_go(config: Optional[model.Config]) -> Iterator[None]:
    """Let go of a configuration, resource by resource."""
    if config is None:
        return
    resources: list[object] = [*config.listeners.values(), *config.clusters.values()]
    for table in config.routes.values():
        resources.extend(table)
    del config
    while resources:
        resources.pop()
        yield


def _turned_away(accepted: Accepted) -> None:
    accepted.sock.close()

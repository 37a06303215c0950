"""From what runs now to another configuration, in two steps.

`Change.steps` builds the new world beside the old, a little at a time, and touches nothing that runs.  `Change.commit`
then swaps all of it between two turns of the loop, or nothing if a socket cannot be opened; `Change.give_up` is then
called, as for whatever else goes wrong.  What is equal in both worlds stays the same object: sockets, pools, endpoint
state, filters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterator, Optional

from twisted_mesh.control.compile import Chain, Chains
from twisted_mesh.control.listener import LiveListener
from twisted_mesh.control.world import World
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.net.accept import Port
from twisted_mesh.upstream.cluster import Cluster

if TYPE_CHECKING:
    from twisted_mesh import model


class Change:
    """One change from what runs now to another configuration."""

    def __init__(self, world: World, config: model.Config) -> None:
        self.world = world
        self.config = config
        self._clusters: dict[str, Cluster] = {}
        self._listeners: dict[str, LiveListener] = {}
        self._chains: dict[str, Chain] = {}
        self._all_chains: Optional[Chains] = None
        # Clusters that resolve already, before the swap.
        self._warmed: list[Cluster] = []

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
                live = world.new_listener(name, listener, self.config.node.id)
            self._listeners[name] = live
            self._chains[name] = chains.listener(name, self.config)
            yield
        chains.settled()
        self._all_chains = chains

    async def warm(self) -> None:
        """Look up the names of clusters that have no endpoint yet, so that the first calls to them find one."""
        for name, cluster in self._clusters.items():
            old = self.world.clusters.get(name)
            if old is not None and old is not cluster:
                cluster.adopt(old)
            if old is not cluster and not cluster.usable:
                self._warmed.append(cluster)
        for looked_up in [each.start() for each in self._warmed]:
            await looked_up

    def give_up(self) -> None:
        """Nothing comes of this change: end what was begun."""
        for name, cluster in self._clusters.items():
            if self.world.clusters.get(name) is not cluster:
                self.world.retire(cluster)

    def commit(self) -> None:
        """Swap to the new world, in one go.

        :raises ConfigError: a socket could not be opened; what ran goes on as it was.
        """
        world = self.world
        before = world.listeners
        ports = self._open_ports()
        self._swap_clusters()
        for name, live in self._listeners.items():
            live.configure(self.config.listeners[name], self._chains[name])
        gone = {key: port for live in before.values() for key, port in live.ports.items()}
        for name, live in self._listeners.items():
            live.ports = ports[name]
            for key, port in live.ports.items():
                port.accepted = live.accepted
                gone.pop(key, None)
        for port in gone.values():
            port.stop_accepting()
        world.listeners = self._listeners
        world.config = self.config
        world.chains = self._all_chains
        world.version += 1
        for name, live in before.items():
            if self._listeners.get(name) is not live:
                world.leave(live, self.config.drain.limit)
        world.env.logs.keep(_log_paths(self.config))

    # --- sockets

    def _open_ports(self) -> dict[str, dict[str, Port]]:
        """Return the ports of every listener: those that are open already, and new ones, open now."""
        known = {key: port for live in self.world.listeners.values() for key, port in live.ports.items()}
        found: dict[str, dict[str, Port]] = {}
        opened: list[Port] = []
        problems: list[Problem] = []
        for name, live in self._listeners.items():
            found[name] = {}
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
                    opened.append(port)
                found[name][key] = port
        if problems:
            for port in opened:
                port.stop_accepting()
            raise ConfigError(problems)
        return found

    # --- clusters

    def _swap_clusters(self) -> None:
        world = self.world
        before, world.clusters = world.clusters, self._clusters
        for name, cluster in self._clusters.items():
            old = before.get(name)
            if old is cluster:
                continue
            if cluster not in self._warmed:
                if old is not None:
                    cluster.adopt(old)
                if world.running:
                    cluster.start()
            world.take_over(cluster)
        for name, old in before.items():
            if self._clusters.get(name) is not old:
                world.retire(old)
            if name not in self._clusters:
                world.forget_cluster(name)


def _key(listener: str, at: int, bind: model.Bind) -> str:
    """What tells sockets apart across changes: the address; which listener has it does not matter.

    Port 0 is as many addresses as there are binds of it.
    """
    text = str(bind.address)
    return text if bind.address.path or bind.address.port else f"{text} {listener}[{at}]"


def _log_paths(config: model.Config) -> set[str]:
    """Every file that an access log of this configuration writes to."""
    logs = [config.access_log, *(config.access_log_of(each) for each in config.listeners.values())]
    uses: list[Any] = [use for each in config.listeners.values() for use in each.filters]
    tables = [*config.routes.values(), *(each.routes for each in config.listeners.values())]
    uses += [use for table in tables if not isinstance(table, str) for route in table for use in route.filters]
    own = [use.settings for use in uses if use.name == "access_log"]
    return {each.path for each in [*logs, *own] if each is not None and hasattr(each, "path")}

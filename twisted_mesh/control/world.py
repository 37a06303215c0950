"""All that is live of one process: its clusters and its listeners.  `change` says how it becomes another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Awaitable, Iterable, Iterator, Optional, Protocol

from twisted.internet.defer import DeferredList

from twisted_mesh.call import Call, Reply
from twisted_mesh.control.certificates import Renewal
from twisted_mesh.control.compile import Chains, Find
from twisted_mesh.control.env import MeshEnv
from twisted_mesh.control.listener import ListenerAdapter, LiveListener, mode_of
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.interfaces import Proceed
from twisted_mesh.net.accept import Port
from twisted_mesh.net.connect import Connector
from twisted_mesh.upstream.affinity import Marking
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.room import Limited

if TYPE_CHECKING:
    from twisted_mesh import model


class Forward(Protocol):
    """The innermost `proceed` of one protocol to one cluster."""

    def __call__(self, call: Call) -> Awaitable[Reply]:
        """Send the call to one endpoint."""

    def start(self) -> None:
        """Look after the connections that endpoints bring along."""

    def stop(self) -> None:
        """Look after nothing any more."""


class World:
    """The live clusters and listeners.  Empty until the first change is committed.

    :param loop: the loop that sockets run on.
    :param find: finds the plugin of a filter by its name.
    """

    def __init__(self, env: MeshEnv, loop: asyncio.AbstractEventLoop, find: Find) -> None:
        self.env = env
        self.loop = loop
        self.find = find
        self.config: Optional[model.Config] = None
        self.version = 0
        self.chains: Optional[Chains] = None
        self.clusters: dict[str, Cluster] = {}
        self.listeners: dict[str, LiveListener] = {}
        # Listeners that are gone from the configuration and still have connections.
        self.leaving: list[LiveListener] = []
        self.connector = Connector(loop)
        self.renewal = Renewal(self)
        self.running = False
        self._forwards: dict[Cluster, list[Forward]] = {}

    def __repr__(self) -> str:
        return f"<World {self.version}: {len(self.listeners)} listeners, {len(self.clusters)} clusters>"

    # --- what is looked at

    def ready(self) -> tuple[bool, str]:
        """Whether calls can be served, and why not."""
        if self.config is None:
            return False, "no configuration was applied yet"
        # What operators have switched off keeps nobody from the rest.
        required = [each for each in self.clusters.values() if each.config.require_ready and not each.switch.on]
        waiting = [each for each in required if not each.ready]
        if waiting:
            return False, "; ".join(f"cluster {each.name}: {each.trouble or _unready(each)}" for each in waiting)
        return True, "ready"

    @property
    def everyone(self) -> list[LiveListener]:
        """Every listener that has connections, those that are leaving too."""
        return [*self.listeners.values(), *self.leaving]

    @property
    def connections(self) -> int:
        """Client connections open."""
        return sum(each.connections for each in self.everyone)

    @property
    def active(self) -> int:
        """Calls in flight."""
        return sum(each.adapter.active for each in self.everyone)

    # --- what is done to all

    def start(self) -> None:
        """Begin to resolve and check; the loop runs now.

        Clients wait in the backlog until every cluster that has no endpoint yet has looked up its names once, which the
        resolver bounds: the first calls must not fail for want of a name that is about to be known.
        """
        self.running = True
        begun = [(each, each.start()) for each in self.clusters.values()]
        waited_for = [looked_up for cluster, looked_up in begun if not looked_up.called and not cluster.usable]
        if waited_for:
            ports = [port for each in self.listeners.values() for port in each.ports.values()]
            for port in ports:
                port.hold()
            DeferredList(waited_for).addCallback(_resume, ports)

    def stop_accepting(self) -> None:
        """Accept what waits, then close the listening sockets."""
        for each in self.listeners.values():
            each.stop_accepting()

    def announce(self) -> None:
        """Tell clients, where the protocol can, that their connections will close."""
        for each in self.everyone:
            each.adapter.announce()

    def drain(self) -> None:
        """Answer what is in flight, close what is idle."""
        for each in self.everyone:
            each.adapter.drain()

    def close_all(self) -> None:
        """End every connection now."""
        for each in self.everyone:
            each.close_all()

    def stop(self) -> None:
        """Stop everything; the process ends."""
        self.running = False
        self.renewal.stop()
        self.stop_accepting()
        self.close_all()
        for each in self.clusters.values():
            self.retire(each)

    # --- parts of a change

    def new_cluster(self, name: str, config: model.Cluster) -> Cluster:
        """Make a cluster; `reach` says by which protocols calls are sent to it.

        :raises ConfigError: it is one of a service, and there is no registry.
        """
        env = self.env
        if config.service is not None and env.services is None:
            raise _needs_redis(f"clusters.{name}.service", f"service {config.service} needs the registry")
        for rule in ("breaker", "outlier"):
            settings = getattr(config, rule)
            if settings is not None and settings.shared and env.verdicts is None:
                raise _needs_redis(f"clusters.{name}.{rule}.shared", "sharing needs the mesh's Redis")
        return Cluster(
            name,
            config,
            env.named(f"clusters/{name}"),
            self.connector,
            services=env.services,
            overrides=env.overrides,
            verdicts=env.verdicts,
            zone=self._zone,
        )

    def reach(self, cluster: Cluster, protocol: str) -> None:
        """Have the cluster take calls of this protocol."""
        if protocol not in cluster.forwards:
            forward = self._new_forward(cluster, protocol)
            proceed: Proceed = forward
            if cluster.picks.affinity is not None and protocol == "http":
                proceed = Marking(cluster.picks.affinity, proceed)
            if cluster.room is not None:
                proceed = Limited(cluster, protocol, proceed)
            cluster.forwards[protocol] = proceed
            self._forwards.setdefault(cluster, []).append(forward)

    def _new_forward(self, cluster: Cluster, protocol: str) -> Forward:
        # Each is imported when it is first needed: most sidecars speak one of them.
        if protocol == "http":
            if cluster.connection_limits.own:
                from twisted_mesh.upstream.by_priority import HttpByPriority

                return HttpByPriority(cluster, self.connector, cluster.env)
            from twisted_mesh.upstream.http_forward import HttpForward

            return HttpForward(cluster, self.connector, cluster.env)
        if protocol == "redis":
            from twisted_mesh.upstream.redis import RedisForward

            return RedisForward(cluster, self.connector, cluster.env, self._zone)
        from twisted_mesh.upstream.tcp import TcpForward

        return TcpForward(cluster, self.connector, cluster.env)

    def _zone(self) -> str:
        return "" if self.config is None else self.config.node.zone

    def moved(self) -> None:
        """The sidecar is in another zone than before, as its configuration says."""
        for each in self.clusters.values():
            if each.config.locality is not None:
                each.refresh(True)

    def peek(self, cluster: Cluster, call: Call) -> tuple[Endpoint, str]:
        """Return the endpoint that a call to this cluster would go to if it came now, and why; nothing changes.

        :raises MeshError: it would go nowhere.
        """
        for each in self._forwards.get(cluster, ()):
            topology = getattr(each, "topology", None)
            if topology is not None and call.protocol == "redis":
                cluster.switch.check_closed()
                found: tuple[Endpoint, str] = topology.peek(call)
                return found
        return cluster.picks.peek(call)

    def take_over(self, cluster: Cluster) -> None:
        """A new cluster takes calls from now on."""
        for each in self._forwards.get(cluster, ()):
            each.start()

    def retire(self, cluster: Cluster) -> None:
        """A cluster takes no more calls."""
        cluster.stop()
        for each in self._forwards.pop(cluster, ()):
            each.stop()
        cluster.let_go()

    def new_listener(self, name: str, config: model.Listener) -> LiveListener:
        """Make a listener without sockets."""
        env = self.env.named(f"listeners/{name}")
        adapter: ListenerAdapter
        if config.protocol == "http":
            from twisted_mesh.adapters.http import HttpAdapter

            adapter = HttpAdapter(name, config.http, env)
        elif config.protocol == "redis":
            from twisted_mesh.adapters.redis import RedisAdapter

            adapter = RedisAdapter(name, config.redis, env)
        else:
            from twisted_mesh.adapters.tcp import TcpAdapter

            adapter = TcpAdapter(name, config.tcp, env)
        return LiveListener(name, config, adapter, env)

    def new_port(self, listener: LiveListener, bind: model.Bind) -> Port:
        """Make a port of a listener; it is not open yet."""
        return Port(
            self.loop,
            bind.address,
            listener.accepted,
            name=listener.name,
            metrics=self.env.metrics,
            protocol=listener.config.protocol,
            backlog=bind.backlog,
            mode=mode_of(bind),
        )

    def leave(self, listener: LiveListener, limit: float) -> None:
        """Drain a listener that is gone from the configuration, for at most `limit` seconds."""
        listener.adapter.drain()
        self.leaving.append(listener)
        until = self.env.now() + limit

        def look() -> None:
            if listener.connections and self.env.now() < until:
                self.env.clock.callLater(1.0, look)
                return
            listener.close_all()
            self.leaving.remove(listener)
            if listener.name not in self.listeners:
                self.env.metrics.forget("listener", listener.name)

        look()

    def forget_clusters(self, names: Iterable[str]) -> Iterator[None]:
        """Drop the metrics of clusters that are gone, in short steps."""
        return self.env.metrics.forget_steps("cluster", names)


def _needs_redis(path: str, what: str) -> ConfigError:
    message = f"{what}: say where it is with redis:, --redis or MESH_REDIS"
    return ConfigError([Problem(path, 0, 0, "", message)])


def _resume(results: object, ports: list[Port]) -> None:
    for port in ports:
        port.resume()


def _unready(cluster: Cluster) -> str:
    """Say why a cluster whose endpoints take calls is not ready."""
    checked = sum(each.checked for each in cluster.endpoints)
    return f"none of {checked} endpoints is healthy, so all are used" if checked else "not checked yet"

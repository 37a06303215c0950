"""Redis servers that belong together: a master with replicas that Sentinels watch, and a Redis Cluster."""

from __future__ import annotations

import os
from typing import Any, Optional

from tests.servers import Server
from tests.support import free_port, until

SLOTS = 16384


class Watched:
    """A master, its replicas, and the Sentinels that choose another master when it is away.

    :param down_after: milliseconds after which a server that does not answer counts as away.
    """

    def __init__(
        self,
        replicas: int = 1,
        sentinels: int = 3,
        down_after: int = 400,
        password: str = "",
        sentinel_password: str = "",
    ) -> None:
        self.password = password
        self.servers = [self._server() for _ in range(replicas + 1)]
        for each in self.servers[1:]:
            each("REPLICAOF", "127.0.0.1", self.servers[0].port)
        self.sentinels = [self._sentinel(down_after, sentinel_password) for _ in range(sentinels)]
        for each in self.sentinels:
            until(lambda each=each: self._knows_all(each), "Sentinels that know each other")  # type: ignore[misc]

    @property
    def url(self) -> str:
        login = f":{self.password}@" if self.password else ""
        return f"sentinel://{login}{','.join(each.address for each in self.sentinels)}/main/0"

    def _server(self) -> Server:
        # Replicas synchronise at once, and a paused one is noticed soon.
        return Server("--repl-diskless-sync-delay", 0, "--repl-timeout", 2, password=self.password).start()

    def _sentinel(self, down_after: int, sentinel_password: str) -> Server:
        made = Server()
        config = os.path.join(made.directory, "sentinel.conf")
        lines = [
            f"port {made.port}",
            "bind 127.0.0.1",
            f"dir {made.directory}",
            f"sentinel monitor main 127.0.0.1 {self.servers[0].port} 2",
            f"sentinel down-after-milliseconds main {down_after}",
            "sentinel failover-timeout main 2000",
        ]
        if self.password:
            lines.append(f"sentinel auth-pass main {self.password}")
        if sentinel_password:
            lines += [f"requirepass {sentinel_password}", f"sentinel sentinel-pass {sentinel_password}"]
        with open(config, "w") as file:
            file.write("\n".join(lines) + "\n")
        made.password = sentinel_password
        made.command_line = [config, "--sentinel"]
        return made.start()

    def _knows_all(self, sentinel: Server) -> bool:
        facts = _pairs(sentinel("SENTINEL", "MASTER", "main"))
        return (
            int(facts[b"num-other-sentinels"]) == len(self.sentinels) - 1
            and int(facts[b"num-slaves"]) == len(self.servers) - 1
            and all(b"disconnected" not in _pairs(each)[b"flags"] for each in sentinel("SENTINEL", "SENTINELS", "main"))
            and all(_pairs(each)[b"master-link-status"] == b"ok" for each in sentinel("SENTINEL", "REPLICAS", "main"))
        )

    def settled(self) -> bool:
        """Whether every server but one is a replica that follows it, for every Sentinel."""
        return all(self._knows_all(each) for each in self.sentinels)

    def stop(self) -> None:
        for each in [*self.sentinels, *self.servers]:
            each.stop()


def _pairs(flat: Any) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


class Cluster:
    """A Redis Cluster of three masters, each with a third of the slots, and perhaps a replica of each."""

    def __init__(self, replicas: bool = False) -> None:
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", 1000, "--cluster-replica-validity-factor", 0]
        self.masters = [Server(*options, "--cluster-port", free_port()).start() for _ in range(3)]
        self.replicas = [Server(*options, "--cluster-port", free_port()).start() for _ in range(3)] if replicas else []
        bounds = [0, SLOTS // 3, 2 * SLOTS // 3, SLOTS]
        for each, first, end in zip(self.masters, bounds, bounds[1:], strict=False):
            each("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        everyone = [*self.masters, *self.replicas]
        for each in everyone[1:]:
            bus = everyone[0]("CONFIG", "GET", "cluster-port")[1]
            each("CLUSTER", "MEET", "127.0.0.1", everyone[0].port, bus)
        for each in everyone:
            until(lambda each=each: each("CLUSTER", "INFO").count(b"cluster_state:ok") == 1, "a cluster that is one")  # type: ignore[misc]
        for master, replica in zip(self.masters, self.replicas, strict=False):
            node = master("CLUSTER", "MYID")
            until(lambda replica=replica, node=node: replica("CLUSTER", "REPLICATE", node) == b"OK")  # type: ignore[misc]

    def owner(self, key: str) -> Server:
        """Return the master that has the slot of a key."""
        slot = self.slot(key)
        return self.masters[min(2, slot * 3 // SLOTS)]

    def slot(self, key: str) -> int:
        found: int = self.masters[0]("CLUSTER", "KEYSLOT", key)
        return found

    def move(self, key: str, to: Server) -> None:
        """Give an empty slot to another master."""
        node = to("CLUSTER", "MYID")
        for each in [to, *(each for each in self.masters if each is not to)]:
            each("CLUSTER", "SETSLOT", self.slot(key), "NODE", node)

    def reshard(self, key: str, to: Server) -> None:
        """Give the slot of a key to another master, with the keys in it, while clients go on."""
        until(self._agreed, "nodes that know each other's epochs")
        slot, source = self.slot(key), self.holder(key)
        if source is to:
            return
        node = to("CLUSTER", "MYID")
        to("CLUSTER", "SETSLOT", slot, "IMPORTING", source("CLUSTER", "MYID"))
        source("CLUSTER", "SETSLOT", slot, "MIGRATING", node)
        while keys := source("CLUSTER", "GETKEYSINSLOT", slot, 10):
            source("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *keys)
        for each in [to, source, *(each for each in self.masters if each not in (to, source))]:
            each("CLUSTER", "SETSLOT", slot, "NODE", node)
        until(lambda: all(self.holder(key, each) is to for each in self.masters), "nodes that agree on a slot")

    def holder(self, key: str, asked: Optional[Server] = None) -> Server:
        """Return the master that has the slot of a key now, as a node says."""
        slot = self.slot(key)
        for first, last, primary, *_ in (asked or self.masters[0])("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(each for each in [*self.masters, *self.replicas] if each.port == primary[1])
        raise AssertionError(f"nobody has slot {slot}")

    def _agreed(self) -> bool:
        """Whether all nodes know the same epochs; slots that move sooner may be claimed back."""
        seen = []
        for each in self.masters:
            lines = each("CLUSTER", "NODES").decode().splitlines()
            seen.append(sorted((line.split()[0], line.split()[6]) for line in lines))
        epochs = [epoch for _, epoch in seen[0]]
        return all(each == seen[0] for each in seen) and (bool(self.replicas) or len(set(epochs)) == len(epochs))

    def stop(self) -> None:
        for each in [*self.masters, *self.replicas]:
            each.stop()

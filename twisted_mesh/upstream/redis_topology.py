"""Where keys are: what the shapes of a group of Redis servers have in common, and the two that ask nobody.

`Topology` is what is asked about keys.  `Errand`s (`redis_errand`) carry commands there and deal with what servers say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Hashable, Optional, Sequence
from zlib import crc32

from twisted_mesh.codec.redis_facts import Redirection
from twisted_mesh.codec.scan_cursor import SERVERS_LIMIT, marks
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.families import Families
from twisted_mesh.policy.key_hash import KEY_HASHES
from twisted_mesh.policy.ring import Maglev
from twisted_mesh.policy.shards import Ketama, Modulo, ketama_name, tag_of
from twisted_mesh.upstream.redis_group import Group, Zone

if TYPE_CHECKING:
    from twisted_mesh.model.redis_servers import RedisServers
    from twisted_mesh.redis_call import RedisCall
    from twisted_mesh.upstream.cluster import Cluster
    from twisted_mesh.upstream.endpoint import Endpoint
    from twisted_mesh.upstream.redis_barrier import Barrier
    from twisted_mesh.upstream.redis_errand import Errand

# Keys whose server is remembered, and how long they may be.
_KNOWN_KEYS = 65_536
_KNOWN_SIZE = 128
# Entries of a Maglev table for shards; a prime.  It is made at once, as keys may never be placed by another one first.
_MAGLEV_SIZE = 10_007


class Topology:
    """The groups of servers of one cluster.

    `spread`: keys are on several of them.  `moving`: what servers say may change who has what, so replies are looked
    at.  `read_only`: replicas only answer reads on connections that say that they only read.
    """

    spread = False
    moving = False
    read_only = False
    #: Why not enough is known, for people; "" if it is.
    trouble = ""

    def __init__(self, cluster: Cluster, config: RedisServers, zone: Zone) -> None:
        self.cluster = cluster
        self.config = config
        self._zone = zone
        # What commands wait for, by what keeps them in order.
        self.barriers: dict[Hashable, Barrier] = {}
        # What keys have in common that are going from one server to another, and until when that is thought.
        self.shifting: dict[Hashable, float] = {}
        # And when a server that had them did not answer for so long that what came later went past that.
        self.passed: dict[Hashable, float] = {}
        self._followed = Families(cluster.env.metrics).redis_followed
        cluster.on_change.append(self._changed)

    def start(self) -> None:
        """Begin to follow what changes."""

    def stop(self) -> None:
        """Follow it no longer."""
        if self._changed in self.cluster.on_change:
            self.cluster.on_change.remove(self._changed)

    def group(self, key: bytes) -> Optional[Group]:
        """Return the group that has a key; None if that is not known yet."""
        raise NotImplementedError

    def shard(self, key: bytes) -> Hashable:
        """Return what the keys of one command must share."""
        return self.group(key)

    def shards(self, keys: Sequence[bytes]) -> Sequence[Hashable]:
        """Return the same for each of many keys."""
        return [self.shard(key) for key in keys]

    def groups(self) -> Sequence[Group]:
        """Return every group, in an order that stays."""
        raise NotImplementedError

    def marked(self) -> dict[int, Group]:
        """Return every group that has keys by its mark in the cursors of SCAN; for topologies that are `spread`."""
        raise NotImplementedError

    def any_group(self) -> Optional[Group]:
        """Return a group for what has no key; None if there is none yet."""
        groups = self.groups()
        return groups[int(self.cluster.env.random.random() * len(groups))] if groups else None

    def doubt(self, endpoint: Optional[Endpoint]) -> None:
        """Something speaks for a change: of this server, or in general."""

    def peek(self, call: RedisCall) -> tuple[Endpoint, str]:
        """Return the server that a command would go to if it came now, of several the first, and why.

        :raises MeshError: `Kind.NO_ENDPOINT`.
        """
        group = self.group(call.key) if call.key else next(iter(self.groups()), None)
        if group is None:
            raise self.unknown()
        if not call.key and self.spread:
            what = f"a command without a key goes to any server or all, {group.name} among them"
        else:
            what = f"the key belongs to {group.name}" if call.key else f"of {group.name}"
        return group.peek(call.write or not call.command.read_only), what

    def unknown(self) -> MeshError:
        """Return what it means that no server is known for a command."""
        why = self.trouble or "not every server is known"
        return MeshError(Kind.NO_ENDPOINT, f"cluster {self.cluster.name}: {why}", origin=Origin.UPSTREAM)

    def leads(self, endpoint: Endpoint) -> bool:
        """Whether a server is the primary of a group, as far as is known."""
        return any(each.primary is endpoint for each in self.groups())

    def followed(self, why: str) -> None:
        """A command is sent again for what a server said: count it."""
        self._followed.labels(self.cluster.name, why).value += 1

    def later(self, errand: Errand, place: int) -> None:
        """Have a command of an errand sent again once more is known."""
        errand.give_up([place])

    def moved(self, told: Redirection, by: Endpoint) -> Optional[Endpoint]:
        """A server has sent a command elsewhere; return where, None if that cannot be followed."""
        return None

    def lane(self, key: bytes) -> Hashable:
        """Return what commands that must keep their order have in common."""
        raise NotImplementedError

    def shifted(self, key: bytes) -> None:
        """A server has said that it has some of the keys that this one belongs to, and some not."""

    def shifts(self, key: bytes) -> bool:
        """Whether a server has said so of late."""
        return False

    def barred(self, errand: Errand, place: int, key: bytes) -> bool:
        """Whether a command has to wait until what was sent elsewhere before it is answered; it is sent then."""
        return False

    def describe(self) -> dict[str, object]:
        """Everything worth showing to an operator."""
        return {"topology": self.config.topology, "groups": [each.describe() for each in self.groups()]}

    def _changed(self, cluster: Cluster) -> None:
        for each in self.groups():
            each.refresh()

    def _new_group(self, name: str) -> Group:
        return Group(name, self.cluster, self.config.read, self._zone)


class Sharded(Topology):
    """Each endpoint of the configuration has a part of the keys, by a table that is made of their names."""

    spread = True

    def __init__(self, cluster: Cluster, config: RedisServers, zone: Zone) -> None:
        super().__init__(cluster, config, zone)
        placing = config.placing
        self._eject = placing.eject
        self._hash = KEY_HASHES[placing.hash]
        self._tag = tag_of(placing.tag.encode())
        self._kind = placing.distribution
        self._known: dict[bytes, Group] = {}
        # By the name that keys are placed by.
        self._groups: dict[str, Group] = {}
        self._made: tuple[tuple[str, int], ...] = ()
        self.table: Optional[Ketama[Group] | Modulo[Group] | Maglev[Group]] = None
        self._changed(cluster)

    def group(self, key: bytes) -> Optional[Group]:
        found = self._known.get(key)
        if found is None and self.table is not None:
            found = self.table.pick(self._hash(self._tag(key)))
            if len(key) <= _KNOWN_SIZE:
                if len(self._known) >= _KNOWN_KEYS:
                    self._known.clear()
                self._known[key] = found
        return found

    def shards(self, keys: Sequence[bytes]) -> Sequence[Hashable]:
        found = list(map(self._known.get, keys))
        if None in found:
            return [self.group(key) for key in keys]
        return found

    def groups(self) -> Sequence[Group]:
        return list(self._groups.values())

    def marked(self) -> dict[int, Group]:
        # By their names, which stay: an order by number would change for all behind one that comes or goes.
        groups = sorted(self._groups.items())
        given = marks([crc32(name.encode()) % SERVERS_LIMIT for name, _ in groups])
        return {mark: group for mark, (_, group) in zip(given, groups)}

    def _changed(self, cluster: Cluster) -> None:
        shards = self._shards()
        groups = {}
        for name, endpoint, _ in shards:
            group = groups[name] = self._groups.get(name) or self._new_group(name)
            if group.primary is not endpoint:
                group.have(endpoint)
            else:
                group.refresh()
        self._groups = groups
        if self._eject:
            shards = [each for each in shards if each[1] in cluster.usable or each[1] in cluster.trials] or shards
        made = tuple((name, weight) for name, _, weight in shards)
        if made != self._made:
            self._made = made
            self._known = {}
            self.table = self._new_table(made) if made else None

    def _new_table(self, made: Sequence[tuple[str, int]]) -> Ketama[Group] | Modulo[Group] | Maglev[Group]:
        names, weights = zip(*made)
        groups = [self._groups[name] for name in names]
        if self._kind == "maglev":
            return Maglev(groups, names, weights, size=_MAGLEV_SIZE)
        return Ketama(groups, names, weights) if self._kind == "ketama" else Modulo(groups, names, weights)

    def _shards(self) -> list[tuple[str, Optional[Endpoint], int]]:
        """Return for each shard its name, its server and its weight, in the order of the configuration."""
        configured = self.cluster.config.endpoints
        if not configured:
            return _instances(self.cluster.endpoints)
        found: list[tuple[str, Optional[Endpoint], int]] = []
        for each in configured:
            address = each.address
            name = each.name or address.path or ketama_name(address.host, address.port)
            # A name that stands for several addresses is still one server.
            servers = self.cluster.resolved(str(address))
            found.append((name, servers[0] if servers else None, each.weight))
        return found


def _instances(endpoints: Sequence[Endpoint]) -> list[tuple[str, Optional[Endpoint], int]]:
    """Return the shards of a service: by their label ``shard``, or by the name of the instance."""
    found: dict[str, tuple[str, Optional[Endpoint], int]] = {}
    for each in endpoints:
        name = each.labels.get("shard") or each.instance or each.address
        found.setdefault(name, (name, each, each.declared_weight))
    return [found[name] for name in sorted(found)]

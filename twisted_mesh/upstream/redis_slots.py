"""A Redis Cluster: 16,384 slots that groups of servers have, and that move while commands are on their way."""

from __future__ import annotations

from binascii import crc_hqx
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Hashable, Optional, Sequence

import hiredis

from twisted_mesh.codec.redis_facts import Place, Redirection, Shard, names, shards
from twisted_mesh.codec.scan_cursor import SERVERS_LIMIT, marks
from twisted_mesh.codec.slots import SLOTS, hash_tag, slot
from twisted_mesh.policy.slot_map import SlotMap
from twisted_mesh.upstream.redis_barrier import abandon
from twisted_mesh.upstream.redis_follow import Following
from twisted_mesh.upstream.redis_group import Group, Zone

if TYPE_CHECKING:
    from twisted_mesh.model.redis_servers import RedisServers
    from twisted_mesh.net.connect import Connector
    from twisted_mesh.upstream.cluster import Cluster
    from twisted_mesh.upstream.endpoint import Endpoint

_SLOTS = [["CLUSTER", "SLOTS"]]


class Slots(Following):
    """Who has which slot, as CLUSTER SLOTS of any node says, and as redirections correct it."""

    spread = True

    def __init__(self, cluster: Cluster, config: RedisServers, zone: Zone, connector: Connector) -> None:
        self._map: SlotMap[Group] = SlotMap()
        self._groups: dict[str, Group] = {}
        # For the cursors of SCAN, and for which version of the map.
        self._marked: tuple[int, dict[int, Group]] = 0, {}
        # Where nodes are that are called by names.
        self._names: dict[Place, Place] = {}
        super().__init__(cluster, config, zone, connector)
        self.read_only = config.read != "primary"

    def __repr__(self) -> str:
        return f"<Slots of {len(self._groups)} groups>"

    def group(self, key: bytes) -> Optional[Group]:
        return self._map.owners[crc_hqx(hash_tag(key) if b"{" in key else key, 0) % SLOTS]

    def shard(self, key: bytes) -> Hashable:
        return slot(key)

    def lane(self, key: bytes) -> Hashable:
        return slot(key)

    def groups(self) -> Sequence[Group]:
        return list(self._groups.values())

    def marked(self) -> dict[int, Group]:
        version, found = self._marked
        if version != self._map.version:
            # By their slots, which stay when another server takes over.
            last = sorted(self._map.last_slots().items(), key=itemgetter(1))
            given = marks([slot * SERVERS_LIMIT // SLOTS for _, slot in last])
            found = {mark: group for mark, (group, _) in zip(given, last)}
            self._marked = self._map.version, found
        return found

    def leads(self, endpoint: Endpoint) -> bool:
        return endpoint.address in self._groups

    # --- asking

    def ask(self) -> None:
        nodes = list(self.cluster.usable) or list(self.cluster.endpoints)
        self._env.random.shuffle(nodes)
        self._ask_one(nodes, "there is no endpoint")

    def _ask_one(self, nodes: list[Endpoint], why: str) -> None:
        if not nodes:
            self.nothing_told(why)
            return
        node = nodes.pop()

        def failed(reason: str) -> None:
            self._ask_one(nodes, f"{node.address}: {reason}")

        def answered(replies: Sequence[Any]) -> None:
            try:
                found = shards(replies[0])
                if not found:
                    raise ValueError("it knows of no slot that anybody has")
                self._names = names(replies[0])
            except ValueError as wrong:
                failed(str(replies[0]) if isinstance(replies[0], hiredis.ReplyError) else str(wrong))
                return
            self._learn(found, node.target.host)
            self.told()

        self.question(node.target, _SLOTS, answered, failed)

    def _learn(self, found: Sequence[Shard], by: str) -> None:
        """Have the groups that a node told of."""
        everyone = [place for each in found for place in (each.primary, *each.replicas)]
        self.have_endpoints(self.endpoints_of(everyone, by))
        groups: dict[str, Group] = {}
        told = []
        for each in found:
            group = self._group_of(each.primary, by)
            groups[group.name] = group
            replicas = self.endpoints_of(each.replicas, by)
            group.have(self.endpoint_of(each.primary, by), replicas)
            told.append((group, each.ranges))
        self._groups = groups
        before = self._map.owners
        lanes: dict[Group, list[int]] = {}
        changes = self._map.assign(told)
        if changes:
            self.news()
        for changed in changes:
            owner = before[changed]
            if owner is not None:
                lanes.setdefault(owner, []).append(changed)
        for owner, moved in lanes.items():
            self.bar(moved, owner.primary)

    def _group_of(self, primary: Place, by: str) -> Group:
        name = self.endpoint_of(primary, by).address
        return self._groups.get(name) or self._new_group(name)

    def give_up(self, old: Endpoint) -> None:
        """Another one has its slots: what it has not answered fails, rather than happen after what comes later.

        One that still has slots may only be busy.  What it says of those that it had comes too late, as `passed` says.
        """
        if not self.leads(old):
            abandon(old)

    # --- what servers say

    def moved(self, told: Redirection, by: Endpoint) -> Optional[Endpoint]:
        endpoint = self.stranger(self._names.get(told.place, told.place), by.target.host)
        if endpoint is None:
            return None
        if told.once:
            return endpoint
        group = self._groups.get(endpoint.address)
        if group is None:
            group = self._groups[endpoint.address] = self._new_group(endpoint.address)
            group.have(endpoint)
        owner = self._map.owners[told.slot]
        # A replica that does not serve reads sends them to its own primary, which is no news.
        if self._map.move(told.slot, group):
            self.bar([told.slot], None if owner is None else owner.primary)
            self.news()
            self.doubt(by)
        return endpoint

    def describe(self) -> dict[str, object]:
        return {**super().describe(), "slots": SLOTS - self._map.owners.count(None)}

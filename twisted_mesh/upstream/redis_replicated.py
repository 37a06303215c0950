"""A primary with replicas: who is which is asked of the servers themselves, or of Sentinels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Hashable, Optional, Sequence

import hiredis

from twisted_mesh.codec.redis_facts import PRIMARY, Place, Role, role, watched_primary, watched_replicas
from twisted_mesh.upstream.redis_barrier import abandon
from twisted_mesh.upstream.redis_follow import Following
from twisted_mesh.upstream.redis_group import Group, Zone

if TYPE_CHECKING:
    from twisted_mesh.model.redis_servers import RedisServers, SentinelGroup
    from twisted_mesh.net.connect import Connector
    from twisted_mesh.upstream.cluster import Cluster
    from twisted_mesh.upstream.endpoint import Endpoint

_ROLE = [["ROLE"]]


class Replicated(Following):
    """The endpoints of the configuration are one primary and its replicas."""

    def __init__(self, cluster: Cluster, config: RedisServers, zone: Zone, connector: Connector) -> None:
        super().__init__(cluster, config, zone, connector)
        self._group = self._new_group("servers")
        self._roles: dict[Endpoint, Role] = {}
        self._left = 0
        self._why = ""

    def __repr__(self) -> str:
        return f"<Replicated {self._group!r}>"

    def group(self, key: bytes) -> Optional[Group]:
        return self._group if self._group.primary is not None or self._group.replicas else None

    def shard(self, key: bytes) -> Hashable:
        return None

    def groups(self) -> Sequence[Group]:
        return [self._group]

    def any_group(self) -> Optional[Group]:
        return self.group(b"")

    def lane(self, key: bytes) -> Hashable:
        return None

    def _changed(self, cluster: Cluster) -> None:
        super()._changed(cluster)
        if self._running and any(each not in self._roles for each in cluster.endpoints):
            self.doubt(None)

    def give_up(self, old: Endpoint) -> None:
        """It is no primary any more: what it has not answered fails, rather than happen after what comes later."""
        abandon(old)

    def ask(self) -> None:
        self.ask_roles(self.cluster.endpoints)

    def ask_roles(self, endpoints: Sequence[Endpoint]) -> None:
        """Ask these servers who they are."""
        self._roles = {}
        self._why = "there is no endpoint"
        self._left = len(endpoints)
        if not endpoints:
            self.nothing_told(self._why)
            return
        for each in list(endpoints):
            self.question(each.target, _ROLE, self._answered_by(each), self._failed_by(each))

    def _answered_by(self, endpoint: Endpoint) -> Callable[[Sequence[Any]], None]:
        def answered(replies: Sequence[Any]) -> None:
            try:
                self._roles[endpoint] = role(replies[0])
            except ValueError as wrong:
                shown = str(replies[0]) if isinstance(replies[0], hiredis.ReplyError) else str(wrong)
                self._why = f"{endpoint.address}: ROLE: {shown}"
            self._one_less()

        return answered

    def _failed_by(self, endpoint: Endpoint) -> Callable[[str], None]:
        def failed(reason: str) -> None:
            self._why = f"{endpoint.address}: {reason}"
            self._one_less()

        return failed

    def _one_less(self) -> None:
        self._left -= 1
        if not self._left:
            self.roles_known()

    def roles_known(self) -> None:
        """Draw the conclusions."""
        known = [each for each in self.cluster.endpoints if each in self._roles]
        primary = primary_of(known, self._roles, self._group.primary)
        replicas = [each for each in known if each is not primary and self._roles[each].name != PRIMARY]
        linked = [each for each in replicas if self._roles[each].linked]
        if primary is None and not linked:
            self.nothing_told(self._why if not known else "no server says that it is the primary")
            return
        self.settle(primary, linked)
        if primary is None:
            self.nothing_told("no server says that it is the primary")
        else:
            self.told()

    def settle(self, primary: Optional[Endpoint], replicas: Sequence[Endpoint]) -> None:
        """Have these."""
        group, old = self._group, self._group.primary
        if primary is None:
            # It may only have been slow to answer; whether it takes commands is for checks and breakers to say.
            primary = old
        if primary is not old:
            self._env.log.info(
                "cluster {cluster}: the primary is {new}, before it was {old}",
                cluster=self.cluster.name,
                new=None if primary is None else primary.address,
                old="unknown" if old is None else old.address,
            )
            self.news()
            self.bar([None], old)
        group.have(primary, [each for each in replicas if each is not primary])


def primary_of(
    known: Sequence[Endpoint], roles: dict[Endpoint, Role], before: Optional[Endpoint]
) -> Optional[Endpoint]:
    """Return which of these is the primary.

    Of several that say so it is the one that most replicas follow, then the one that was, then the first.
    """
    claims = [each for each in known if roles[each].name == PRIMARY]
    if len(claims) <= 1:
        return claims[0] if claims else None
    return max(claims, key=lambda each: (len(roles[each].replicas), each is before, -known.index(each)))


class Sentinels(Replicated):
    """A primary and replicas that Sentinels know; the Sentinels are asked in turn, the last that answered first."""

    def __init__(self, cluster: Cluster, config: RedisServers, zone: Zone, connector: Connector) -> None:
        assert config.sentinel is not None
        self._sentinel: SentinelGroup = config.sentinel
        self._sentinels = list(config.sentinel.addresses)
        self._told_primary: Optional[Endpoint] = None
        super().__init__(cluster, config, zone, connector)

    def __repr__(self) -> str:
        return f"<Sentinels of {self._sentinel.name}, {self._group!r}>"

    def _changed(self, cluster: Cluster) -> None:
        self._group.refresh()

    def ask(self) -> None:
        self._why = ""
        self._ask_sentinel(0)

    def _ask_sentinel(self, at: int) -> None:
        if at >= len(self._sentinels):
            self.nothing_told(self._why)
            return
        name, sentinel = self._sentinel.name, self._sentinels[at]
        commands = [["SENTINEL", "GET-MASTER-ADDR-BY-NAME", name], ["SENTINEL", "REPLICAS", name]]

        def failed(reason: str) -> None:
            self._why = f"Sentinel {sentinel}: {reason}"
            self._ask_sentinel(at + 1)

        def answered(replies: Sequence[Any]) -> None:
            try:
                primary = watched_primary(replies[0])
                if primary is None:
                    raise ValueError(f"it watches nobody called {name}")
                replicas = watched_replicas(replies[1])
            except ValueError as wrong:
                shown = str(replies[0]) if isinstance(replies[0], hiredis.ReplyError) else str(wrong)
                failed(shown)
                return
            self._sentinels.insert(0, self._sentinels.pop(at))
            self._heard(primary, replicas)

        self.question(sentinel, commands, answered, failed, (self._sentinel.username, self._sentinel.password))

    def _heard(self, primary: Place, replicas: Sequence[Place]) -> None:
        """A Sentinel has said who there is: the primary must say so itself before it is believed."""
        by = self._sentinels[0].host
        wanted = self.endpoints_of([primary, *replicas], by)
        self.have_endpoints(wanted)
        found = [self.cluster.find(each.address) or each for each in wanted]
        self._told_primary = found[0]
        self.ask_roles(found)

    def roles_known(self) -> None:
        primary = self._told_primary
        assert primary is not None
        said = self._roles.get(primary)
        replicas = [each for each, known in self._roles.items() if known.name != PRIMARY and known.linked]
        if said is None:
            # It does not answer: whether another takes its place is for the Sentinels to say.
            self.settle(self._group.primary or primary, replicas)
            self.nothing_told(self._why)
        elif said.name != PRIMARY:
            self.settle(None, replicas)
            self.nothing_told(f"{primary.address} is a replica, although the Sentinels call it the primary")
        else:
            self.settle(primary, replicas)
            self.told()

"""What does not fit together in a configuration for Redis, and only shows when several of its parts are looked at."""

from __future__ import annotations

from typing import Iterator, Mapping, Sequence

from twisted_mesh.control.tree import Key
from twisted_mesh.model import Cluster, Config, FilterUse, Listener, Route
from twisted_mesh.model.match import check_command
from twisted_mesh.policy.shards import ketama_name

Found = tuple[tuple[Key, ...], str]
Names = tuple[tuple[Key, ...], list[str]]


def names_given_once(config: Config) -> Iterator[Names]:
    """Yield where names stand of which each may be given only once, and these names."""
    for name, listener in config.listeners.items():
        yield ("listeners", name, "redis", "users"), [each.name for each in listener.redis.users]
    for name, cluster in config.clusters.items():
        if cluster.redis is not None and cluster.redis.topology == "sharded":
            yield ("clusters", name, "endpoints"), _placed_by(cluster)


def listener_problems(keys: tuple[Key, ...], listener: Listener) -> Iterator[Found]:
    """Yield what does not fit in the filters of a listener of redis."""
    yield from _unknown_commands((*keys, "filters"), listener.filters)


def route_problems(keys: tuple[Key, ...], route: Route, clusters: Mapping[str, Cluster]) -> Iterator[Found]:
    """Yield what does not fit in a route that a listener of redis uses."""
    yield from _unknown_commands((*keys, "filters"), route.filters)
    yield from _never_kept((*keys, "filters"), route, clusters)
    targets = {each.cluster for each in route.to}
    for index, mirror in enumerate(route.mirror):
        if mirror.cluster in targets:
            said = f"calls go to {mirror.cluster} already: what writes would be done there twice"
            yield (*keys, "mirror", index, "cluster"), said


def _placed_by(cluster: Cluster) -> list[str]:
    """Return what the shards are placed by, but where it is the address, which is looked at anyhow."""
    found = []
    addresses = {str(each.address) for each in cluster.endpoints}
    for each in cluster.endpoints:
        name = each.name or each.address.path or ketama_name(each.address.host, each.address.port)
        found.append("" if name in addresses and not each.name else name)
    return found


def _never_kept(keys: tuple[Key, ...], route: Route, clusters: Mapping[str, Cluster]) -> Iterator[Found]:
    """Look for caches that would keep nothing, as no one server tells of all changes before it answers reads."""
    caches = [index for index, use in enumerate(route.filters) if use.name == "tracked_cache" and use.mode != "off"]
    for target in route.to if caches else ():
        servers = clusters[target.cluster].redis if target.cluster in clusters else None
        if servers is None or (servers.topology not in ("sharded", "cluster") and servers.read == "primary"):
            continue
        what = f"topology: {servers.topology}" if servers.read == "primary" else f"read: {servers.read}"
        said = f"tracked_cache is for clusters with one primary that answers the reads; {target.cluster} has {what}"
        yield (*keys, caches[0]), said


def _unknown_commands(keys: tuple[Key, ...], uses: Sequence[FilterUse]) -> Iterator[Found]:
    """Look for faults of commands that are none, which no call would ever have."""
    for index, use in enumerate(uses):
        for name in getattr(use.settings, "method", ()) if use.name == "fault" else ():
            try:
                known = not check_command(name).startswith("@")
            except ValueError:
                known = False
            if not known:
                yield (*keys, index, "fault", "method"), f'expected commands of Redis, such as GET, got "{name}"'

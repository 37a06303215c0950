"""Settings that can never have an effect where they stand, which only the whole configuration shows."""

from __future__ import annotations

import re
from typing import Iterator, Mapping, Optional, Sequence

from twisted_mesh.codec.grammar import HttpError
from twisted_mesh.codec.target import Normalise, normalise_path
from twisted_mesh.control.tree import Key
from twisted_mesh.model import Cluster, Listener, Route
from twisted_mesh.model.base import Model

# What calls may be told apart by; None is a header, a cookie or a query parameter.
KEYS: Mapping[str, Sequence[Optional[str]]] = {
    "http": ("source", "identity", "host", "path", None),
    "tcp": ("source", "identity"),
    "redis": ("source", "identity", "key", "path"),
}
# What a cluster can say that means something for calls of some protocols only.
_CLUSTER: Mapping[tuple[str, ...], Sequence[str]] = {
    ("affinity",): ("http",),
    ("redis", "topology"): ("redis",),
    # The check speaks to where the calls go.
    ("health_check", "http"): ("http", "tcp"),
    ("health_check", "redis"): ("redis", "tcp"),
    ("pool", "max_requests"): ("http",),
    **{("pool", name): ("http", "redis") for name in ("max_connections", "max_idle", "idle_timeout")},
    **{("pool", name): ("http", "tcp") for name in ("max_pending", "pending_timeout")},
}
_NAMED = re.compile(r"\{[^{}]*\}|\*\*?")

Found = tuple[tuple[Key, ...], str]


def is_said(model: Model, name: str) -> bool:
    """Whether a field says something.  Its default does not, since what /config shows holds all defaults."""
    default: object = type(model).model_fields[name].default
    return bool(getattr(model, name) != default)


class InVain:
    """Sees each route of each listener, and says then what can have an effect nowhere."""

    def __init__(self) -> None:
        self._protocols: dict[str, set[str]] = {}
        # Why a condition can never hold, for a place; "" once it can for one of the listeners.
        self._never: dict[tuple[Key, ...], str] = {}

    def route(self, where: tuple[Key, ...], route: Route, listener: Listener) -> None:
        """See a route that a listener uses."""
        names = [*(each.cluster for each in route.to), *route.failover, *(each.cluster for each in route.mirror)]
        for name in names:
            self._protocols.setdefault(name, set()).add(listener.protocol)
        if listener.protocol == "http" and route.match.path is not None:
            for kind in ("exact", "prefix", "template"):
                path: Optional[str] = getattr(route.match.path, kind)
                if path is not None:
                    self._note((*where, "match", "path", kind), _never_asked_for(path, listener))
        elif listener.protocol != "http" and route.match.port:
            self._note((*where, "match", "port"), _never_connected_to(route.match.port, listener))

    def _note(self, where: tuple[Key, ...], why: str) -> None:
        self._never[where] = why and self._never.get(where, why)

    def conditions(self) -> Iterator[Found]:
        """Yield the conditions of routes that no call can fulfil, and why."""
        for where, why in self._never.items():
            if why:
                yield where, why

    def cluster(self, name: str, cluster: Cluster) -> Iterator[Found]:
        """Yield what a cluster says that means nothing for the calls which are sent to it."""
        protocols = self._protocols.get(name)
        if not protocols:
            return
        message = f"means nothing for {' and '.join(sorted(protocols))} listeners, and no others lead to this cluster"
        for path, meant in _CLUSTER.items():
            owner: Optional[Model] = cluster
            for each in path[:-1]:
                owner = None if owner is None else getattr(owner, each)
            if owner is not None and protocols.isdisjoint(meant) and is_said(owner, path[-1]):
                yield ("clusters", name, *path), message
        for index, key in enumerate(cluster.hash.key):
            if not any(key.part in KEYS[each] for each in protocols):
                yield ("clusters", name, "hash", "key", index), message


def _never_asked_for(path: str, listener: Listener) -> str:
    """Return why no call has such a path once it is normalised; "" if one may."""
    options = listener.http.normalise
    how = Normalise(options.dot_segments, options.merge_slashes, options.escaped_slashes, options.dot_parameters)
    plain = _NAMED.sub("x", path)
    try:
        asked = normalise_path(plain.encode(), how).decode()
    except HttpError as error:
        return f"no call has such a path, it is refused: {error.text}"
    if asked == plain:
        return ""
    return "no call has such a path, as paths are normalised first" + (f": write {asked}" if plain == path else "")


def _never_connected_to(ports: Sequence[int], listener: Listener) -> str:
    bound = [each.address.port for each in listener.bind if not each.address.path]
    if 0 in bound or any(each in bound for each in ports):
        return ""
    there = f"listens on {', '.join(map(str, bound))}" if bound else "has no port"
    return f"no client can connect to that, as the listener {there}"

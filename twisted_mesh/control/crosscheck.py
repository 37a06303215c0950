"""What only shows when the parts of a configuration are seen together; names that lead nowhere are in `references`."""

from __future__ import annotations

from dataclasses import is_dataclass
from itertools import pairwise
from typing import Any, Collection, Iterator, Mapping, Optional, Sequence

from twisted_mesh.control.crosscheck_redis import listener_problems, names_given_once, route_problems
from twisted_mesh.control.in_vain import KEYS, InVain
from twisted_mesh.control.in_vain import is_said as _is_said
from twisted_mesh.control.matches import is_for
from twisted_mesh.control.tree import Key, locate
from twisted_mesh.errors import Problem
from twisted_mesh.interfaces import IFilterPlugin
from twisted_mesh.model import AccessLog, Config, FilterUse, Listener, Route
from twisted_mesh.model.listener import PROTOCOLS
from twisted_mesh.model.route import CONNECTION, REFUSALS, REPLIES

# What a route can say that means something for calls of HTTP only.
_HTTP_ONLY = ("rewrite", "redirect", "reply", "body_limit", "upgrade", "deadline")
_NOT_FOR_REDIS = ("idle_timeout", "max_duration")
# The protocols for which conditions mean something that do not for all.
_MATCHES = {
    **dict.fromkeys(("host", "path", "method", "header", "query", "cookie"), ("http",)),
    **dict.fromkeys(("key", "command"), ("redis",)),
    "port": ("tcp", "redis"),
}
# The conditions for another try that mean something for a protocol; a status does for HTTP.
_RETRIED = {
    "http": CONNECTION + REPLIES,
    "tcp": CONNECTION,
    "redis": CONNECTION + REFUSALS,
}


class CrossCheck:
    """Looks at a configuration whose parts are each right.

    :param tree: what the configuration was made of, for the positions.
    :param plugins: the plugins of the filters in use.
    :param broken: the places of routes that were refused, where something else stands now.
    """

    def __init__(
        self,
        config: Config,
        tree: Any,
        plugins: Mapping[str, IFilterPlugin],
        broken: Collection[tuple[Key, ...]] = (),
    ) -> None:
        self._config = config
        self._tree = tree
        self._plugins = plugins
        self._broken = broken
        self._in_vain = InVain()

    def problems(self) -> list[Problem]:
        """Return everything that does not fit together."""
        found = [*self._log(("access_log",), self._config.access_log)]
        for name, table in self._config.routes.items():
            found += self._twice(("routes", name), [each.name for each in table])
        for name, listener in self._config.listeners.items():
            found += self._listener(("listeners", name), listener)
        for keys, names in names_given_once(self._config):
            found += self._twice(keys, names)
        for name, cluster in self._config.clusters.items():
            addresses = [str(each.address) for each in cluster.endpoints]
            found += self._twice(("clusters", name, "endpoints"), addresses)
            if not self._broken:
                # Else there may be others who lead to it.
                found += [self._say(*each) for each in self._in_vain.cluster(name, cluster)]
        found += [self._say(*each) for each in self._in_vain.conditions()]
        # A table that several listeners use has its problems once.
        return list(dict.fromkeys(found))

    def _say(self, keys: Sequence[Key], message: str) -> Problem:
        return locate(self._tree, keys).problem(message)

    def _twice(self, keys: Sequence[Key], names: Sequence[str]) -> Iterator[Problem]:
        first: dict[str, int] = {}
        for index, name in enumerate(names):
            if name and name in first:
                before = locate(self._tree, (*keys, first[name]))
                yield self._say((*keys, index), f"{name} is given twice; first at {before}")
            first.setdefault(name, index)

    def _listener(self, keys: tuple[Key, ...], listener: Listener) -> Iterator[Problem]:
        for other in PROTOCOLS:
            if other != listener.protocol and _is_said(listener, other):
                yield self._say((*keys, other), f"means nothing for {listener.protocol} listeners")
        yield from self._certificates(keys, listener)
        yield from self._filters((*keys, "filters"), listener.filters, listener.protocol, "")
        if isinstance(listener.access_log, AccessLog):
            yield from self._log((*keys, "access_log"), listener.access_log)
        for index, bind in enumerate(listener.bind):
            if not bind.address.path and _is_said(bind, "mode"):
                yield self._say((*keys, "bind", index, "mode"), "means something for unix sockets only")
        if listener.protocol == "redis":
            yield from (self._say(*each) for each in listener_problems(keys, listener))
        routes, where = self._table(keys, listener)
        if where[0] == "listeners":
            yield from self._twice(where, [each.name for each in routes])
        yield from self._joined((*keys, "filters"), listener.filters, routes)
        yield from self._alike((*keys, "filters"), listener.filters, listener)
        for index, route in enumerate(routes):
            if (*where, index) in self._broken:
                continue
            if is_for(str(keys[1]), route.match):
                yield from self._tenants((*where, index, "filters"), route.filters)
                yield from self._alike((*where, index, "filters"), route.filters, listener)
                self._in_vain.route((*where, index), route, listener)
                yield from self._route((*where, index), route, listener.protocol, str(keys[1]))
            elif where[0] == "listeners":
                message = f"only the listener {keys[1]} has this list, so the route would never match"
                yield self._say((*where, index, "match", "listener"), message)

    def _certificates(self, keys: Sequence[Key], listener: Listener) -> Iterator[Problem]:
        """Look at what is said of certificates that nobody shows, or of one that several users have."""
        tls = listener.tls
        if tls is not None and tls.alpn and listener.protocol != "tcp":
            yield self._say((*keys, "tls", "alpn"), f"means nothing for {listener.protocol} listeners")
        holders: dict[str, str] = {}
        for index, user in enumerate(listener.redis.users):
            where = (*keys, "redis", "users", index, "identities")
            if user.identities and (tls is None or tls.asks == "none"):
                yield self._say(where, "no client shows a certificate here: the listener has no tls with a client_ca")
            for identity in user.identities:
                if holders.setdefault(identity, user.name) != user.name:
                    yield self._say(where, f"{identity} is {holders[identity]} already")

    def _joined(self, keys: Sequence[Key], uses: Sequence[FilterUse], routes: Sequence[Route]) -> Iterator[Problem]:
        """Look for reads that are joined before routes send those of different clients to different servers."""
        apart = [each for each in routes if each.match.source or each.match.port or _by_source(each)]
        for index, use in enumerate(uses):
            if apart and use.name == "coalesce_reads" and use.mode == "enforce":
                said = "would give clients the replies to others, which a route may tell apart by source or port"
                yield self._say((*keys, index), f"coalesce_reads {said}; it is for the routes themselves")

    def _alike(self, keys: Sequence[Key], uses: Sequence[FilterUse], listener: Listener) -> Iterator[Problem]:
        """Look for tenants whose keys would begin as another's do, and so be that one's as well."""
        if listener.protocol != "redis":
            return
        names = [each.name for each in listener.redis.users]
        for index, use in enumerate(uses):
            prefix = getattr(use.settings, "prefix", "") if use.name == "key_prefix" else ""
            if "%IDENTITY%" not in prefix:
                continue
            found = sorted((prefix.replace("%IDENTITY%", each), each) for each in names)
            for (one, name), (other, longer) in pairwise(found):
                if other.startswith(one):
                    said = f"the keys of {longer} would begin as those of {name} do, who would see and change them"
                    yield self._say(
                        (*keys, index), f"key_prefix: {said}; end it with what is in no name, as %IDENTITY%:"
                    )

    def _tenants(self, keys: Sequence[Key], uses: Sequence[FilterUse]) -> Iterator[Problem]:
        """Look for a cache that would not see which tenant's keys are meant."""
        caches = [index for index, use in enumerate(uses) if use.name == "tracked_cache"]
        prefixes = [index for index, use in enumerate(uses) if use.name == "key_prefix" and use.mode != "off"]
        if caches and prefixes and caches[0] < prefixes[-1]:
            yield self._say(
                (*keys, caches[0]), "tracked_cache has to stand behind key_prefix, or it takes keys for others"
            )

    def _log(self, keys: Sequence[Key], log: Optional[AccessLog]) -> Iterator[Problem]:
        if log is None or log.format in ("json", "text"):
            return
        # A start that uses none of its own does not need it.
        from twisted_mesh.filters.access_log import make_format

        try:
            make_format(log.format)
        except ValueError as error:
            yield self._say((*keys, "format"), str(error))

    def _table(self, keys: Sequence[Key], listener: Listener) -> tuple[Sequence[Route], tuple[Key, ...]]:
        """Return a listener's routes and where they stand; none where its table is missing or was refused."""
        if isinstance(listener.routes, str):
            return self._config.routes.get(listener.routes, ()), ("routes", listener.routes)
        return listener.routes, (*keys, "routes")

    def _route(self, keys: tuple[Key, ...], route: Route, protocol: str, listener: str) -> Iterator[Problem]:
        used_by = f" (listener {listener} uses this route)" if keys[0] == "routes" else ""
        yield from self._filters((*keys, "filters"), route.filters, protocol, used_by)
        message = f"means nothing for {protocol} listeners{used_by}"
        for name, protocols in _MATCHES.items():
            if protocol not in protocols and _is_said(route.match, name):
                yield self._say((*keys, "match", name), message)
        for index, condition in enumerate(route.retry.when if route.retry is not None else ()):
            if condition not in _RETRIED[protocol] and not (protocol == "http" and isinstance(condition, int)):
                yield self._say((*keys, "retry", "when", index), f"{condition} {message}")
        yield from self._mirrors(keys, route, protocol, message)
        if protocol == "redis":
            yield from (self._say(*each) for each in route_problems(keys, route, self._config.clusters))
        for index, key in enumerate(route.sticky):
            if key.part not in KEYS[protocol]:
                yield self._say((*keys, "sticky", index), message)
        if protocol == "http":
            return
        for name in _HTTP_ONLY + (_NOT_FOR_REDIS if protocol == "redis" else ()):
            if _is_said(route, name):
                yield self._say((*keys, name), message)
        for index, target in enumerate(route.to):
            if target.headers.set:
                yield self._say((*keys, "to", index, "headers"), message)

    def _mirrors(self, keys: Sequence[Key], route: Route, protocol: str, message: str) -> Iterator[Problem]:
        if protocol == "tcp" and route.mirror:
            yield self._say((*keys, "mirror"), message)
            return
        for index, mirror in enumerate(route.mirror):
            where = (*keys, "mirror", index)
            if protocol == "http" and mirror.command:
                yield self._say((*where, "command"), message)
            if protocol == "redis" and mirror.compare is not None:
                for name in ("headers", "status", "body"):
                    if _is_said(mirror.compare, name):
                        yield self._say((*where, "compare", name), message)

    def _filters(
        self, keys: Sequence[Key], uses: Sequence[FilterUse], protocol: str, used_by: str
    ) -> Iterator[Problem]:
        for index, use in enumerate(uses):
            plugin = self._plugins.get(use.name)
            if plugin is not None and protocol not in plugin.protocols:
                meant = " and ".join(plugin.protocols) or "nothing"
                yield self._say((*keys, index), f"the filter {use.name} is for {meant}, not for {protocol}{used_by}")
                continue
            told: Any = getattr(plugin, "in_vain", None)
            if told is not None and is_dataclass(use.settings) and use.mode != "off":
                for name in told(use.settings, protocol):
                    message = f"means nothing for {protocol} listeners{used_by}"
                    yield self._say((*keys, index, use.name, *name.split(".")), message)


def _by_source(route: Route) -> bool:
    return any(key.part == "source" for key in route.sticky)

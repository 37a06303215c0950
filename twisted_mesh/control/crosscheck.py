"""What only shows when the parts of a configuration are seen together."""

from __future__ import annotations

from typing import Any, Collection, Iterator, Mapping, Optional, Sequence

from twisted_mesh.control.conflicts import conflicts
from twisted_mesh.control.nearest import did_you_mean_or_list
from twisted_mesh.control.tree import Key, Table, locate
from twisted_mesh.errors import Problem
from twisted_mesh.interfaces import IFilterPlugin
from twisted_mesh.model import AccessLog, Config, FilterUse, Listener, Route
from twisted_mesh.model.base import Model

# What a route can say that means nothing for a TCP connection.
_HTTP_ONLY = ("match", "redirect", "reply", "body_limit", "upgrade")
_TCP_CONDITIONS = ("connect_failed", "reset")


class CrossCheck:
    """Looks at a configuration whose parts are each right.

    :param tree: what the configuration was made of, for the positions.
    :param known: the names of routing tables and clusters, those included whose values were refused.
    :param plugins: the plugins of the filters in use.
    :param broken: the places of routes that were refused, where something else stands now.
    """

    def __init__(
        self,
        config: Config,
        tree: Any,
        known: Mapping[str, Sequence[str]],
        plugins: Mapping[str, IFilterPlugin],
        broken: Collection[tuple[Key, ...]] = (),
    ) -> None:
        self._config = config
        self._tree = tree
        self._known = known
        self._plugins = plugins
        self._broken = broken

    def problems(self) -> list[Problem]:
        """Return everything that does not fit together."""
        found = [*conflicts(self._config, self._tree), *self._log(("access_log",), self._config.access_log)]
        for name, table in self._config.routes.items():
            found += self._routes(("routes", name), table)
        for name, listener in self._config.listeners.items():
            found += self._listener(("listeners", name), listener)
        for name, cluster in self._config.clusters.items():
            addresses = [str(each.address) for each in cluster.endpoints]
            found += self._twice(("clusters", name, "endpoints"), addresses)
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

    def _routes(self, keys: Sequence[Key], routes: Sequence[Route]) -> Iterator[Problem]:
        yield from self._twice(keys, [each.name for each in routes])
        for index, route in enumerate(routes):
            for position, target in enumerate(route.to):
                if target.cluster not in self._known.get("clusters", ()):
                    yield self._missing((*keys, index, "to", position, "cluster"), "cluster", target.cluster)

    def _missing(self, keys: Sequence[Key], kind: str, name: str) -> Problem:
        known = self._known.get("clusters" if kind == "cluster" else "routes", ())
        # A target in the form {NAME: WEIGHT} stands where its name is.
        mark = locate(self._tree, keys)
        inside: Any = self._tree
        for key in mark.keys:
            inside = inside[key]
        if isinstance(inside, Table) and name in inside.names:
            mark = inside.names[name]
        return mark.problem(f'there is no {kind} "{name}"{did_you_mean_or_list(name, known)}')

    def _listener(self, keys: Sequence[Key], listener: Listener) -> Iterator[Problem]:
        other = {"http": "tcp", "tcp": "http"}[listener.protocol]
        if _is_said(listener, other):
            yield self._say((*keys, other), f"means nothing for {listener.protocol} listeners")
        yield from self._filters((*keys, "filters"), listener.filters, listener.protocol, "")
        if isinstance(listener.access_log, AccessLog):
            yield from self._log((*keys, "access_log"), listener.access_log)
        for index, bind in enumerate(listener.bind):
            if not bind.address.path and _is_said(bind, "mode"):
                yield self._say((*keys, "bind", index, "mode"), "means something for unix sockets only")
        routes, where = self._table(keys, listener)
        if routes is None:
            yield self._missing((*keys, "routes"), "routing table", str(listener.routes))
            return
        if where[0] == "listeners":
            yield from self._routes(where, routes)
        for index, route in enumerate(routes):
            if (*where, index) in self._broken:
                continue
            yield from self._route((*where, index), route, listener.protocol, str(keys[1]))

    def _log(self, keys: Sequence[Key], log: Optional[AccessLog]) -> Iterator[Problem]:
        if log is None or log.format in ("json", "text"):
            return
        # A start that uses none of its own does not need it.
        from twisted_mesh.filters.access_log import make_format

        try:
            make_format(log.format)
        except ValueError as error:
            yield self._say((*keys, "format"), str(error))

    def _table(self, keys: Sequence[Key], listener: Listener) -> tuple[Optional[Sequence[Route]], tuple[Key, ...]]:
        """Return a listener's routes and where they stand; None where there is no such table."""
        if not isinstance(listener.routes, str):
            return listener.routes, (*keys, "routes")
        where = ("routes", listener.routes)
        table = self._config.routes.get(listener.routes)
        # A table that was refused has had its problems.
        return (() if listener.routes in self._known.get("routes", ()) else None) if table is None else table, where

    def _route(self, keys: Sequence[Key], route: Route, protocol: str, listener: str) -> Iterator[Problem]:
        used_by = f" (listener {listener} uses this route)" if keys[0] == "routes" else ""
        yield from self._filters((*keys, "filters"), route.filters, protocol, used_by)
        if protocol == "http":
            return
        message = f"means nothing for {protocol} listeners{used_by}"
        for name in _HTTP_ONLY:
            if _is_said(route, name):
                yield self._say((*keys, name), message)
        for index, target in enumerate(route.to):
            if target.headers.set:
                yield self._say((*keys, "to", index, "headers"), message)
        for index, condition in enumerate(route.retry.when if route.retry is not None else ()):
            if condition not in _TCP_CONDITIONS:
                yield self._say((*keys, "retry", "when", index), f"{condition} {message}")

    def _filters(
        self, keys: Sequence[Key], uses: Sequence[FilterUse], protocol: str, used_by: str
    ) -> Iterator[Problem]:
        for index, use in enumerate(uses):
            plugin = self._plugins.get(use.name)
            if plugin is not None and protocol not in plugin.protocols:
                meant = " and ".join(plugin.protocols) or "nothing"
                yield self._say((*keys, index), f"the filter {use.name} is for {meant}, not for {protocol}{used_by}")


def _is_said(model: Model, name: str) -> bool:
    """Whether a field says something.  Its default does not, since what /config shows holds all defaults."""
    default: object = type(model).model_fields[name].default
    return bool(getattr(model, name) != default)

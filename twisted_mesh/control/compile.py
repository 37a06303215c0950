"""From the frozen configuration to live chains.

Models end here: what runs per call are slotted objects and composed functions.  A chain reads, from the outside in::

    access_log        outermost, so that a line is written whatever happens further in
    metrics           the same for the counters
    listener filters  in the order of the configuration
    the table         finds the route, or raises
      rewrite         where the route has one
      route filters   in the order of the configuration: they know the route
      mirrors         a copy for each call, whatever is tried again
      retry           all tries share one deadline, the route's timeout
        hedge         where asked for: more tries beside one that takes long
        per_try       where asked for: the time of one try
      timeout         where there is no retry: gives the sweep's cancellation its meaning, as retry does itself
      forward         one endpoint, one try

What is equal in two configurations is the same object in both worlds: a filter keeps its buckets, a route its cells.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Generator, Iterator, Mapping, NamedTuple, Optional, Sequence, TypeVar

from twisted_mesh.chain import compose
from twisted_mesh.control.env import MeshEnv
from twisted_mesh.control.matches import conditions, is_for, path_change
from twisted_mesh.control.route_layers import failover_of, innermost_of, settings_layers
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.filters.rewrite import Rewrite
from twisted_mesh.filters.route import Route, Table, Target
from twisted_mesh.headers import Headers
from twisted_mesh.interfaces import Filter, IFilterPlugin, Proceed
from twisted_mesh.piecemeal import free_piecemeal
from twisted_mesh.policy.match import compile_match
from twisted_mesh.policy.shedding import PRIORITIES
from twisted_mesh.shadow import Sampled, Shadow
from twisted_mesh.timing import Timings
from twisted_mesh.upstream.hash_key import hashed

if TYPE_CHECKING:
    from twisted_mesh import model
    from twisted_mesh.control.apart import Parting
    from twisted_mesh.upstream.cluster import Cluster

Find = Callable[[str], IFilterPlugin]
"""Finds the plugin of a filter by its name."""

T = TypeVar("T")
Key = tuple[str, ...]


class _Place(NamedTuple):
    """Where something stands: its own name, the resource it belongs to, and the path in the configuration."""

    name: str
    owner: str
    path: str


class Chain(NamedTuple):
    """The chain of a listener, and those of its layers that only watch: they see refused calls too."""

    proceed: Proceed
    observers: Sequence[Filter]
    # Begins to time the filters of an adapter that has this chain.
    watch: Callable[[Any], None] = lambda adapter: None
    # Its filters by name, and the routes inside them; for who explains what becomes of a call.
    layers: Sequence[tuple[str, Filter]] = ()
    table: Table = Table()


class _Made(NamedTuple):
    """What was made from a part of the configuration, and under which keys the parts of it were."""

    config: object
    value: Any
    parts: list[Key]


class Chains:
    """The live chains of one configuration.

    :param clusters: the live clusters, by name; each has its `forwards` already.
    :param before: the chains that run now; what is equal in them is used again.
    """

    def __init__(
        self,
        clusters: Mapping[str, Cluster],
        env: MeshEnv,
        *,
        find: Find,
        before: Optional[Chains] = None,
    ) -> None:
        self._clusters = clusters
        self._env = env
        self._find = find
        self._made: dict[Key, _Made] = {}
        self._before = {} if before is None else before._made
        self._parts: Optional[list[Key]] = None
        self._timings = Timings(env)
        # What the configuration calls the filters, for those that are not called as their module is.
        self._names: dict[int, str] = {}

    def listener(self, name: str, config: model.Config) -> Generator[None, None, Chain]:
        """Make the whole chain of a listener, in steps that are each short; the last returns it.

        :raises ConfigError: a filter could not be built.
        """
        place = _Place(name, f"listeners/{name}", f"listeners.{name}")
        live = config.listeners[name]
        observers = [*self._access_log(place, config.access_log_of(live), live.protocol), self._metrics(place)]
        filters: list[Filter] = []
        inside: list[tuple[str, Filter]] = []
        routes = config.routes[live.routes] if isinstance(live.routes, str) else live.routes
        # What some routes do without can only run once it is known which route it is.
        without = {each for route in routes if is_for(name, route.match) for each in _without(route)}
        for use, each in self._used(place, live.filters):
            if use.name in without or getattr(self._find(use.name), "after_routing", False):
                inside.append((use.name, each))
            else:
                filters.append(each)
        table = yield from self._table(name, config, inside)
        layers = [*observers, *filters]
        named = self._named(layers)
        enter = self._entry(table)
        timed = partial(self._timings.listener, named, enter)
        watch = partial(self._timings.watch, make=timed)
        return Chain(compose(layers, enter), observers, watch, named, table)

    def let_go(self, after: Chains) -> Iterator[None]:
        """Let go of everything that was made, a little at a time; filters that `after` has no more are told so."""
        made = self._made
        self._made = {}
        while made:
            key, each = made.popitem()
            if key[0] == "filter" and after._made.get(key) is not each:
                self._retire(each.value)
            del each
            yield

    def _retire(self, built: Any) -> None:
        """Tell a filter that it is in force no more, whatever was put round it."""
        inner = built.inner if isinstance(built, (Shadow, Sampled)) else built
        retire: Optional[Callable[[], None]] = getattr(inner, "retire", None)
        if retire is None:
            return
        try:
            retire()
        except Exception:
            self._env.log.failure("{built!r} could not be retired", built=inner)

    def settled(self) -> None:
        """All chains are made: let go of those before."""
        self._before = {}

    # --- what is equal stays

    def _once(self, key: Key, config: object, make: Callable[[], T]) -> T:
        """Return what was made for an equal `config` under this key, in this world or the one before, or make it."""
        known = self._made.get(key)
        if known is None or known.config != config:
            known = self._before.get(key)
            if known is None or known.config != config:
                known = self._make(config, make)
            else:
                self._made.update((part, self._before[part]) for part in known.parts)
            self._made[key] = known
        if self._parts is not None:
            self._parts.append(key)
        return known.value  # type: ignore[no-any-return]

    def _make(self, config: object, make: Callable[[], object]) -> _Made:
        outer, self._parts = self._parts, []
        try:
            return _Made(config, make(), self._parts)
        finally:
            self._parts = outer

    # --- filters

    def _access_log(self, place: _Place, config: Optional[model.AccessLog], protocol: str) -> Sequence[Filter]:
        if config is None:
            return ()
        settings = {"path": config.path, "format": config.format, "slow": config.slow_of(protocol)}
        make = partial(self._plugin, "access_log", place, settings)
        return (self._once(("log", place.owner), (config, protocol), make),)

    def _metrics(self, place: _Place) -> Filter:
        return self._once(("metrics", place.owner), None, partial(self._plugin, "metrics", place, {}))

    def _plugin(self, name: str, place: _Place, settings: Mapping[str, object]) -> Filter:
        plugin = self._find(name)
        return plugin.build(plugin.settings(**settings), self._env.named(f"{place.owner}/{name}"))

    def _filters(self, place: _Place, uses: Sequence[model.FilterUse]) -> list[Filter]:
        return [each for _, each in self._used(place, uses)]

    def _named(self, layers: Sequence[Filter]) -> list[tuple[str, Filter]]:
        """Return the layers with the names that their times are shown under."""
        return [(self._names.get(id(each)) or _module(each), each) for each in layers]

    def _used(self, place: _Place, uses: Sequence[model.FilterUse]) -> Iterator[tuple[model.FilterUse, Filter]]:
        seen: dict[str, int] = {}
        for at, use in enumerate(uses):
            # Told apart by how many of the same name stand before, so that a new filter in front moves none.
            nth = seen[use.name] = seen.get(use.name, 0) + 1
            if use.mode != "off":
                key = ("filter", place.owner, use.name, str(nth))
                made = self._once(key, use, partial(self._build, place, at, use))
                self._names[id(made)] = use.name
                yield use, made

    def _build(self, place: _Place, at: int, use: model.FilterUse) -> Filter:
        env = self._env.named(f"{place.owner}/{use.name}")
        where = f"{place.path}.filters[{at}]"
        try:
            built = self._find(use.name).build(use.settings, env)
            if not callable(built):
                raise TypeError(f"build returned {built!r}, and not a filter")
        except ConfigError as error:
            # The filter knows what is wrong with its surroundings: nothing is broken.
            problems = [Problem(where, 0, 0, "", f"{use.name}: {each.message}") for each in error.problems]
            raise ConfigError(problems) from error
        except Exception as error:
            env.log.failure("{where}: the filter {name} could not be built", where=where, name=use.name)
            raise ConfigError([Problem(where, 0, 0, "", f"filter {use.name} could not be built: {error}")]) from error
        if use.mode == "shadow":
            return Shadow(built, use.name, use.percent, env)
        return built if use.percent >= 100.0 else Sampled(built, use.percent, env)

    # --- routes

    def _table(
        self, listener: str, config: model.Config, inside: Sequence[tuple[str, Filter]]
    ) -> Generator[None, None, Table]:
        live = config.listeners[listener]
        if isinstance(live.routes, str):
            place = _Place(live.routes, f"routes/{live.routes}", f"routes.{live.routes}")
            routes = config.routes[live.routes]
        else:
            place = _Place(listener, f"listeners/{listener}/routes", f"listeners.{listener}.routes")
            routes = live.routes
        table = Table()
        free_piecemeal(table, table.routes, self._env.clock)
        parting = _parting(live.protocol, config)
        for at, each in enumerate(routes):
            if is_for(listener, each.match):
                route = self._route(place, at, each, live.protocol)
                if parting is not None:
                    parting.add(each, route.conditions)
                without = _without(each) if inside else ()
                layers = [layer for name, layer in inside if name not in without]
                table.add(self._within(layers, route) if layers else route)
            yield
        if parting is not None:
            table.apart, table.divides, table.alike = parting.found(), parting.divides, parting.alike
        return table

    def _entry(self, table: Table) -> Proceed:
        """Return the innermost layer of a listener's chain."""
        if not table.divides:
            return table.proceed
        # Late: few sidecars have such routes.
        from twisted_mesh.filters.redis_divide import Divided

        return Divided(table, table.alike, self._env.named("routes"))

    def _within(self, layers: Sequence[Filter], route: Route) -> Route:
        """Return a route like this one, for one listener, with more layers round its chain."""
        inner, timed = route.proceed, route.timed
        within = copy.copy(route)
        within.proceed = compose(layers, inner)
        named = self._named(layers)
        within.layers = [*named, *route.layers]
        within.timed = lambda: self._timings.compose(named, inner if timed is None else timed())
        return within

    def _route(self, table: _Place, at: int, config: model.Route, protocol: str) -> Route:
        name = config.name or f"{table.name}[{at}]"
        clusters = [self._clusters[each.cluster] for each in config.to]
        others = [self._clusters[each] for each in (*config.failover, *(mirror.cluster for mirror in config.mirror))]
        place = _Place(name, f"{table.owner}/{name}", f"{table.path}[{at}]")
        # The clusters count by identity: a new one of the same name must be reached.
        return self._once(
            ("route", protocol, place.owner),
            (config, clusters, others),
            partial(self._new_route, place, config, clusters, protocol),
        )

    def _new_route(self, place: _Place, config: model.Route, clusters: Sequence[Cluster], protocol: str) -> Route:
        asked = conditions(config.match)
        layers = self._filters(place, config.filters)
        if config.rewrite is not None:
            layers.insert(0, Rewrite(path_change(config.match, config.rewrite), config.rewrite.host))
        layers += settings_layers(config, protocol, place.owner, self._clusters, self._env)
        innermost = innermost_of(config, clusters, protocol)
        named = self._named(layers)
        return Route(
            place.name,
            compose(layers, innermost),
            layers=named,
            innermost=innermost,
            timed=partial(self._timings.compose, named, innermost) if layers else None,
            priority=PRIORITIES[config.priority],
            matches=compile_match(asked, self._env.random.random),
            conditions=asked,
            targets=[
                Target(self._clusters[each.cluster], each.weight, Headers.of(each.headers.set.items()))
                for each in config.to
            ],
            dice=self._env.random.random,
            sticky=hashed(config.sticky) if config.sticky else None,
            failover=failover_of(config.failover, protocol, self._clusters, self._env),
            held=[each.forwards[protocol] for each in (*clusters, *map(self._clusters.__getitem__, config.failover))],
            timeout=config.timeout,
            idle_timeout=config.idle_timeout,
            max_duration=config.max_duration,
            body_limit=config.body_limit,
            upgrades=config.upgrade,
            deadline=config.deadline,
        )


def _module(each: Filter) -> str:
    """Return the last part of the name of the module that a filter comes from."""
    return (getattr(each, "__module__", None) or type(each).__module__).rpartition(".")[2]


def _without(route: model.Route) -> frozenset[str]:
    """Return the names of the listener's filters that are off for a route's calls."""
    return frozenset(use.name for use in route.filters if use.mode == "off")


def _parting(protocol: str, config: model.Config) -> Optional[Parting]:
    if protocol != "redis":
        return None
    # Late: most sidecars speak no Redis.
    from twisted_mesh.control.apart import Parting

    return Parting(config.clusters)

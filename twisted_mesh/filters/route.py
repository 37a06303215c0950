"""Where a call goes: the table of routes, and what a route is once it is live.

The table stands innermost in a listener's chain.  It runs for every call, so it is a plain function: what it returns is
what the route's own chain returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Awaitable, Callable, Iterable, Mapping, Optional, Protocol, Sequence

from twisted_mesh.call import Call, Reply
from twisted_mesh.codec.deadline import OURS, field_of
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.headers import Field, Headers
from twisted_mesh.interfaces import ClusterLike, Filter, Proceed
from twisted_mesh.policy.index import Index
from twisted_mesh.policy.match import Conditions, Test
from twisted_mesh.policy.ring import key_hash
from twisted_mesh.policy.split import split, split_by_place
from twisted_mesh.policy.template import Template

if TYPE_CHECKING:
    from twisted_mesh.policy.apart import Apart

Dice = Callable[[], float]


class Reserve(ClusterLike, Protocol):
    """A cluster that says whether a call to it has good prospects."""

    @property
    def ready(self) -> bool: ...


Key = Callable[[Call], Optional[int]]
"""Returns the 64-bit hash of what calls to several clusters are told apart by; None where a call has nothing of it."""
# As many routes are looked at one after the other.
FEW = 8
EVERYTHING = Conditions()
# What a route says of deadlines that costs nothing: the caller's counts.
CALLER = "caller"


class Target:
    """A cluster that a route sends to, its weight among the route's targets, and request headers set on the way."""

    __slots__ = ("cluster", "headers", "weight")

    def __init__(self, cluster: ClusterLike, weight: int = 1, headers: Optional[Headers] = None) -> None:
        self.cluster = cluster
        self.weight = weight
        self.headers: list[Field] = [] if headers is None else headers.fields

    def choose(self, call: Call) -> None:
        """Send this call to this target."""
        call.cluster = self.cluster
        if self.headers:
            names = {each[0] for each in self.headers}
            call.headers.fields = [each for each in call.headers.fields if each[0] not in names] + self.headers


class Failover:
    """Where calls go while the cluster that was picked has no good prospects: to the first of these that has.

    If none has, they stay where they are.

    :param moved: counts the calls that go elsewhere.
    """

    __slots__ = ("_moved", "_reserves")

    def __init__(self, reserves: Sequence[Reserve], moved: Callable[[Reserve], None]) -> None:
        self._reserves = tuple(reserves)
        self._moved = moved

    def __call__(self, call: Call) -> None:
        picked: Reserve = call.cluster  # type: ignore[assignment]  # a route with reserves has such targets only
        if picked.ready:
            return
        reserve = self.reserve()
        if reserve is not None:
            call.cluster = reserve
            self._moved(picked)

    def reserve(self) -> Optional[Reserve]:
        """Return the first that has good prospects, if there is one."""
        return next((each for each in self._reserves if each.ready), None)


class Route:
    """One live entry of a routing table.

    `matches` is the compiled match, None for every call, and `conditions` what it was made of.  `proceed` is the
    route's own chain, whose innermost layer is `forward`, or an answer of the mesh's own.  `timeout` and the other
    limits are those of the configuration, None where it gives none.  `timed` makes the same chain with a stopwatch
    round each layer; None where there is nothing to time.  `layers` are the filters of the chain by name, and
    `innermost` is what stands inside them.  `sticky` says that calls that are alike go to the same one of several
    targets.  `held` is kept for calls that still run by this route when its clusters have been replaced: by what these
    send them.  `cells` is for filters that keep their metrics cells by route.
    """

    __slots__ = (
        "__weakref__",
        "_failover",
        "_split",
        "_template",
        "body_limit",
        "cells",
        "choose",
        "conditions",
        "deadline",
        "held",
        "idle_timeout",
        "innermost",
        "layers",
        "limits",
        "matches",
        "max_duration",
        "name",
        "priority",
        "proceed",
        "sticky",
        "targets",
        "timed",
        "timeout",
        "upgrades",
    )

    def __init__(
        self,
        name: str,
        proceed: Proceed,
        *,
        matches: Optional[Test] = None,
        conditions: Conditions = EVERYTHING,
        targets: Sequence[Target] = (),
        dice: Optional[Dice] = None,
        sticky: Optional[Key] = None,
        failover: Optional[Failover] = None,
        timeout: Optional[float] = None,
        idle_timeout: Optional[float] = None,
        max_duration: Optional[float] = None,
        body_limit: Optional[int] = None,
        upgrades: bool = True,
        deadline: str = CALLER,
        priority: int = 0,
        timed: Optional[Callable[[], Proceed]] = None,
        layers: Sequence[tuple[str, Filter]] = (),
        innermost: Optional[Proceed] = None,
        held: Sequence[Proceed] = (),
    ) -> None:
        self.name = name
        self.held = held
        self.layers = layers
        self.innermost = innermost
        self.proceed = proceed
        self.timed = timed
        self.matches = matches
        self.conditions = conditions
        self._template: Optional[Template] = None
        self.targets = tuple(targets)
        self.sticky = sticky is not None and len(self.targets) > 1
        self.choose = self._split = _chooser(self.targets, dice, sticky)
        self._failover = failover
        if failover is not None and self.choose is not None:
            self.choose = _one_after_the_other(self.choose, failover)
        self.timeout = timeout
        self.idle_timeout = idle_timeout
        self.max_duration = max_duration
        self.body_limit = body_limit
        self.upgrades = upgrades
        self.deadline = deadline
        self.priority = priority
        limits = (idle_timeout, max_duration, body_limit)
        ours = not upgrades or priority != 0 or deadline != CALLER
        self.limits = ours or any(each is not None for each in limits)
        self.cells: dict[str, Any] = {}

    def __repr__(self) -> str:
        to = ", ".join(f"{each.cluster.name}:{each.weight}" for each in self.targets)
        return f"<Route {self.name} to {to or 'nobody'}>"

    def aim(self, call: Call) -> Optional[ClusterLike]:
        """Choose the cluster of an imaginary call as `choose` does, and count nothing.

        Returns the cluster that it is kept from, where another stands in.
        """
        if self._split is None:
            return None
        self._split(call)
        picked: Any = call.cluster
        reserve = None if self._failover is None or picked.ready else self._failover.reserve()
        if reserve is None:
            return None
        call.cluster = reserve
        return picked  # type: ignore[no-any-return]  # what `choose` sets

    def segments(self, call: Call) -> Mapping[str, str]:
        """Return what the named segments of the route's template are in this call's path."""
        if self.conditions.template is None:
            return {}
        if self._template is None:
            self._template = Template(self.conditions.template)
        return self._template.segments(call.resource) or {}

    def limit(self, call: Call) -> None:
        """Give the call the limits that few routes set.

        :raises MeshError: `Kind.UPGRADE_REFUSED`: the call asks for an upgrade, which this route forbids.
        """
        if self.idle_timeout is not None:
            call.idle_timeout = self.idle_timeout
        if self.max_duration is not None:
            call.max_duration = self.max_duration
        if self.body_limit is not None:
            call.body_limit = self.body_limit
        if self.deadline != CALLER:
            self._set_deadline(call)
        if self.priority:
            call.priority = self.priority
        if not self.upgrades:
            call.upgrades = False
            if call.upgrade:
                raise MeshError(Kind.UPGRADE_REFUSED, "the route forbids upgrades", origin=Origin.CLIENT)

    def _set_deadline(self, call: Call) -> None:
        if self.deadline == "off":
            call.deadline = None
            call.plain = bool(call.authority)
        elif self.timeout is not None and call.deadline is None:
            call.plain = False
            call.headers.fields.append(field_of(OURS, self.timeout))


def _chooser(
    targets: Sequence[Target], dice: Optional[Dice], sticky: Optional[Key]
) -> Optional[Callable[[Call], None]]:
    if not targets:
        return None
    if len(targets) == 1:
        return targets[0].choose
    if dice is None:
        raise ValueError("a route to several clusters needs dice")
    weighted = [(each, each.weight) for each in targets]
    draw = split(weighted, dice)
    if sticky is None:
        return lambda call: draw().choose(call)
    belongs = split_by_place(weighted)

    def choose(call: Call) -> None:
        key = sticky(call)
        (draw() if key is None else belongs(_place(key))).choose(call)

    return choose


def _one_after_the_other(first: Callable[[Call], None], then: Callable[[Call], None]) -> Callable[[Call], None]:
    def both(call: Call) -> None:
        first(call)
        then(call)

    return both


def _place(key: int) -> float:
    # Hashed once more: a cluster may pick endpoints by the same key, and must not see the keys of one stretch only.
    # 53 bits are what a float below 1 holds.
    return (key_hash(key.to_bytes(8, "big")) >> 11) / (1 << 53)


class Table:
    """The routes of one listener, in order: the first that matches takes the call.

    Looking at one after the other is the fastest for a handful; more have an index, which finds the same ones.
    `apart` keeps commands of Redis from travelling as one call that may have different routes; None if none can.
    `divides` says that keys of one command may have different routes, which `alike` tells by; None if it takes more.
    """

    __slots__ = ("__weakref__", "_few", "_index", "alike", "apart", "divides", "routes")

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self.routes: list[Route] = []
        self.apart: Optional[Apart] = None
        self.divides = False
        self.alike: Optional[Apart] = None
        # Those that are looked at one after the other: all of them, or none.
        self._few: list[Route] = []
        self._index: Index[Route] = Index()
        for each in routes:
            self.add(each)

    def __repr__(self) -> str:
        return f"<Table of {len(self.routes)} routes>"

    def add(self, route: Route) -> None:
        """Add a route behind all others; not for a table that calls run through already."""
        self.routes.append(route)
        if len(self.routes) <= FEW:
            self._few.append(route)
            return
        for each in (*self._few, route):
            self._index.add(each.conditions, each.matches, each)
        self._few = []

    def find(self, call: Call) -> Route:
        """Return the route of a call, as `proceed` finds it.

        :raises MeshError: `Kind.NO_ROUTE`.
        """
        for route in self._few:
            if route.matches is None or route.matches(call):
                return route
        return self._look_up(call)

    def proceed(self, call: Call) -> Awaitable[Reply]:
        """Run the call through the chain of its route; the innermost `proceed` of a listener's chain.

        :raises MeshError: `Kind.NO_ROUTE`.
        """
        for route in self._few:
            matches = route.matches
            if matches is None or matches(call):
                break
        else:
            route = self._look_up(call)
        call.route = route
        call.timeout = route.timeout
        if route.limits:
            route.limit(call)
        choose = route.choose
        if choose is not None:
            choose(call)
        return route.proceed(call)

    def _look_up(self, call: Call) -> Route:
        route = self._index.find(call)
        if route is None:
            raise MeshError(Kind.NO_ROUTE, f"no route for {call.operation} {call.host}{call.resource}")
        return route


def forward(call: Call) -> Awaitable[Reply]:
    """Send the call to the cluster that its route chose; the innermost `proceed` of a route with several targets."""
    cluster = call.cluster
    if cluster is None:
        raise MeshError(Kind.NO_CLUSTER, "no cluster was chosen")
    return cluster.forward(call)

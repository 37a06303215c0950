"""How long each filter takes, looked at for few calls, so that all others pay nothing for it.

Now and then the chain of a listener is replaced, for one call, by one of the same filters with a stopwatch round each;
the route that this call takes gets the same for its next one.  There is no test for it on the way of other calls: what
they run through is what they would run through without.
"""

from __future__ import annotations

from typing import Any, Callable, Optional, Protocol, Sequence
from weakref import ref

from twisted.internet.interfaces import IReactorTime

from twisted_mesh.call import Call, Completion, Reply
from twisted_mesh.chain import compose
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env, Filter, Observer, Proceed
from twisted_mesh.metrics import HistogramCell

# Seconds from one call that is looked at to the next, for each listener.
EVERY = 0.05

Layer = tuple[str, Filter]
"""The name of a filter, and the filter."""
Make = Callable[[], Proceed]


class TimedRoute(Protocol):
    """A route whose chain can be put together with stopwatches in it."""

    proceed: Proceed
    timed: Optional[Make]


class Timings:
    """Times the filters of chains; the histogram has the filters' names as its label.

    What is counted is the time in the filter itself, its own waits included and what is further in left out, up to the
    reply head; of the filters that only observe it is what they do when the call has ended.
    """

    def __init__(self, env: Env) -> None:
        self._clock = env.clock
        self._now = env.now
        self._family = Families(env.metrics).filter_duration

    def compose(self, layers: Sequence[Layer], innermost: Proceed) -> Proceed:
        """Do as `chain.compose` does, with a stopwatch round each layer."""
        return compose([self._timed(*each) for each in layers], innermost)

    def listener(self, layers: Sequence[Layer], table: Proceed) -> Proceed:
        """Return the timed chain of a listener; the route that a call takes is timed the next time.

        :param table: finds the route and runs its chain; ``call.route`` is known when it returns.
        """

        def routed(call: Call) -> Any:
            awaitable = table(call)
            route: Any = call.route
            # What has no single route has none.
            if route is not None and route.timed is not None:
                self._arm(route)
            return awaitable

        return self.compose(layers, routed)

    def watch(self, adapter: Any, make: Make) -> None:
        """Time one call of an adapter's ``chain`` now and then, as long as the adapter has that chain."""
        _Watch(self._clock, adapter, make).arm()

    def _arm(self, route: TimedRoute) -> None:
        make = route.timed
        if make is not None and not isinstance(route.proceed, _Once):
            route.proceed = _Once(route, "proceed", route.proceed, make)

    def _timed(self, name: str, each: Filter) -> Filter:
        cell = self._family.labels(name)
        if isinstance(each, Observer):
            return _TimedObserver(each.observe, cell, self._now)
        return _Timed(each, cell, self._now)


class _Watch:
    """Has one call of an adapter's ``chain`` timed now and then, as long as the adapter has that chain."""

    __slots__ = ("_adapter", "_clock", "_make", "_plain")

    def __init__(self, clock: IReactorTime, adapter: Any, make: Make) -> None:
        self._clock = clock
        self._adapter = adapter
        self._make = make
        self._plain = adapter.chain

    def arm(self) -> None:
        """Have the next call timed."""
        if self._adapter.chain is self._plain:
            self._adapter.chain = _Once(self._adapter, "chain", self._plain, self._make, self._again)

    def _again(self) -> None:
        self._clock.callLater(EVERY, self.arm)


class _Once:
    """A chain that is replaced by the plain one when it is called.

    What holds it is called through it, and so is there when it is needed; it must not be kept alive by it.
    """

    __slots__ = ("_after", "_attribute", "_holder", "_make", "_plain")

    def __init__(
        self, holder: Any, attribute: str, plain: Proceed, make: Make, after: Optional[Callable[[], None]] = None
    ) -> None:
        self._holder = ref(holder)
        self._attribute = attribute
        self._plain = plain
        self._make = make
        self._after = after

    def __repr__(self) -> str:
        return f"<timed once, then {self._plain!r}>"

    def __call__(self, call: Call) -> Any:
        holder = self._holder()
        if holder is not None and getattr(holder, self._attribute) is self:
            setattr(holder, self._attribute, self._plain)
            if self._after is not None:
                self._after()
        return self._make()(call)


class _Timed:
    """A filter with a stopwatch round it."""

    __slots__ = ("_cell", "_filter", "_now")

    def __init__(self, each: Filter, cell: HistogramCell, now: Callable[[], float]) -> None:
        self._filter = each
        self._cell = cell
        self._now = now

    async def __call__(self, call: Call, proceed: Proceed) -> Reply:
        now, further = self._now, 0.0

        async def measured(call: Call) -> Reply:
            nonlocal further
            began = now()
            try:
                return await proceed(call)
            finally:
                further += now() - began

        began = now()
        try:
            return await self._filter(call, measured)
        finally:
            # One that proceeds twice at once is further in for longer than it takes.
            self._cell.observe(max(0.0, now() - began - further))


class _TimedObserver(Observer):
    """A filter that only observes, with a stopwatch round that."""

    __slots__ = ("_cell", "_inner", "_now")

    def __init__(self, inner: Completion, cell: HistogramCell, now: Callable[[], float]) -> None:
        self._inner = inner
        self._cell = cell
        self._now = now
        self.observe = self._observe

    def _observe(self, call: Call) -> None:
        began = self._now()
        try:
            self._inner(call)
        finally:
            self._cell.observe(self._now() - began)

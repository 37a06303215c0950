"""What the parts know of each other; the place to start reading.

Everything here is an interface or a plain value.  `Filter` and `IFilterPlugin` are what users implement.
"""

from __future__ import annotations

import random as _random
from typing import (
    TYPE_CHECKING,
    Any,
    Awaitable,
    Callable,
    Iterable,
    Literal,
    Mapping,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
)

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.plugin import IPlugin
from zope.interface import Attribute

from twisted_mesh.call import Call, Completion, Reply

if TYPE_CHECKING:
    from twisted_mesh.metrics import Registry
    from twisted_mesh.policy.gcra import Gcra, Grant
    from twisted_mesh.policy.rate_lease import Ask

__all__ = [
    "Call",
    "Env",
    "Explaining",
    "Explanation",
    "Filter",
    "IFilterPlugin",
    "IPlugin",
    "Proceed",
    "Reply",
    "SharedLimitLike",
]

Proceed = Callable[[Call], Awaitable[Reply]]


class Filter(Protocol):
    """A layer round everything further in.

    ``await proceed(call)`` runs the rest of the chain and returns the reply once its *head* is known.  A filter may
    change the call before and the reply after, return without proceeding, raise `MeshError`, or proceed several times.
    What must see the end of the call registers ``call.on_complete``.

    One instance serves all calls of its chain at once, so what belongs to one call stays in local variables or in
    ``call.context``.  A filter that needs nothing after the head may be a plain method that returns
    ``proceed(call)``: it costs half of what a coroutine does.

    A filter that has something to end, such as a timer, has a method ``retire()``: it is called when the configuration
    has the filter no more.  Calls that began before may still run through it.

    One that decides something should be `Explaining` as well.
    """

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]: ...


Verdict = Literal["pass", "change", "reply", "refuse", "wait", "maybe", "unknown"]


class Explanation(NamedTuple):
    """What a filter would do to a call, and why, in words for people.

    `pass`: let it through as it is; `change` it or its reply; `reply` to it itself; `refuse` it; `wait`: hold it up;
    `maybe`: the dice decide among these, and `why` says with what odds; `unknown`: it cannot say beforehand.
    """

    verdict: Verdict
    why: str = ""


class Explaining(Protocol):
    """A filter that says what it would do, for ``meshctl explain``."""

    def explain(self, call: Call) -> Explanation:
        """Say what would become of `call`, which is imaginary, if it came now.

        Nothing may be counted, used up, drawn, kept, sent or waited for.  It may change the call as `__call__` would,
        so that what is further in is asked about the call that it would see.
        """


class Observer:
    """A filter that does nothing but register one completion: `observe`, which whoever inherits sets.

    A chain need not call it.  It is a base class, so that no filter that happens to have something called `observe` is
    taken for one.
    """

    __slots__ = ("observe",)

    observe: Completion

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        call.on_complete(self.observe)
        return proceed(call)


class Env(Protocol):
    """The only door from a filter to the world.

    `clock` is for timers, `now` is monotonic seconds, `random` is the dice, `name` says which filter of which chain
    this is (for logs and metrics), `log` is a Twisted logger in that name.
    """

    clock: IReactorTime
    random: _random.Random
    metrics: Registry
    log: Logger
    name: str

    def now(self) -> float:
        """Monotonic seconds."""

    def wall(self) -> float:
        """Seconds since the epoch, for what people read; never for measuring."""

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait; cancelled together with the call."""

    def asyncio(self, coroutine: Awaitable[Any]) -> Awaitable[Any]:
        """Run a coroutine that needs an asyncio task (``asyncio.timeout``, aiohttp, redis.asyncio) and wait for it."""

    @property
    def http(self) -> Any:
        """A treq client."""

    @property
    def redis(self) -> Any:
        """The mesh's Redis connection; None where the configuration names none."""

    @property
    def strain(self) -> StrainLike:
        """How much the process has to do."""

    @property
    def limits(self) -> Optional[LimitsLike]:
        """Rate limits that all sidecars of the mesh count together; None where the configuration names no Redis."""


class StrainLike(Protocol):
    """How much the process has to do: `lag` of its loop in seconds, `memory` in bytes, as of the last `turn`."""

    @property
    def lag(self) -> float: ...
    @property
    def memory(self) -> int: ...
    @property
    def turn(self) -> int: ...
    def ask(self) -> None:
        """Have it measured for a while from now on."""


class IFilterPlugin(IPlugin):
    """Makes filters of one kind.  An instance at module level in ``twisted_mesh/filters/NAME.py`` is found.

    One that also says ``after_routing = True`` is for filters that need the route: in a listener's chain they run for
    each call when its route is known, before the route's own filters.

    One with ``in_vain(settings, protocol)`` returns the names of those settings that are given and mean nothing for
    calls of a protocol, which are refused then.
    """

    name: str = Attribute("What the configuration calls it.")
    settings: type = Attribute("A frozen dataclass: its fields are the settings, with their types and defaults.")
    protocols: Sequence[str] = Attribute("The protocols it means something for: of http, tcp, redis.")

    def build(settings: Any, env: Env) -> Filter:
        """Return a filter for one chain."""


class SharedLimitLike(Protocol):
    """A rate limit that sidecars count together; as long as somebody has joined this sidecar is one of them."""

    @property
    def name(self) -> str: ...
    @property
    def sidecars(self) -> int:
        """How many there are, as far as is known; at least 1."""

    @property
    def connected(self) -> bool:
        """Whether there is anybody to ask."""

    def join(self, member: object) -> None:
        """Apply the limit; a member that is freed has left."""

    def leave(self, member: object) -> None:
        """Apply it no more."""

    def ask(self, key: str, gcra: Gcra, asked: Ask) -> Deferred[Grant]:
        """Ask for units of a key; the Deferred fails where there is no answer."""

    def give_back(self, gcra: Gcra, units: Iterable[tuple[str, int]]) -> None:
        """Units that were granted, by key, were not used."""


class LimitsLike(Protocol):
    """The rate limits of the mesh."""

    def limit(self, name: str) -> SharedLimitLike:
        """Return the limit of this name."""


class EndpointLike(Protocol):
    """One address of a cluster, as filters and logs see it."""

    address: str
    weight: int
    zone: str
    labels: Mapping[str, str]
    active: int


class ClusterLike(Protocol):
    """A named set of endpoints, as routes see it."""

    name: str

    def forward(self, call: Call) -> Awaitable[Reply]:
        """Send the call to one endpoint and return its reply; the innermost `proceed` of every chain."""


class RouteLike(Protocol):
    """One entry of a routing table, as filters and logs see it."""

    name: str


class Adapter(Protocol):
    """Turns accepted connections of one protocol into calls; built once for each listener."""

    protocol: str

    def announce(self) -> None:
        """A drain is near: tell clients, where the protocol can, to send their next call elsewhere."""

    def drain(self) -> None:
        """Answer what is in flight, then close; close what is idle."""

    def close_all(self) -> None:
        """End every connection now."""

    @property
    def active(self) -> int:
        """How many calls are in flight."""

    @property
    def connections(self) -> int:
        """How many client connections are open."""

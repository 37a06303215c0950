"""Ordinary commands: what waits for the reply to one that needs no call, and what such replies add up to.

They are made calls as soon as anything about them is unusual: their reply is an error, comes late or not at all,
somebody asks.  From then on they are as all others.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Callable, Optional, Protocol, Sequence

from twisted_mesh.adapters.redis_exchange import Exchange
from twisted_mesh.adapters.redis_rows import Row
from twisted_mesh.call import Call, Completion
from twisted_mesh.codec.commands import Command
from twisted_mesh.interfaces import Proceed
from twisted_mesh.redis_call import RedisCall
from twisted_mesh.redis_pending import Pending, Rescue, Tally

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis_commands import Commands
    from twisted_mesh.adapters.redis_shortcut import Shortcut


class Budget(Protocol):
    """What is told of every call: `policy.budget.RetryBudget`."""

    calls: int
    ends: float

    def turn(self, now: float) -> None: ...


class CountCalls(Protocol):
    """Counts ordinary calls like `sample` in a row: how many, by bucket, with their seconds and bytes."""

    def __call__(
        self, sample: Call, count: int, counts: Sequence[int], seconds: float, received: int, sent: int
    ) -> None: ...


class CountTries(Protocol):
    """Counts tries that went well in the same way."""

    def __call__(self, count: int, counts: Sequence[int], seconds: float) -> None: ...


class Spread(Protocol):
    """The short way to shards: `upstream.redis_spread.Spread`."""

    def straight(self, pending: Pending, key: bytes) -> bool: ...

    def tally(self, slow: float, timeout: float, count_tries: CountTries) -> Tally: ...

    def parts(self, whole: Any, command: Command, pieces: list[bytes], tally: Any) -> bool: ...


class Ways:
    """What the chain of one listener comes to.

    `chain` is that chain and `route` its route with `proceed` as its own: while anybody has put something else in the
    place of one of them this is not in force.  `send` sends a command if nothing is in the way; `spread` does, where
    keys are on several servers.  `budget` and `rescue` are of the filter that tries again, None without one.  What
    takes `slow` seconds is a call, for a log, and what takes `timeout`.
    """

    __slots__ = (
        "budget",
        "chain",
        "completions",
        "count_calls",
        "count_tries",
        "proceed",
        "rescue",
        "route",
        "send",
        "slow",
        "spread",
        "timeout",
    )

    def __init__(
        self,
        chain: Proceed,
        route: Any,
        send: Callable[[Pending], bool],
        completions: list[Completion],
        count_calls: CountCalls,
        count_tries: CountTries,
        slow: float,
        spread: Optional[Spread] = None,
    ) -> None:
        self.chain = chain
        self.route = route
        self.proceed: Proceed = route.proceed
        self.send = send
        self.completions = completions
        self.count_calls = count_calls
        self.count_tries = count_tries
        self.slow = slow
        timeout: Optional[float] = route.timeout
        self.timeout = inf if timeout is None else timeout
        self.spread = spread
        self.budget: Optional[Budget] = None
        self.rescue: Optional[Rescue] = None


class RowTally(Tally):
    """Ordinary replies to one command of a listener.

    :param in_parts: whether it goes out in parts, which are counted by themselves.
    """

    __slots__ = ("_sample", "calls", "in_parts", "name", "row", "shortcut")

    def __init__(self, shortcut: Shortcut, row: Row, in_parts: bool = False) -> None:
        super().__init__(shortcut.ways.slow, shortcut.ways.timeout)
        self.shortcut = shortcut
        self.row = row
        self.in_parts = in_parts
        self.name = row.command.name
        self.calls = row.calls
        self._sample = shortcut.call(row, b"*2\r\n$1\r\nx\r\n$1\r\nx\r\n", 0.0)

    def settle(self) -> None:
        """Count it in the metrics, and begin anew."""
        ways, counts, seconds = self.shortcut.ways, self.counts, self.seconds
        histogram = self.row.seconds
        histogram.total += seconds
        for at, count in enumerate(counts):
            if count:
                histogram.counts[at] += count
        if not self.in_parts:
            ways.count_tries(self.count, counts, seconds)
        ways.count_calls(self._sample, self.count, counts, seconds, self.received, self.sent)
        for at, count in enumerate(counts):
            if count:
                counts[at] = 0
        self.reset()


class Ordinary(Exchange):
    """An exchange whose call is made when somebody asks for it first."""

    __slots__ = ("_call",)

    def __init__(
        self, connection: Commands, tally: RowTally, data: bytes, now: float, rescue: Optional[Rescue]
    ) -> None:
        # What Exchange has, written out.
        self.done = self.sent = self.special = self.void = self.again = False
        self.resume = self.error = self.value = self.stream = None
        self.answer = self.rows = self.pending = self.driver = self.coming = self.upload = self._call = None
        self.direct = True
        self.rescue = rescue
        self.body = data
        self.began = now
        self.left = self.count = 1
        self.had = []
        self.connection = connection
        self.tally = tally
        self.row = tally.row

    @property
    def call(self) -> RedisCall:  # type: ignore[override]  # a plain attribute of others
        """The call, which is as others are from now on."""
        call: Optional[RedisCall] = self._call
        if call is None:
            tally: Any = self.tally
            self.tally = None
            call = self._call = tally.shortcut.call(tally.row, self.body, self.began)
            call.caller = self.connection
            if self.connection.identity is not None:
                call.identity = self.connection.identity
            call.endpoint = self.endpoint
            if not tally.in_parts:
                call.connected = self.began
        return call

    def heard(self, body: bytes) -> None:
        """Take an ordinary reply, which is counted already."""
        self.done = True
        self.answer = body
        connection = self.connection
        queue = connection.queue
        if len(queue) != 1 or connection._out or queue[0] is not self:
            connection.answered(self)
            return
        # `answered` in line.
        queue.popleft()
        connection._in_flight -= 1
        connection._transport.write(body)
        if connection._still or connection._closing or connection._eof or connection.binding is not None:
            connection._settle()

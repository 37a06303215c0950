"""The way of nearly all commands through the default chain, in one step.

A single command with one key, of a client that has asked for nothing special, on a listener whose chain is the default
one and whose first route takes everything to one cluster of plain servers: all that its layers do is known beforehand.
It is sent as it is, and counted together with others when its reply is here.  It is made a call as soon as anything
about it is unusual: its reply is an error, comes late or not at all, somebody asks.  From then on it is as all others.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Callable, Optional, Protocol, Sequence

from twisted_mesh.adapters.redis_exchange import Exchange
from twisted_mesh.adapters.redis_rows import WRITE, Row
from twisted_mesh.call import Call, Completion
from twisted_mesh.codec.resp import BULK_LIMIT, CRLF, SMALL, number_in
from twisted_mesh.codec.resp_request_scan import AROUND, DIGITS, NAME_SIZE, NEXT, Found, scan
from twisted_mesh.interfaces import Proceed
from twisted_mesh.redis_call import RedisCall
from twisted_mesh.redis_pending import Pending, Rescue, Tally

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis import RedisAdapter
    from twisted_mesh.adapters.redis_commands import Commands

# Heads of commands that are known by heart.
_HEADS_KEPT = 1024


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


class Ways:
    """What the chain of one listener comes to.

    `chain` is that chain and `route` its route with `proceed` as its own: while anybody has put something else in the
    place of one of them this is not in force.  `send` sends a command if nothing is in the way.  `budget` and `rescue`
    are of the filter that tries again, None without one.  What takes `slow` seconds is a call, for a log.
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
    ) -> None:
        self.chain = chain
        self.route = route
        self.proceed: Proceed = route.proceed
        self.send = send
        self.completions = completions
        self.count_calls = count_calls
        self.count_tries = count_tries
        self.slow = slow
        self.budget: Optional[Budget] = None
        self.rescue: Optional[Rescue] = None


class Shortcut:
    """The way of one listener's adapter while its chain is what `ways` says."""

    __slots__ = (
        "_adapter",
        "_budget",
        "_chain",
        "_heads",
        "_proceed",
        "_rescue",
        "_route",
        "_send",
        "_tallies",
        "_unknown",
        "ways",
    )

    def __init__(self, adapter: RedisAdapter, ways: Ways) -> None:
        self.ways = ways
        self._adapter = adapter
        self._chain = ways.chain
        self._route = ways.route
        self._proceed = ways.proceed
        self._send = ways.send
        self._budget = ways.budget
        self._rescue = ways.rescue
        self._tallies: dict[Row, RowTally] = {}
        # Whether a head was not known since the last was learnt.
        self._unknown = False
        # By what commands of two or three words begin with up to their key: what they count in, how many words they
        # have, and how long the key is.
        self._heads: dict[bytes, tuple[RowTally, int, int]] = {}

    def take(self, connection: Commands, data: bytes) -> bool:
        """Send `data` if it is one ordinary command; returns whether it was."""
        size = len(data)
        if size <= NAME_SIZE or self._adapter.chain is not self._chain or self._route.proceed is not self._proceed:
            return False
        # As `resp_request_scan.only` does.
        at = data[NAME_SIZE] + AROUND
        start = data.find(CRLF, at, at + DIGITS) + 2
        known = self._heads.get(data[:start])
        if known is None:
            self._unknown = True
            return False
        tally, words, end = known
        end += start
        if words == 3:
            stop = data.find(CRLF, end + 3, end + 3 + DIGITS)
            text = data[end + 3 : stop]
            length = SMALL.get(text) or number_in(text, 0, BULK_LIMIT)
            if length is None or stop + 4 + length != size or not data.startswith(NEXT, end):
                return False
        elif end + 2 != size:
            return False
        if not data.endswith(CRLF):
            return False
        now = self._adapter.now()
        pending = Ordinary(connection, tally, data, now, self._rescue)
        if not self._send(pending):
            return False
        budget = self._budget
        if budget is not None:
            # `RetryBudget.call` in line.
            if now >= budget.ends:
                budget.turn(now)
            budget.calls += 1
        tally.calls.value += 1
        connection.active_at = now
        connection.last = tally.name
        connection._in_flight += 1
        connection.queue.append(pending)
        return True

    def learn(self, row: Row, command: Found) -> None:
        """Know commands like this ordinary one from now on, if one was not known."""
        name, key, words, _, _ = command
        if not self._unknown or key is None or words > 3:
            return
        self._unknown = False
        tally = self._tallies.get(row)
        if tally is None:
            tally = self._tallies[row] = RowTally(self, row)
        if len(self._heads) >= _HEADS_KEPT:
            self._heads.clear()
        self._heads[b"*%d\r\n$%d\r\n%b\r\n$%d\r\n" % (words, len(name), name, len(key))] = tally, words, len(key)

    def call(self, row: Row, data: bytes, started: float) -> RedisCall:
        """Return the call of a command, as its chain leaves it once it is sent."""
        found: list[Found] = []
        scan(data, 0, found)
        call = RedisCall(self._adapter.name, row.command, found, data, data)
        key = found[0][1]
        assert key is not None
        call.key = key
        if row.code == WRITE:
            call.write = True
        call.bytes_in = len(data)
        call.started = call.received = call.connected = started
        call._completions = self.ways.completions.copy()
        route = call.route = self._route
        call.timeout = route.timeout
        route.choose(call)
        call.attempts = 1
        return call


class RowTally(Tally):
    """Ordinary replies to one command of a listener."""

    __slots__ = ("_sample", "calls", "name", "row", "shortcut")

    def __init__(self, shortcut: Shortcut, row: Row) -> None:
        timeout = shortcut.ways.route.timeout
        super().__init__(shortcut.ways.slow, inf if timeout is None else timeout)
        self.shortcut = shortcut
        self.row = row
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

"""The way of nearly all commands through the default chain, in one step.

A single command with one key, of a client that has asked for nothing special, on a listener whose chain is the default
one and whose first route takes everything to one cluster of plain servers: all that its layers do is known beforehand.
It is sent as it is, and counted together with others when its reply is here.  It is made a call as soon as anything
about it is unusual: its reply is an error, comes late or not at all, somebody asks.  From then on it is as all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted_mesh.adapters.redis_ordinary import Ordinary, RowTally, Ways
from twisted_mesh.adapters.redis_rows import WRITE, Row
from twisted_mesh.adapters.redis_several import Several
from twisted_mesh.codec.resp import BULK_LIMIT, CRLF, SMALL, number_in
from twisted_mesh.codec.resp_request_scan import AROUND, DIGITS, NAME_SIZE, NEXT, Found, scan
from twisted_mesh.redis_call import RedisCall

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis import RedisAdapter
    from twisted_mesh.adapters.redis_commands import Commands

# Heads of commands that are known by heart.
_HEADS_KEPT = 1024


class Shortcut:
    """The way of one listener's adapter while its chain is what `ways` says."""

    __slots__ = (
        "_adapter",
        "_budget",
        "_chain",
        "_heads",
        "_proceed",
        "_route",
        "_send",
        "_several",
        "_spread",
        "_tallies",
        "_unknown",
        "rescue",
        "rows",
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
        self.rescue = ways.rescue
        self.rows = adapter.rows
        self._spread = ways.spread
        self._tallies: dict[Row, RowTally] = {}
        # Whether a head was not known since the last was learnt.
        self._unknown = False
        # By what commands of two or three words begin with up to their key: what they count in, how many words they
        # have, and how long the key is.
        self._heads: dict[bytes, tuple[RowTally, int, int]] = {}
        # What takes commands of many keys; None where there are no shards.
        self._several = None if ways.spread is None else Several(self, ways.spread)

    def retire(self) -> None:
        """Another one is in force: let go of what holds this one, or only the garbage collector would find them."""
        self._tallies.clear()
        self._heads.clear()
        self._several = None

    def now(self) -> float:
        """Return the time."""
        return self._adapter.now()

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
            several = None if self._several is None else self._several.send(connection, data)
            if several is None:
                self._unknown = True
                return False
            pending, tally = several
            now = pending.began
        else:
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
            pending = Ordinary(connection, tally, data, now, self.rescue)
            if self._spread is None:
                if not self._send(pending):
                    return False
            elif not self._spread.straight(pending, data[start:end]):
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
        tally = self.tally(row)
        if len(self._heads) >= _HEADS_KEPT:
            self._heads.clear()
        self._heads[b"*%d\r\n$%d\r\n%b\r\n$%d\r\n" % (words, len(name), name, len(key))] = tally, words, len(key)

    def tally(self, row: Row) -> RowTally:
        """Return what ordinary replies to a command add up to."""
        tally = self._tallies.get(row)
        if tally is None:
            tally = self._tallies[row] = RowTally(self, row)
        return tally

    def call(self, row: Row, data: bytes, started: float) -> RedisCall:
        """Return the call of a command, as its chain leaves it once it is sent."""
        found: list[Found] = []
        scan(data, 0, found)
        call = RedisCall(self._adapter.name, row.command, found, data, data)
        key = found[0][1]
        assert key is not None
        call.key = key
        if row.code == WRITE or row.command.write:
            call.write = True
        call.bytes_in = len(data)
        call.started = call.received = started
        call._completions = self.ways.completions.copy()
        route = call.route = self._route
        call.timeout = route.timeout
        route.choose(call)
        call.attempts = 1
        return call

"""What binds a Redis client to connections of its own: transactions, subscriptions, waiting, watching, tracking.

A session belongs to one client connection.  The adapter says what comes from the client; the upstream lends it
connections, its `lanes`, and puts what they say there.
"""

from __future__ import annotations

from typing import Any, Callable, Hashable, Optional, Protocol

from twisted_mesh.codec.resp import bulk, error, integer, null, push
from twisted_mesh.park import Parked

# What opens and closes subscriptions, and which of the three sorts of them.
OPENING = {"SUBSCRIBE": "channel", "PSUBSCRIBE": "pattern", "SSUBSCRIBE": "shard"}
CLOSING = {"UNSUBSCRIBE": "channel", "PUNSUBSCRIBE": "pattern", "SUNSUBSCRIBE": "shard"}
SORTS = {**OPENING, **CLOSING}
# What goes to every server over a connection that nothing else is sent on: while a script runs for too long a server
# listens to no more than its end, and not on the connection that the script came by.
APART = frozenset(["CONFIG|GET", "FUNCTION|KILL", "FUNCTION|STATS", "SCRIPT|KILL"])
# What EXEC is answered where a command before it was refused, and one with arguments, in a transaction and without one.
ABORTED = error("EXECABORT", "Transaction discarded because of previous errors.")
WRONG_EXEC = error("EXECABORT", "Transaction discarded because of: wrong number of arguments for 'exec' command")


class Lane(Protocol):
    """A connection to a server that one session has for itself."""

    @property
    def clean(self) -> bool:
        """Whether nothing that was sent over it still has an effect."""

    @property
    def streams(self) -> bool:
        """Whether a large reply is on its way."""

    def hold(self, waiting: bool) -> None:
        """Read no more of it, or read on."""

    def unblock(self, how: bytes) -> Optional[Parked[Any]]:
        """Have its server end the waiting of what was sent last: as if its time were over, or by an error (`how`).

        :returns: what fires with the server's word of it; None if nothing can be waiting.
        :raises MeshError: the server cannot be asked.
        """

    def give_back(self) -> None:
        """The session needs it no more."""

    def end(self) -> None:
        """Close it; what waits for an answer gets none."""


class Session:
    """The state of one client, as far as it is more than that of a single command.

    :param tell: writes something to the client that it has not asked for now: a message, an invalidation.
    :param lost: is called when a connection is lost whose state cannot be got back; the client must begin anew.

    `multi`: between MULTI and its end; `spoilt` says why it can only fail.  `watching`: between WATCH and its end.
    `tracking` and `monitoring`: everything goes over its own connection until it ends.
    """

    __slots__ = (
        "_subscriptions",
        "key",
        "lanes",
        "lost",
        "main",
        "monitoring",
        "multi",
        "queued",
        "spoilt",
        "tell",
        "tracking",
        "watching",
    )

    def __init__(self, tell: Callable[[bytes], None], lost: Callable[[str], None]) -> None:
        self.tell = tell
        self.lost = lost
        # By the group of servers that they go to.
        self.lanes: dict[Hashable, Lane] = {}
        # The one that a transaction, or everything, goes over.
        self.main: Optional[Any] = None
        # The first key that went there, where routes tell keys apart.
        self.key = b""
        self.multi = False
        # What a filter notes of each command of the transaction, for the reply to EXEC.
        self.queued: list[Any] = []
        self.spoilt = ""
        self.watching = False
        self.tracking = False
        self.monitoring = False
        # Names by their sort; a dict each, for their order.
        self._subscriptions: dict[str, dict[bytes, None]] = {"channel": {}, "pattern": {}, "shard": {}}

    def __repr__(self) -> str:
        held = [name for name in ("multi", "watching", "tracking", "monitoring") if getattr(self, name)]
        return f"<Session {' '.join(held) or 'at rest'}, {self.subscribed} subscriptions, {len(self.lanes)} lanes>"

    @property
    def bound(self) -> bool:
        """Whether ordinary commands go over its own connection, too."""
        return self.multi or self.watching or self.tracking or self.monitoring

    @property
    def subscribed(self) -> int:
        """How many channels, patterns and sharded channels the client listens to."""
        return sum(map(len, self._subscriptions.values()))

    @property
    def at_rest(self) -> bool:
        """Whether it holds nothing: it need not exist."""
        return not self.bound and not self.subscribed

    def names(self, sort: str) -> list[bytes]:
        """Return what the client listens to, of one sort."""
        return list(self._subscriptions[sort])

    def confirm(self, operation: str, name: Optional[bytes], resp: int) -> bytes:
        """Note that the client listens to `name`, or does not any more; return what says so.

        The count is the client's own: its channels may be at several servers.
        """
        sort = SORTS[operation]
        names = self._subscriptions[sort]
        if name is not None:
            if operation in OPENING:
                names[name] = None
            else:
                names.pop(name, None)
        counted = [names] if sort == "shard" else [self._subscriptions["channel"], self._subscriptions["pattern"]]
        which = null(resp) if name is None else bulk(name)
        return push([bulk(operation.lower().encode()), which, integer(sum(map(len, counted)))], resp)

    def end_transaction(self) -> str:
        """The transaction is over, and the watching for one; returns why it could only fail, "" if it could do well."""
        spoilt, self.spoilt = self.spoilt, ""
        self.multi = self.watching = False
        return spoilt

    def settle(self) -> None:
        """Give back what nothing needs any more; called when no command of the session is in flight."""
        if not self.bound:
            self.main = None
            self.key = b""
        for group, lane in list(self.lanes.items()):
            if lane is not self.main and lane.clean:
                del self.lanes[group]
                lane.give_back()
            elif lane is not self.main and not self.subscribed:
                # Something is left that the client does not know of, such as a transaction that was never sent.
                del self.lanes[group]
                lane.end()

    def hold(self, waiting: bool, told: bool = False) -> None:
        """The client does not take what it is told as fast as it comes, or takes it again.

        :param told: whether what it is told waits for the end of a large reply; only what brings that is read on.
        """
        for lane in self.lanes.values():
            lane.hold(waiting or (told and not lane.streams))

    def refused(self, operation: str) -> None:
        """No server has heard of a command: a transaction can only fail, and what was not watched is not."""
        if self.multi:
            self.spoilt = self.spoilt or "a command was refused"
        elif operation == "WATCH" and self.main is None:
            self.watching = False

    def unblock(self, how: bytes) -> list[Parked[Any]]:
        """Have servers end what waits for something to happen; returns what fires with their words.

        :raises MeshError: a server cannot be asked.
        """
        asked = [lane.unblock(how) for lane in self.lanes.values()]
        return [each for each in asked if each is not None]

    def lane_lost(self, lane: Any, why: str) -> None:
        """One of its connections is gone.

        :param why: empty if nothing was sent over it yet, so that another one will do.
        """
        for group, each in list(self.lanes.items()):
            if each is lane:
                del self.lanes[group]
        was_main = self.main is lane
        if was_main:
            self.main = None
        if not why:
            return
        if lane.listens or (was_main and (self.tracking or self.monitoring)):
            self.lost(why)
        elif was_main and self.bound:
            self.spoilt = why

    def end(self) -> None:
        """The client is gone, or begins anew."""
        lanes, self.lanes = self.lanes, {}
        self.main = None
        self.key = b""
        self.multi = self.watching = self.tracking = self.monitoring = False
        self.spoilt = ""
        for names in self._subscriptions.values():
            names.clear()
        for lane in lanes.values():
            lane.end()

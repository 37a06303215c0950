"""The short way of commands to shards: nothing but which server has which key, as long as nothing is unusual.

What it sends is no call yet, as in `RedisForward.straight`.  A command of many keys goes out in one part for each
server, and its reply is put together when all are here.  As soon as anything about it is unusual (an error, a reply
that is late, large or none, a client that has gone) it is made a call and an errand that has been sent already, and
goes on as all others do.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Optional, Protocol, Sequence, cast

from twisted_mesh.codec.command_pieces import all_words, divided, merged, word_of
from twisted_mesh.codec.command_split import merge, split
from twisted_mesh.metrics import DURATIONS
from twisted_mesh.redis_call import RedisCall, RedisReply
from twisted_mesh.redis_pending import Pending, Tally
from twisted_mesh.upstream.redis_errand import Errand, Send
from twisted_mesh.upstream.redis_item import Item, part_of
from twisted_mesh.upstream.redis_pools import PROTOCOL

if TYPE_CHECKING:
    from twisted_mesh.codec.commands import Command
    from twisted_mesh.redis_call import Caller
    from twisted_mesh.upstream.endpoint import Endpoint
    from twisted_mesh.upstream.redis_group import Group
    from twisted_mesh.upstream.redis_topology import Sharded

# Pieces whose server is remembered, and how long they may be.
_KNOWN_PIECES = 65_536
_KNOWN_SIZE = 128
# What a byte can number.
_GROUPS_LIMIT = 255

CountTries = Callable[[int, Sequence[int], float], None]


class Whole(Protocol):
    """A command in parts: a `Pending` that becomes a call, and has no tally from then on, if it is asked for that."""

    tally: Optional[Tally]
    began: float
    body: bytes
    endpoint: Any

    @property
    def call(self) -> RedisCall: ...

    @property
    def wanted(self) -> bool: ...

    def is_of(self, caller: Caller) -> bool: ...

    def heard(self, body: bytes) -> None: ...


class Spread:
    """The shards of one cluster.

    :param send: sends a call to one server, for what goes on as an errand.
    """

    def __init__(self, topology: Sharded, send: Send) -> None:
        self._topology = topology
        self._send = send
        self._switch = topology.cluster.switch
        self._now: Callable[[], float] = topology.cluster.env.now
        # The number of the group of each key, as the piece that it is in a command, while `_table` is in force.
        self._known: dict[bytes, int] = {}
        self._groups: list[Group] = []
        self._table: Any = None

    def __repr__(self) -> str:
        return f"<Spread over {len(self._groups)} shards>"

    def straight(self, pending: Pending, key: bytes) -> bool:
        """Send one command with this key, as `RedisForward.straight` does.

        :returns: whether it was sent.
        """
        group = self._topology.group(key)
        if group is None or group.ready is None or self._switch.on:
            return False
        pool: Any = group.ready.pools.get(PROTOCOL)
        return pool is not None and pool.straight(pending)

    def tally(self, slow: float, timeout: float, count_tries: CountTries) -> PartTally:
        """Return what ordinary replies to parts add up to."""
        return PartTally(slow, timeout, count_tries)

    def parts(self, whole: Whole, command: Command, pieces: list[bytes], tally: PartTally) -> bool:
        """Send a command of many keys in parts.

        :param pieces: the command, as `command_pieces.pieces_of` gives it, without the count.
        :returns: whether it was sent; if not nothing was.
        """
        name = pieces[0]
        del pieces[0]
        step = command.specs[0].step
        if self._switch.on or not pieces or len(pieces) % step or (step > 1 and not all_words(pieces[1::step])):
            return False
        owners = self._owners(pieces if step == 1 else pieces[::step])
        if owners is None:
            return False
        servers: list[tuple[int, Any]] = []
        for number, group in enumerate(self._groups):
            if number in owners:
                endpoint = group.ready
                pool: Any = None if endpoint is None else endpoint.pools.get(PROTOCOL)
                if pool is None or not pool.open_for_all():
                    return False
                servers.append((number, pool))
        together = _Together(self, whole, command, owners, len(servers), tally)
        for number, pool in servers:
            part = _Part(together, number, divided(name, pieces, owners, number, step))
            together.parts[number] = part
            pool.straight(part)
            whole.endpoint = pool.endpoint
        return True

    def _owners(self, pieces: list[bytes]) -> Optional[bytes]:
        """Return the numbers of the groups of keys; None if not all are known, and cannot be."""
        if self._table is not self._topology.table:
            self._begin_anew()
        try:
            return bytes(list(map(self._known.__getitem__, pieces)))
        except KeyError:
            pass
        numbers = []
        for piece in pieces:
            number = self._known.get(piece)
            if number is None:
                number = self._learn(piece)
                if number is None:
                    return None
            numbers.append(number)
        return bytes(numbers)

    def _begin_anew(self) -> None:
        self._known = {}
        self._table = self._topology.table
        self._groups = list(self._topology.groups())

    def _learn(self, piece: bytes) -> Optional[int]:
        """Return the number of the group of a key that was not known, and remember it."""
        if len(piece) > _KNOWN_SIZE or len(self._groups) > _GROUPS_LIMIT:
            return None
        key = word_of(piece)
        group = None if key is None else self._topology.group(key)
        if group is None:
            return None
        if len(self._known) >= _KNOWN_PIECES:
            self._known.clear()
        number = self._known[piece] = self._groups.index(group)
        return number

    def errand(self, together: _Together) -> Errand:
        """Return what a command in parts goes on as."""
        call, command, owners = together.whole.call, together.command, together.owners
        words = call.words()
        found = {part.owner: part for part in split(command, words, lambda keys: owners)}
        parts = [found[number] for number in together.parts]
        items = [Item(part.data, part.key) for part in parts]
        # What is waited for is what waits already.
        call.waiter = together.whole  # type: ignore[assignment]  # it is a `Pending`
        finish = partial(merge, command, parts)
        return Errand(call, self._topology, self._send, items, write=command.write, finish=finish)


class _Together:
    """The parts of one command."""

    __slots__ = ("_errand", "_left", "_spread", "answers", "command", "owners", "parts", "tally", "whole")

    def __init__(
        self, spread: Spread, whole: Whole, command: Command, owners: bytes, count: int, tally: PartTally
    ) -> None:
        self._spread = spread
        self.tally = tally
        self.whole = whole
        self.command = command
        self.owners = owners
        self.parts: dict[int, _Part] = {}
        self.answers: dict[int, bytes] = {}
        self._left = count
        self._errand: Optional[Errand] = None

    def heard(self, part: _Part, body: bytes) -> None:
        """An ordinary reply to a part is here."""
        if self._errand is not None:
            part.fire(RedisReply(body))
            return
        self.answers[part.number] = body
        self._left -= 1
        if self._left:
            return
        whole = self.whole
        tally = whole.tally
        reply = None if tally is None else merged(self.command.name, self.owners, self.answers)
        seconds = self._spread._now() - whole.began
        if reply is None or tally is None or seconds >= tally.slow:
            self.go_on()
            return
        tally.count += 1
        tally.counts[bisect_left(DURATIONS, seconds)] += 1
        tally.seconds += seconds
        tally.received += len(whole.body)
        tally.sent += len(reply)
        self.tally.wholes.add(tally)
        whole.heard(reply)

    def go_on(self) -> None:
        """Go on as an errand, with the replies that are here."""
        if self._errand is not None:
            return
        errand = self._errand = self._spread.errand(self)
        for place, (number, part) in enumerate(self.parts.items()):
            errand.adopt(place, part, cast("Endpoint", part.endpoint), self.answers.get(number))
        errand.adopted()


class PartTally(Tally):
    """What ordinary replies to parts add up to; `wholes` are the tallies of commands that have come to their end."""

    __slots__ = ("_count_tries", "wholes")

    def __init__(self, slow: float, timeout: float, count_tries: CountTries) -> None:
        super().__init__(slow, timeout)
        self._count_tries = count_tries
        self.wholes: set[Tally] = set()

    def settle(self) -> None:
        """Count it in the metrics, and begin anew."""
        self._count_tries(self.count, self.counts, self.seconds)
        self.counts = [0] * len(self.counts)
        self.reset()
        while self.wholes:
            self.wholes.pop().settle()


class _Part(Pending):
    """What one server is sent of a command."""

    __slots__ = ("_call", "data", "number", "together")

    def __init__(self, together: _Together, number: int, data: bytes) -> None:
        # What Pending has, written out.
        self.done = self.sent = self.special = self.void = False
        self.resume = self.error = self.value = self.rescue = self.stream = None
        self._call: Optional[RedisCall] = None
        self.had = []
        self.left = 1
        self.body = data
        self.tally = together.tally
        self.data = data
        self.together = together
        self.number = number
        self.began = together.whole.began

    @property
    def call(self) -> RedisCall:  # type: ignore[override]  # a plain attribute of others
        """The call of this part, from now on one as all are."""
        call = self._call
        if call is None:
            self.tally = None
            call = self._call = part_of(self.together.whole.call, self.data, 1)
        return call

    def is_of(self, caller: Caller) -> bool:
        """Whether this client waits for it."""
        return self.together.whole.is_of(caller)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for it."""
        return self.together.whole.wanted

    def heard(self, body: bytes) -> None:
        """Take an ordinary reply, which is counted already."""
        self.together.heard(self, body)

    def fire(self, value: RedisReply) -> None:
        """There is a reply, which is no ordinary one."""
        self.together.go_on()
        super().fire(value)

    def fail(self, error: BaseException) -> None:
        """There is none."""
        self.together.go_on()
        super().fail(error)

"""Carrying the commands of one call to the servers that have their keys, and their replies back in order.

What a server says of the place of a key (MOVED, ASK) or of itself (READONLY, LOADING) never reaches the client as long
as it can be followed: the command is sent to where it belongs.
"""

from __future__ import annotations

from functools import partial
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Callable, Mapping, Optional, Sequence

from twisted_mesh.call import out_of_time
from twisted_mesh.codec.redis_facts import redirection
from twisted_mesh.codec.resp_kinds import ERROR
from twisted_mesh.codec.resp_reply import ReplyReader
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.redis_call import Overtook, RedisCall, RedisReply
from twisted_mesh.redis_pending import PartOfReplies, Pending
from twisted_mesh.redis_words import MOVED_AWAY
from twisted_mesh.stream import ByteStream
from twisted_mesh.upstream.redis_collect import Collect, Look, Room
from twisted_mesh.upstream.redis_greeting import OF_REPLICAS
from twisted_mesh.upstream.redis_item import Item, Repeats, in_order, part_of
from twisted_mesh.upstream.redis_outcome import Outcome

if TYPE_CHECKING:
    from twisted_mesh.upstream.endpoint import Endpoint
    from twisted_mesh.upstream.redis_group import Group
    from twisted_mesh.upstream.redis_topology import Topology

# How often commands that may be repeated are sent again where others of the call went well.
_RETRIES = 1
_ASKING = b"*1\r\n$6\r\nASKING\r\n"
# What says that the server has no business with the command at the moment: it was not carried out.
_LATER = (b"-TRYAGAIN", b"-CLUSTERDOWN", b"-READONLY")
# What a replica says that cannot answer reads now; its primary can.
_NOT_NOW = (b"-LOADING", b"-MASTERDOWN")

NOTHING: Mapping[int, bytes] = MappingProxyType({})

Send = Callable[[RedisCall, "Endpoint"], Pending]


class Errand(Outcome):
    """The commands of one call.

    :param finish: makes the body of the reply out of the replies to all items, in their order.
    :param write: whether they are for primaries.

    `pending` is what the call waits for.
    """

    __slots__ = (
        "_items",
        "_repeats",
        "_retries",
        "_room",
        "_send",
        "_topology",
        "_write",
    )

    def __init__(
        self,
        call: RedisCall,
        topology: Topology,
        send: Send,
        items: Sequence[Item],
        *,
        write: bool,
        finish: Callable[[Sequence[bytes]], bytes] = in_order,
    ) -> None:
        super().__init__(call, len(items), finish)
        self._topology = topology
        self._send = send
        self._items = items
        self._write = write
        self._retries = 0
        # Once something is to be sent again because of what a server said.
        self._repeats: Optional[Repeats] = None
        # For large replies, once there is one.
        self._room: Optional[Room] = None

    def __repr__(self) -> str:
        return f"<Errand of {len(self._items)} commands, {self._left} to come>"

    # --- out

    def begin(self) -> Pending:
        """Send everything; return what the call waits for."""
        self.send(range(len(self._items)))
        return self.pending

    def go_on(self, places: Sequence[int]) -> None:
        """More is known now: send these again."""
        ends, now, repeats = self._call.ends, self._topology.cluster.env.now(), self._repeats
        if ends is not None and now >= ends:
            for place in places:
                self._settle(place, out_of_time(self._call))
            self._end()
        elif repeats is not None and now >= repeats.ends:
            self.give_up(places, repeats.said)
        else:
            self.send([place for place in places if self._may_go_on(place)])

    def give_up(self, places: Sequence[int], said: Mapping[int, bytes] = NOTHING) -> None:
        """Nothing more will be known: these fail, if nothing else was `said` to them."""
        why = self._topology.trouble or "who has what changes all the time"
        error = MeshError(Kind.NO_ENDPOINT, f"cluster {self._topology.cluster.name}: {why}", origin=Origin.UPSTREAM)
        for place in places:
            self._settle(place, said.get(place, error))
        self._end()

    def send(self, places: Sequence[int]) -> None:
        """Send these commands to where they belong: those for one server together."""
        topology, items = self._topology, self._items
        if self._call.unsent:
            self._call.unsent = self._call.unsent - {key for place in places for key in items[place].all_keys()}
        groups: dict[Group, list[int]] = {}
        targets: dict[Endpoint, list[int]] = {}
        for place in places:
            item = items[place]
            key = item.key
            if item.endpoint is not None:
                targets.setdefault(item.endpoint, []).append(place)
                continue
            if key is None:
                group = topology.any_group()
            elif topology.barriers and topology.barred(self, place, key):
                self._call.unsent = self._call.unsent | items[place].all_keys()
                continue
            else:
                group = topology.group(key)
                if topology.shifting and topology.shifts(key):
                    self._lead()
            if group is None or (self._write and group.primary is None):
                self._later(place)
            elif group in groups:
                groups[group].append(place)
            else:
                groups[group] = [place]
        for group, mine in groups.items():
            # One server for all of a group's: what came together stays together.
            try:
                endpoint = group.choose(self._call, self._write)
            except MeshError as error:
                for place in mine:
                    self._settle(place, error)
                continue
            known = targets.get(endpoint)
            targets[endpoint] = mine if known is None else sorted([*known, *mine])
        for endpoint, mine in targets.items():
            self._send_to(endpoint, mine)
        self._end()

    def _send_to(self, endpoint: Endpoint, places: Sequence[int], asking: bool = False) -> None:
        whole = len(places) == self._call.count == len(self._items) and not asking and self._finish is in_order
        replica = self._topology.read_only and not self._topology.leads(endpoint)
        part = self._call if whole and not replica else self._part(places, asking)
        if replica:
            part.db = OF_REPLICAS
        self._call.endpoint = endpoint
        conduct = endpoint.conduct
        if conduct is not None and conduct.probe is self._call:
            conduct.probe = part
        try:
            pending = self._send(part, endpoint)
        except MeshError as error:
            self._failed(endpoint, places, error, b"", 0)
            return
        if pending.done:
            self._came(pending, endpoint, places, asking)
        else:
            pending.resume = partial(self._came, pending, endpoint, places, asking)

    def adopt(self, place: int, pending: Pending, endpoint: Endpoint, reply: Optional[bytes]) -> None:
        """Have one command of it sent already, in place of `begin`: by `pending`, which may have this reply.

        `adopted` is to be called behind the last.
        """
        if reply is None:
            pending.resume = partial(self._came, pending, endpoint, (place,), False)
        else:
            self._take([reply], endpoint, (place,))

    def adopted(self) -> None:
        """Everything was sent."""
        self._end()

    def _part(self, places: Sequence[int], asking: bool) -> RedisCall:
        pieces: list[bytes] = [self._items[place].data for place in places]  # type: ignore[misc]  # a stream is no part
        if asking:
            pieces = [piece for each in pieces for piece in (_ASKING, each)]
        return part_of(self._call, b"".join(pieces), len(pieces))

    # --- back

    def _came(self, pending: Pending, endpoint: Endpoint, places: Sequence[int], asking: bool) -> None:
        error, pending.error = pending.error, None
        if error is not None:
            if not isinstance(error, MeshError):
                self.pending.fail(error)
                return
            had, answered = (error.had, error.answered) if isinstance(error, PartOfReplies) else (b"", 0)
            if asking:
                # The replies to ASKING are no client's.
                had, answered = b"", 0
            self._failed(endpoint, places, error, had, answered)
        else:
            self._replied(pending, endpoint, places, asking)
        self._end()

    def _replied(self, pending: Pending, endpoint: Endpoint, places: Sequence[int], asking: bool) -> None:
        reply: RedisReply = pending.value
        body = reply.body
        if isinstance(body, ByteStream):
            if len(places) == len(self._items) and self._finish is in_order and not asking:
                if len(places) == 1 or not self._topology.moving:
                    self._pass_on(body)
                else:
                    # What comes behind a large reply may say that a key has moved.
                    whole = partial(self._collected, endpoint=endpoint, places=places, asking=asking)
                    Look(body, whole, partial(self._cut, places), self._pass_on)
            else:
                if self._room is None:
                    self._room = Room()
                Collect(
                    body,
                    self._room,
                    lambda whole: self._collected(whole, endpoint, places, asking),
                    lambda error: self._cut(places, error),
                )
            return
        if not reply.errors and len(places) == len(self._items) and self._finish is in_order and not asking:
            self._left = -1
            self.pending.fire(reply)
            return
        if len(places) == 1 and not asking:
            self._take([body], endpoint, places, not reply.errors, pending.began)
            return
        answers = reply.answers[1::2] if asking else reply.answers
        replies = [body[start:end] for _, start, end in answers]
        self._take(replies, endpoint, places, not reply.errors, pending.began)

    def _collected(self, body: bytes, endpoint: Endpoint, places: Sequence[int], asking: bool) -> None:
        """The whole replies to some commands are here."""
        answers = ReplyReader(limit=len(body) + 1).feed(body)
        self._take([body[start:end] for _, start, end in (answers[1::2] if asking else answers)], endpoint, places)
        self._end()

    def _take(
        self,
        replies: Sequence[bytes],
        endpoint: Endpoint,
        places: Sequence[int],
        well: bool = False,
        began: float = inf,
    ) -> None:
        """Take replies to what was sent when it `began`; `well`: none of them is an error."""
        if well or not self._topology.moving:
            answers = self._answers
            for place, reply in zip(places, replies):
                answers[place] = reply
            self._left -= len(replies)
            return
        elsewhere: dict[tuple[Endpoint, bool], list[int]] = {}
        for place, reply in zip(places, replies):
            if reply[0] == ERROR and not self._repeatable(place, began):
                self._settle(place, self._too_late(reply, endpoint))
            elif reply[0] != ERROR or not self._again(place, reply, endpoint, elsewhere):
                self._settle(place, reply)
        for (target, asking), mine in elsewhere.items():
            self._send_to(target, mine, asking)

    def _again(
        self, place: int, reply: bytes, endpoint: Endpoint, elsewhere: dict[tuple[Endpoint, bool], list[int]]
    ) -> bool:
        """See whether an error says that the command is to be sent again, and where."""
        item, topology = self._items[place], self._topology
        if item.endpoint is not None and item.key is None:
            return False
        told = redirection(reply)
        if told is not None:
            target = topology.moved(told, endpoint)
            if target is None:
                return False
            topology.followed("asked" if told.once else "moved")
            if told.once and item.key is not None:
                topology.shifted(item.key)
            if self._repeat().at_once(place):
                elsewhere.setdefault((target, told.once), []).append(place)
            else:
                # Servers do not agree about it.
                self._repeat().said[place] = MOVED_AWAY
                self._later(place)
            return True
        if reply.startswith(_LATER):
            topology.followed("later")
            self._repeat().said[place] = reply
            if item.key is not None:
                topology.shifted(item.key)
            self._later(place)
            return True
        if reply.startswith(_NOT_NOW) and not self._write:
            group = topology.any_group() if item.key is None else topology.group(item.key)
            primary = None if group is None else group.primary
            if primary is not None and primary is not endpoint and self._repeat().at_once(place):
                topology.followed("to_primary")
                topology.doubt(endpoint)
                elsewhere.setdefault((primary, False), []).append(place)
                return True
        return False

    def _repeatable(self, place: int, began: float) -> bool:
        """Whether a command is still there to be sent again, and nothing went past it as its server did not answer."""
        item, topology = self._items[place], self._topology
        if type(item.data) is not bytes:
            return False
        return item.key is None or not topology.passed or began >= topology.passed.get(topology.lane(item.key), -inf)

    def _too_late(self, reply: bytes, endpoint: Endpoint) -> bytes:
        """Return what is said to a client whose key moved and whose command cannot follow: it has to send it again."""
        told = redirection(reply)
        if told is None or self._topology.moved(told, endpoint) is None:
            return reply
        self._topology.followed("too_late")
        return MOVED_AWAY

    def _repeat(self) -> Repeats:
        if self._repeats is None:
            self._repeats = Repeats(self._topology.cluster.env.now())
        return self._repeats

    def _later(self, place: int) -> None:
        """Wait until more is known; what its client sends now waits for that, too."""
        self._repeat()
        self._call.unsent = self._call.unsent | self._items[place].all_keys()
        self._hold()
        self._topology.later(self, place)

    def _lead(self) -> None:
        """Send something to where keys are on their way: if it may be refused, nothing of its client goes past it."""
        specs = self._call.command.specs
        if len(specs) != 1 or specs[0].last or specs[0].counted is not None:
            self._hold()

    def _hold(self) -> None:
        if self._call.caller is not None:
            self._call.caller.waits_for(self._call)

    def _may_go_on(self, place: int) -> bool:
        """Whether a command that has waited is to be sent again; if not it waits on, or has its answer.

        It came too late if something that its client sent behind it is done, as a server refuses one command while a
        slot moves, and not the next.
        """
        repeats, caller = self._repeats, self._call.caller
        assert repeats is not None, "something is to be sent again"
        repeats.waited(place)
        said = repeats.said.get(place)
        if said is None or caller is None:
            return True
        overtook = caller.overtook(self._call, self._items[place].all_keys())
        if overtook is Overtook.DONE:
            self._topology.followed("overtaken")
            self._settle(place, said)
        elif overtook is Overtook.PERHAPS:
            self._later(place)
        return overtook is Overtook.NO

    def _failed(self, endpoint: Endpoint, places: Sequence[int], error: MeshError, had: bytes, answered: int) -> None:
        """A server did not answer all of its commands."""
        if error.kind is not Kind.DEADLINE:
            self._topology.doubt(endpoint)
        if answered:
            answers = ReplyReader(limit=len(had) + 1).feed(had)
            self._take([had[start:end] for _, start, end in answers], endpoint, places[:answered])
        rest = places[answered:]
        if (
            error.retryable
            and self._retries < _RETRIES
            and len(self._items) > 1
            # Not where each of these is for one server and no other.
            and any(self._items[place].endpoint is None for place in rest)
            and self._overtaken_by_none()
        ):
            self._retries += 1
            self.send(rest)
            return
        for place in rest:
            self._settle(place, error)

    def _overtaken_by_none(self) -> bool:
        """Whether the client has sent nothing behind it that it must not follow."""
        caller = self._call.caller
        return caller is None or caller.repeats(self._call)

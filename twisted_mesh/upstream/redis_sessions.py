"""Commands of clients that are bound to connections of their own: which of these each goes over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Hashable, Optional, Sequence

from twisted_mesh.codec.gather import gather
from twisted_mesh.codec.resp import error, pack
from twisted_mesh.errors import MeshError, Origin
from twisted_mesh.redis_call import RedisCall, RedisReply
from twisted_mesh.redis_pending import Pending, answered
from twisted_mesh.redis_session import ABORTED, APART, CLOSING, SORTS, WRONG_EXEC, Session
from twisted_mesh.redis_words import CROSSED, CROSSSLOT
from twisted_mesh.upstream.redis_greeting import NO_DATABASE
from twisted_mesh.upstream.redis_lane import RedisLane
from twisted_mesh.upstream.redis_lanes import LanePool
from twisted_mesh.upstream.redis_scripts import EVALS, Scripts

if TYPE_CHECKING:
    from twisted_mesh.upstream.cluster import Cluster
    from twisted_mesh.upstream.endpoint import Endpoint
    from twisted_mesh.upstream.redis_topology import Topology

_DISCARD = pack([b"DISCARD"])
# What asks whether replicas have something, and what goes to them without changing anything.
REPLICATION = ("WAIT", "WAITAOF")
_MARK = pack([b"PUBLISH", b"mesh:wait", b""])
_NO_KEY = "'{}' command is not supported before the first command with a key: its server is not known yet"
_SPREAD = "'{}' command is not supported where keys are on several servers"


class Sessions:
    """Sends the commands of sessions.

    :param pool: gives the connections of an endpoint that can be lent to calls of a priority.
    :param scripts: those that clients have sent, where servers do not have the same.
    """

    def __init__(
        self,
        cluster: Cluster,
        topology: Optional[Topology],
        pool: Callable[[Endpoint, int], LanePool],
        scripts: Optional[Scripts] = None,
    ) -> None:
        self._scripts = scripts
        self._cluster = cluster
        self._topology = topology
        self._pool = pool

    def __repr__(self) -> str:
        return f"<Sessions of {self._cluster!r}>"

    def __call__(self, call: RedisCall) -> Pending:
        """Send one command of ``call.session``.

        :raises MeshError: what went wrong at once.
        """
        name, session = call.operation, call.session
        if name in SORTS:
            return self._subscription(call, session)
        if name in APART:
            return self._apart(call, session)
        if name == "MONITOR":
            return self._monitor(call, session)
        if session.bound or name in ("WATCH", "UNWATCH", "CLIENT|TRACKING"):
            return self._bound(call, session)
        if name in REPLICATION:
            return self._replicated(call, session)
        return self._waiting(call, session)

    @property
    def _spread(self) -> bool:
        return self._topology is not None and self._topology.spread

    # --- connections

    def _group(self, call: RedisCall, keys: Sequence[bytes]) -> Hashable:
        """Return the group of servers that has these keys, or any if there are none."""
        topology = self._topology
        if topology is None:
            return None
        group = topology.group(keys[0]) if keys else topology.any_group()
        if group is None:
            raise topology.unknown()
        return group

    def _groups(self) -> Sequence[Hashable]:
        """Return every group of servers; None stands for the only one where there is no topology."""
        topology = self._topology
        if topology is None:
            return [None]
        groups = topology.groups()
        if not groups:
            raise topology.unknown()
        return groups

    def _lane(
        self, call: RedisCall, session: Session, group: Hashable, name: Hashable = None, db: Optional[int] = None
    ) -> RedisLane:
        """Return the session's connection to a group, a new one if it has none.

        :param name: what the session knows it by, if not by the group.
        :param db: another database than the call's.
        """
        known = session.lanes.get(group if name is None else name)
        if isinstance(known, RedisLane) and not known.lost:
            return known
        endpoint = self._cluster.pick(call) if group is None else group.choose(call, True)  # type: ignore[attr-defined]
        call.endpoint = endpoint
        known_by, db = group if name is None else name, call.db if db is None else db
        lane = self._pool(endpoint, call.priority).lend(session, known_by, db, call.resp)
        lane.group = group
        return lane

    def _pending(self, call: RedisCall, lane: RedisLane) -> Pending:
        pending = Pending(call)
        call.endpoint = lane.pool.endpoint
        lane.pool.began(pending)
        return pending

    def _send(self, call: RedisCall, lane: RedisLane, data: Optional[bytes] = None) -> Pending:
        pending = self._pending(call, lane)
        assert isinstance(call.body, bytes), "values are kept whole in a session"
        lane.send(pending, call.body if data is None else data)
        self._connect(lane)
        return pending

    def _connect(self, lane: RedisLane) -> None:
        """Connect a new one, once what it is for is on it: a refusal at once is that command's."""
        if lane.fresh:
            lane.fresh = False
            lane.connect()

    # --- transactions, watching, tracking

    def _bound(self, call: RedisCall, session: Session) -> Pending:
        name = call.operation
        if name in ("EXEC", "DISCARD", "UNWATCH"):
            return self._end(call, session, name)
        if self._spread and name.startswith("CLIENT|"):
            session.tracking = False
            return answered(call, error("ERR", _SPREAD.format(name.lower().replace("|", " "))))
        words = call.words()
        keys = [words[place] for place in call.command.keys(words)]
        refused = self._misplaced(call, session, keys)
        if refused is not None:
            session.refused(name)
            return answered(call, refused)
        lane = session.main
        if lane is None or lane.lost:
            lane = session.main = self._lane(call, session, self._group(call, keys))
        if session.multi:
            lane.begin()
        elif "blocking" in call.command.flags and call.command.binds(words):
            lane.identify()
        if name == "WATCH":
            lane.watching = True
        data = None
        if self._scripts is not None and name in EVALS:
            data = self._scripts.fitted(name, words, [lane.pool.endpoint.address], noted=not session.multi)
        pending = self._send(call, lane, data)
        if name == "CLIENT|TRACKING":
            lane.tracks_after(pending)
        return pending

    def _misplaced(self, call: RedisCall, session: Session, keys: Sequence[bytes]) -> Optional[bytes]:
        """Return why a command cannot go where the others of its session went."""
        main = session.main
        if keys and main is not None and not main.lost and main.pool.cluster != self._cluster.name:
            return CROSSED
        topology = self._topology
        if topology is None or not topology.spread:
            return None
        name = call.operation.lower().replace("|", " ")
        if not keys:
            known = session.main is not None and call.command.kind.value not in ("gather",)
            return None if known else error("ERR", _NO_KEY.format(name))
        if len({topology.shard(each) for each in keys}) > 1:
            return CROSSSLOT
        if session.main is not None and not session.main.lost:
            group = topology.group(keys[0])
            primary = None if group is None or group is session.main.group else group.primary
            # After a reload the groups are others, of the same servers; who is not known now, the server knows.
            if primary is not None and primary.address != session.main.pool.endpoint.address:
                return CROSSSLOT
        return None

    def _end(self, call: RedisCall, session: Session, name: str) -> Pending:
        """End a transaction, or the watching for one."""
        lane = session.main
        aborted = ABORTED if call.command.fits(call.commands[0][2]) else WRONG_EXEC
        if name == "UNWATCH" and session.multi:
            if lane is None:
                return answered(call, error("ERR", _NO_KEY.format("unwatch")))
            lane.begin()
            return self._send(call, lane)
        spoilt = session.end_transaction()
        if lane is None or lane.lost:
            if spoilt and name == "EXEC":
                return answered(call, aborted)
            return answered(call, b"*0\r\n" if name == "EXEC" else b"+OK\r\n")
        lane.watching = False
        if spoilt and name == "EXEC":
            if lane.multi:
                lane.multi = False
                lane.send(None, _DISCARD)
            else:
                lane.send(None, pack([b"UNWATCH"]))
            return answered(call, aborted)
        if name == "EXEC":
            # Also with nothing in it: what was watched may have changed.
            lane.begin()
        elif name == "DISCARD" and not lane.multi:
            lane.multi = False
            return self._send(call, lane, pack([b"UNWATCH"]))
        lane.multi = False
        return self._send(call, lane)

    # --- waiting

    def _waiting(self, call: RedisCall, session: Session) -> Pending:
        """A command that may wait: for as long as it does it has a connection."""
        words = call.words()
        keys = [words[place] for place in call.command.keys(words)]
        topology = self._topology
        if topology is not None and topology.spread and len({topology.shard(each) for each in keys}) > 1:
            return answered(call, CROSSSLOT)
        # How long it waits is its own business.
        call.timeout = None
        lane = self._lane(call, session, self._group(call, keys), call)
        lane.identify()
        return self._send(call, lane)

    def _replicated(self, call: RedisCall, session: Session) -> Pending:
        """WAIT: until replicas have what the client wrote, which others' connections carried.

        A server counts from the last command of the connection that went to its replicas.  So something goes there
        first, when all that the client sent before has been answered.
        """
        groups = self._groups()
        call.timeout = None
        words = call.words()
        whole = _Together(call, len(groups), lambda replies: gather(call.command, words, replies, float))
        for group in groups:
            lane = self._lane(call, session, group, (call, group))
            lane.identify()
            lane.send(None, _MARK)
            whole.add(self._send(call, lane))
        return whole.pending

    def _apart(self, call: RedisCall, session: Session) -> Pending:
        """What every server is asked while it may be busy."""
        groups = self._groups()
        words = call.words()
        whole = _Together(call, len(groups), lambda replies: gather(call.command, words, replies, float))
        for group in groups:
            whole.add(self._send(call, self._lane(call, session, group, (call, group), NO_DATABASE)))
        return whole.pending

    def _monitor(self, call: RedisCall, session: Session) -> Pending:
        if self._spread:
            return answered(call, error("ERR", _SPREAD.format("monitor")))
        lane = session.main = self._lane(call, session, self._group(call, ()))
        lane.sticky = True
        pending = self._send(call, lane)
        session.monitoring = True
        lane.monitors_after(pending)
        return pending

    # --- subscriptions

    def _subscription(self, call: RedisCall, session: Session) -> Pending:
        words = call.words()
        name = call.operation
        names: list[Optional[bytes]] = [*words[1:]]
        if name in CLOSING and not names:
            names = list(session.names(SORTS[name])) or [None]
        call.timeout = None
        parts = self._placed(call, session, name, names)
        whole = _Together(call, len(parts))
        first = True
        for group, part in parts.items():
            lane = self._lane(call, session, group)
            pending = self._pending(call, lane)
            whole.add(pending)
            data = pack([words[0], *(each for each in part if each is not None)])
            # Patterns are opened everywhere, and confirmed by the first server only.
            lane.subscribe(pending, name, data, len(part), quiet=not first and SORTS[name] == "pattern")
            self._connect(lane)
            first = False
        return whole.pending

    def _placed(
        self, call: RedisCall, session: Session, name: str, names: Sequence[Optional[bytes]]
    ) -> dict[Hashable, list[Optional[bytes]]]:
        """Return which names are sent to which group."""
        topology, sort = self._topology, SORTS[name]
        if topology is None or not topology.spread or (topology.moving and sort != "shard") or names == [None]:
            # In a Redis Cluster any server has all channels; it stays the same one.
            known = next(iter(session.lanes), None) if session.lanes else None
            if known is not None and sort != "shard":
                return {known: list(names)}
            if topology is None or not topology.spread or sort != "shard":
                return {self._group(call, ()): list(names)}
        if sort == "pattern":
            return {group: list(names) for group in topology.groups()}
        parts: dict[Hashable, list[Optional[bytes]]] = {}
        for each in names:
            parts.setdefault(self._group(call, [each or b""]), []).append(each)
        return parts


class _Together:
    """One pending for the client, and one for each server that takes part.

    :param merge: makes one reply of all; the first that is not empty if not given.
    """

    def __init__(self, call: RedisCall, parts: int, merge: Optional[Callable[[Sequence[bytes]], bytes]] = None) -> None:
        self.pending = Pending(call)
        self._left = parts
        self._error: Optional[MeshError] = None
        self._texts: list[bytes] = []
        self._merge = merge

    def add(self, part: Pending) -> None:
        part.resume = lambda: self._done(part)

    def _done(self, part: Pending) -> None:
        self._left -= 1
        failed, part.error = part.error, None
        if isinstance(failed, MeshError):
            self._error = self._error or MeshError(failed.kind, failed.detail, origin=Origin.UPSTREAM)
        elif isinstance(part.value.body, bytes):
            self._texts.append(part.value.body)
        if self._left:
            return
        if self._error is not None:
            self.pending.fail(self._error)
            return
        text = next(filter(None, self._texts), b"") if self._merge is None else self._merge(self._texts)
        self.pending.fire(RedisReply(text, errors=int(text.startswith(b"-"))))

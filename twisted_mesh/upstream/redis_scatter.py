"""What becomes of one Redis call where keys are on several servers: one errand, several, or none at all."""

from __future__ import annotations

from functools import partial
from typing import Callable, Optional, Sequence

from twisted_mesh.call import Call
from twisted_mesh.codec.command_kinds import Kind as Where
from twisted_mesh.codec.command_split import merge, split
from twisted_mesh.codec.gather import gather
from twisted_mesh.codec.resp import error, pack
from twisted_mesh.codec.scan_cursor import NOTHING, SERVERS_LIMIT, coded, step
from twisted_mesh.redis_call import RedisCall
from twisted_mesh.redis_pending import Pending, answered
from twisted_mesh.redis_words import CROSSSLOT
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.redis_errand import Errand, Send
from twisted_mesh.upstream.redis_group import Group
from twisted_mesh.upstream.redis_item import Item
from twisted_mesh.upstream.redis_scripts import EVALS, Scripts
from twisted_mesh.upstream.redis_topology import Topology

# Scripts live in each server by itself; replicas get them from nobody.
_EVERYWHERE = frozenset(["SCRIPT|LOAD", "SCRIPT|FLUSH", "SCRIPT|EXISTS"])


class Scatter:
    """Sends calls to where their keys are.

    :param send: sends a call to one server.
    :param draw: the dice.
    """

    def __init__(self, topology: Topology, send: Send, draw: Callable[[], float]) -> None:
        self._topology = topology
        self._send = send
        self._draw = draw
        self._now: Callable[[], float] = topology.cluster.env.now
        # Seconds for which a client's reads follow its writes to the primary.
        self._pinned: float = topology.config.read_your_writes
        self._replicated = topology.config.topology != "sharded"
        self.scripts = Scripts()

    def __call__(self, call: RedisCall) -> Pending:
        """Begin a call.

        :raises MeshError: what went wrong at once.
        """
        command = call.command
        kind = command.kind
        if kind is Where.KEYED:
            return self._keyed(call)
        if kind is Where.SPLIT:
            return self._split(call)
        if kind is Where.GATHER:
            return self._scan(call) if command.name == "SCAN" else self._gather(call)
        if command.name == "PUBLISH" and self._topology.spread:
            # Channels live where keys of their names would, or subscribers would have to listen everywhere.  A Redis
            # Cluster passes messages on itself, but only those of one node stay in their order.
            return self._errand(call, [Item(self._whole(call), call.words()[1])])
        return self._errand(call, [Item(self._whole(call))])

    # --- by keys

    def _keyed(self, call: RedisCall) -> Pending:
        if call.count == 1:
            return self._one(call)
        topology = self._topology
        if not topology.moving:
            found = {topology.group(each[1] or b"") for each in call.commands}
            if len(found) == 1:
                return self._straight(call, found.pop())
        data = call.data
        return self._errand(call, [Item(data[start:end], key) for _, key, _, start, end in call.commands])

    def _one(self, call: RedisCall) -> Pending:
        command, body = call.command, call.body
        if command.one_key or not isinstance(body, bytes):
            if not self._topology.moving:
                return self._straight(call, self._topology.group(call.key))
            return self._errand(call, [Item(body, call.key)])
        words = call.words()
        places = command.keys(words)
        keys = [words[place] for place in places]
        if len(keys) > 1 and not self._together(keys):
            return answered(call, CROSSSLOT)
        key = keys[0] if keys else None
        if command.name in EVALS:
            fitted = self.scripts.fitted(command.name, words, self._servers(call, key), noted=True)
            if fitted is not None:
                call.body = body = fitted
            elif command.name.startswith("EVALSHA"):
                pending = self._errand(call, [Item(body, key)])
                call.on_complete(partial(self.scripts.ran, words[1], pending))
                return pending
        return self._errand(call, [Item(body, key)])

    def _servers(self, call: RedisCall, key: Optional[bytes]) -> list[str]:
        """Return the addresses of those that a call with this key may go to; none where that is not known."""
        topology = self._topology
        groups = topology.groups() if key is None else [topology.group(key)]
        found = [None if group is None else group.primary for group in groups]
        if call.command.read_only and topology.config.read != "primary":
            found += [each for group in groups if group is not None for each in group.replicas]
        return [] if None in found else [each.address for each in found if each is not None]

    def _together(self, keys: Sequence[bytes]) -> bool:
        topology = self._topology
        return not topology.spread or len({topology.shard(key) for key in keys}) == 1

    def _straight(self, call: RedisCall, group: Optional[Group]) -> Pending:
        """Send the call as it is: where nothing moves."""
        if group is None:
            raise self._topology.unknown()
        call.endpoint = endpoint = group.choose(call, self._for_primary(call))
        return self._send(call, endpoint)

    def _split(self, call: RedisCall) -> Pending:
        words = call.words()
        topology = self._topology
        owners = topology.shards if topology.spread else _all_alike
        try:
            parts = split(call.command, words, owners)
        except ValueError as wrong:
            return answered(call, error("ERR", str(wrong)))
        if len(parts) == 1:
            return self._errand(call, [Item(self._whole(call), words[1])])
        items = [Item(part.data, part.key) for part in parts]
        return self._errand(call, items, partial(merge, call.command, parts))

    # --- from everybody

    def _gather(self, call: RedisCall) -> Pending:
        command = call.command
        groups = self._topology.groups()
        targets: list[Optional[Endpoint]] = [each.primary for each in groups]
        if command.name in _EVERYWHERE and self._topology.config.read != "primary":
            targets += [replica for each in groups for replica in each.replicas]
        if not groups or None in targets:
            raise self._topology.unknown()
        data = self._whole(call)
        items = [Item(data, None, each) for each in targets]
        words = call.words()
        if command.name == "SCRIPT|LOAD":
            self.scripts.loaded(words[2], [each.address for each in targets if each is not None])
        elif command.name == "SCRIPT|FLUSH":
            self.scripts.forget()
        if len(items) == 1 and command.name != "INFO":
            return self._errand(call, items)
        everywhere = self._topology.spread and not self._topology.moving
        return self._errand(call, items, lambda replies: gather(command, words, replies, self._draw, everywhere))

    def _scan(self, call: RedisCall) -> Pending:
        words, groups = call.words(), self._topology.groups()
        if len(groups) > SERVERS_LIMIT:
            return answered(call, error("ERR", f"SCAN goes over at most {SERVERS_LIMIT} servers"))
        if not groups:
            raise self._topology.unknown()
        if not self._topology.spread:
            return self._errand(call, [Item(self._whole(call), None, self._primary(groups[0]))])
        marked = self._topology.marked()
        marks = sorted(marked)
        try:
            found = step(words[1], marks)
        except ValueError as wrong:
            return answered(call, error("ERR", str(wrong)))
        if found is None:
            return answered(call, NOTHING)
        mark, cursor = found
        item = Item(pack([words[0], cursor, *words[2:]]), None, self._primary(marked[mark]))
        return self._errand(call, [item], lambda replies: _scanned(replies[0], mark, marks))

    def _primary(self, group: Group) -> Endpoint:
        primary = group.primary
        if primary is None:
            raise self._topology.unknown()
        return primary

    # --- all of them

    def _errand(
        self, call: RedisCall, items: Sequence[Item], finish: Optional[Callable[[Sequence[bytes]], bytes]] = None
    ) -> Pending:
        # A value that is on its way is no part of anything, as what replicas read is.
        write = self._for_primary(call) or not isinstance(call.body, bytes)
        if finish is None:
            return Errand(call, self._topology, self._send, items, write=write).begin()
        return Errand(call, self._topology, self._send, items, write=write, finish=finish).begin()

    def _for_primary(self, call: RedisCall) -> bool:
        """Whether only a primary can take it: it writes, or its client has written a moment ago and is to see that."""
        if call.write or not call.command.read_only:
            self.writes(call)
            return True
        pinned, caller = self._pinned, call.caller
        return bool(pinned) and caller is not None and self._now() - caller.wrote_at < pinned

    def writes(self, call: RedisCall) -> None:
        """Note that a client writes.

        Both now and when it has its reply, as a command may wait for long (BLPOP); also where nothing goes by it yet:
        after a change of the configuration it may, and the client is to see then what it wrote before.
        """
        if self._replicated and call.caller is not None:
            call.caller.wrote_at = self._now()
            if self._pinned:
                call.on_complete(self._written)

    def _written(self, call: Call) -> None:
        call.caller.wrote_at = self._now()  # type: ignore[attr-defined]  # it is one of Redis that has a caller

    def _whole(self, call: RedisCall) -> bytes:
        body = call.body
        assert isinstance(body, bytes), "only values of single keys come as they are sent"
        return body


def _all_alike(keys: Sequence[bytes]) -> Sequence[int]:
    return [0] * len(keys)


def _scanned(reply: bytes, mark: int, marks: Sequence[int]) -> bytes:
    try:
        return coded(reply, mark, marks)
    except ValueError as wrong:
        return error("ERR", str(wrong))

"""Commands become calls, which begin in their order."""

from __future__ import annotations

from typing import Collection, Optional, Sequence

from twisted_mesh.adapters.redis_answering import Answering
from twisted_mesh.adapters.redis_binding import Mute
from twisted_mesh.adapters.redis_exchange import Exchange, Silent
from twisted_mesh.adapters.redis_rows import WRITE, Row
from twisted_mesh.codec.command_kinds import Kind
from twisted_mesh.codec.resp_request_scan import Found
from twisted_mesh.redis_call import VERSIONS, Overtook, RedisCall
from twisted_mesh.redis_session import Session
from twisted_mesh.stream import ByteStream


class Calling(Answering):
    """The side of a client's connection that makes calls."""

    __slots__ = ()

    def _call(self, rows: list[Row], found: Sequence[Found], data: bytes) -> None:
        """Begin a call of these commands."""
        start, end = found[0][3], found[-1][4]
        size = end - start
        row = rows[0]
        call = RedisCall(self.adapter.name, row.command, found, data, data if size == len(data) else data[start:end])
        key = found[0][1]
        if key is not None:
            call.key = key
        if row.code == WRITE:
            call.write = True
        count = len(rows)
        call.bytes_in = size
        call.received = self.active_at
        if count == 1:
            self._begin(call, row, None)
        else:
            call.count = count
            self._begin(call, row, None if rows.count(row) == count else rows)

    def _begin(
        self, call: RedisCall, row: Row, rows: Optional[Sequence[Row]], upload: Optional[ByteStream] = None
    ) -> Exchange:
        call.caller = self
        call.started = self.active_at
        if self.identity is not None:
            call.identity = self.identity
        if self.db:
            call.db = self.db
        if self.resp != 2:
            call.resp = self.resp
            call.version = VERSIONS[self.resp]
        exchange = Exchange(self, call, row, rows, upload) if self.mute is Mute.NO else self._silent(call, row)
        self.last = row.command.name
        self._in_flight += call.count
        self.queue.append(exchange)
        if self._repeating or self._unbegun:
            self._unbegun.append(exchange)
        elif upload is not None:
            self._unbegun.append(exchange)
            self._begin_rest()
        else:
            exchange.begin()
        return exchange

    def _silent(self, call: RedisCall, row: Row) -> Exchange:
        if self.mute is Mute.NEXT:
            self.mute = Mute.NO
        return Silent(self, call, row, None)

    def _alone(self, row: Row, found: Found, data: bytes, session: Optional[Session] = None) -> None:
        start, end = found[3:]
        call = RedisCall(self.adapter.name, row.command, (found,), data, data[start:end])
        call.write = row.command.write
        call.bytes_in = end - start
        call.received = self.active_at
        if row.command.kind is Kind.SPLIT:
            # All that is behind the name.
            call.key = found[1] or b""
        else:
            words = call.words()
            places = row.command.keys(words)
            if places:
                call.key = words[places[0]]
        if session is not None:
            call.session = session
            # It is not sent twice.
            call.write = True
        self._begin(call, row, None)

    def repeats(self, call: RedisCall) -> bool:
        """Whether a call may be sent again: reads not behind later writes, writes not behind anything."""
        for each in reversed(self.queue):
            if not isinstance(each, Exchange) or each in self._unbegun:
                continue
            if each.call is call:
                self.holds(each)
                return True
            if call.write or each.call.write:
                return False
        return True

    def waits_for(self, call: RedisCall) -> None:
        """Have what comes behind a call wait until that is answered."""
        for each in reversed(self.queue):
            if isinstance(each, Exchange) and each not in self._unbegun and each.call is call:
                self.holds(each)
                return

    def overtook(self, call: RedisCall, keys: Collection[bytes]) -> Overtook:
        """Whether something behind a call comes before it that must not come before a command of it with these keys."""
        found = Overtook.NO
        for each in reversed(self.queue):
            if not isinstance(each, Exchange):
                continue
            other = each.call
            if other is call:
                return found
            if not (call.write or other.write) or not other.attempts or found is Overtook.DONE:
                continue
            if each.answer is None:
                if found is Overtook.NO and _touches(other, {*keys} - other.unsent):
                    found = Overtook.PERHAPS
            elif (each.count > 1 or not each.answer.startswith(b"-")) and _touches(other, keys):
                found = Overtook.DONE
        return Overtook.NO


def _touches(call: RedisCall, keys: Collection[bytes]) -> bool:
    """Whether any command of a call has one of these keys, or writes without saying where."""
    for at in range(call.count):
        words, row = call.words(at), call.row(at)
        places = row.keys(words)
        if any(words[place] in keys for place in places) or (row.write and not places):
            return True
    return False

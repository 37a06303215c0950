"""What comes from a Redis client: neighbours that are alike are one call, and some commands none at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Sequence

from twisted_mesh.adapters.redis_answering import ITS_ANSWERS, ITS_TURN
from twisted_mesh.adapters.redis_binding import Binding, Turn
from twisted_mesh.adapters.redis_local import answer_locally
from twisted_mesh.adapters.redis_refusals import (
    refused,
    too_large,
    unknown_command,
    unknown_subcommand,
    wrong_arity,
)
from twisted_mesh.adapters.redis_rows import BATCHED, LOCAL, REFUSED, WRITE, Row
from twisted_mesh.adapters.redis_runs import runs_of
from twisted_mesh.adapters.redis_uploading import Uploading
from twisted_mesh.codec.resp import RespError, arguments, error
from twisted_mesh.codec.resp_request_scan import Found
from twisted_mesh.redis_call import RedisCall

if TYPE_CHECKING:
    pass

# Commands, and bytes of them, that travel as one call.
BATCH_COUNT = 64
BATCH_BYTES = 64 * 1024
# What stands at the beginning of lines of HTTP.  A server closes the connection, before it looks at anything else.
OF_HTTP = (b"post", b"host:")


class Commands(Uploading):
    """The side of a client's connection that decides what becomes of each command.

    It is part of a call or one by itself, belongs to the client's session, or is answered here.  What there is no room
    for yet waits, in order.
    """

    __slots__ = ()

    def _wrong(self, error: RespError) -> None:
        """What came is no command: say so as a server does, and close behind the answers before it."""
        self.adapter.wrong(self, error.text)
        self.answer(error.reply)
        self.close()

    def _take(self, found: Sequence[Found], data: bytes) -> None:
        """Make calls of commands: one of neighbours that are alike, and have the same route."""
        if self.binding is not None:
            self._one_by_one(found, data)
            return
        adapter = self.adapter
        self.active_at = adapter.now()
        if len(found) == 1 and self._one(found, data):
            return
        if len(found) > 1 and (self._crowded(found, data) or self._alike(found, data)):
            return
        known, most, apart = adapter.rows.known, BATCH_COUNT, adapter.apart
        runs = () if apart is None or len(found) == 1 else runs_of(found, adapter.rows, apart)
        first, code, size = 0, -1, 0
        rows: list[Row] = []
        for at, (name, argument, words, start, end) in enumerate(found):
            row = known.get(name) or adapter.rows.find(name)
            if row is not None:
                if row.container and argument is not None:
                    row = adapter.rows.inner(row, argument)
                row.calls.value += 1
                if self.guard is not None and self._refused(row, found[at], data, rows, found[first:at]):
                    rows, code = [], -1
                    continue
                if row.code in BATCHED and (words == row.arity or words >= -row.arity > 0):
                    if row.code != code or len(rows) >= most or size + end - start > BATCH_BYTES:
                        if rows:
                            self._call(rows, found[first:at], data)
                            rows = []
                        first, code, size = at, row.code, 0
                        most = min(BATCH_COUNT, runs[at]) if runs else BATCH_COUNT
                    rows.append(row)
                    size += end - start
                    continue
            if rows:
                self._call(rows, found[first:at], data)
                rows, code = [], -1
            if row is not None and self._otherwise(row, found, at, data):
                return
            self._single(row, found[at], data)
            if self._closing or self._stops_at(row, found, at, data):
                return
        if rows:
            self._call(rows, found[first:] if first else found, data)

    def _otherwise(self, row: Row, found: Sequence[Found], at: int, data: bytes) -> bool:
        """Take the rest from `at` on, if it cannot go on as it did; returns whether that is so."""
        if row.may_bind:
            self._one_by_one(found[at:], data, counted=True)
        elif row.code == LOCAL and self.queue and self._changes(row.command.name, found[at]):
            # It will be seen again.
            row.calls.value -= 1
            self._defer(found[at:], data)
        else:
            return False
        return True

    def _changes(self, name: str, found: Found) -> bool:
        """Whether what comes behind a command goes over another connection than what was sent before it.

        It waits for the answers to that, which would be overtaken.
        """
        if name == "SELECT":
            return found[1] != b"%d" % self.db
        if name == "HELLO":
            return found[2] > 1 and found[1] != b"%d" % self.resp
        return name == "RESET" and (self.db != 0 or self.resp != 2)

    def _crowded(self, found: Sequence[Found], data: bytes) -> bool:
        """Take as many as there is room for, if there is none for all; the others wait."""
        room = max(self.adapter.pipelined - self._in_flight, 1)
        if len(found) <= room:
            return False
        self._take(found[:room], data)
        if not self._closing:
            self._defer(found[room:], data)
        return True

    def _alike(self, found: Sequence[Found], data: bytes) -> bool:
        """Take commands of one name, as pipelines mostly are: what `_take` makes of them, in a quarter of the time."""
        name, _, words, start, _ = found[0]
        row = self.adapter.rows.known.get(name)
        if row is None or row.code > WRITE or row.container or self.guard is not None or len(found) > BATCH_COUNT:
            return False
        if (words != row.arity and not words >= -row.arity > 0) or found[-1][4] - start > BATCH_BYTES:
            return False
        for each in found:
            if each[2] != words or each[0] != name:
                return False
        row.calls.value += len(found)
        self._call([row] * len(found), found, data)
        return True

    def _one(self, found: Sequence[Found], data: bytes) -> bool:
        """Take the one command of a read, if it is as most are: what `_take` and `_call` make of it, in less time."""
        name, key, words, start, end = found[0]
        row = self.adapter.rows.known.get(name)
        if row is None or row.code > WRITE or self.guard is not None:
            return False
        if words != row.arity and not words >= -row.arity > 0:
            return False
        row.calls.value += 1
        size = end - start
        call = RedisCall(self.adapter.name, row.command, found, data, data if size == len(data) else data[start:end])
        if key is not None:
            call.key = key
        if row.code == WRITE:
            call.write = True
        call.bytes_in = size
        call.received = self.active_at
        self._begin(call, row, None)
        if self.adapter.shortcut is not None:
            self.adapter.shortcut.learn(row, found[0])
        return True

    def _refused(
        self, row: Row, found: Found, data: bytes, rows: list[Row], before: Sequence[Found]
    ) -> Optional[bytes]:
        """Refuse a command that this client may not send, behind those `before` it that are not sent yet."""
        assert self.guard is not None
        if not row.command.fits(found[2]):
            return None
        refused = self.guard.refuses(row.command, found, data)
        if refused is not None:
            if rows:
                self._call(rows, before, data)
            self.adapter.denied(self, row.command.name, refused)
            if self.binding is not None:
                self.binding.spoil("a command was denied")
            self._refuse(refused, row)
        return refused

    def _single(self, row: Optional[Row], found: Found, data: bytes) -> None:
        """Take a command that is no part of a batch: most of them are answered here, or refused."""
        _, first, count, start, end = found
        if row is None:
            if not count:
                self._too_large(first or b"")
            elif found[0].lower() in OF_HTTP:
                self._hang_up()
            else:
                self._refuse(unknown_command(arguments(data[start:end])))
        elif not row.command.fits(count):
            self._refuse(wrong_arity(row.command.name), row)
        elif row.container and first is not None:
            self._refuse(unknown_subcommand(row.command.name, first), row)
        elif row.code == REFUSED:
            self._refuse(refused(row.command.name, row.command.refusal), row)
        elif row.code == LOCAL:
            self.last = row.command.name.lower()
            answer = answer_locally(self, row.command, arguments(data[start:end]))
            if answer.startswith(b"-"):
                row.errors.value += 1
            if answer:
                # Or it is not known yet.
                self.answer(answer)
        else:
            self._alone(row, found, data)

    def _too_large(self, name: bytes) -> None:
        """A command has come, and was dropped, that could neither be passed on as it came nor be kept."""
        row = self.adapter.rows.find(name)
        if row is not None:
            row.calls.value += 1
        answer = too_large(name, self._reader.limit)
        self.adapter.too_large(self, "" if row is None else row.command.name, answer)
        self._refuse(answer, row)

    def _hang_up(self) -> None:
        """A request of HTTP has come, which a page may have had a browser send: do nothing of what its body says."""
        self.adapter.wrong(self, "this is HTTP, and may be an attack by way of somebody's browser")
        self._closing = True
        self.cut()

    def _defer(self, found: Sequence[Found], data: bytes) -> None:
        """Have commands wait until those before them are answered."""
        self._backlog.append((found, data))
        self._stand(ITS_TURN)

    # --- what belongs to a session

    def _one_by_one(self, found: Sequence[Found], data: bytes, counted: bool = False) -> None:
        """Take commands of which any may belong to a session.

        :param counted: whether the first has been seen before.
        """
        rows = self.adapter.rows
        self.active_at = self.adapter.now()
        for at, each in enumerate(found):
            row = rows.find(each[0])
            if row is not None and row.container and each[1] is not None:
                row = rows.inner(row, each[1])
            if not (counted and at == 0):
                if row is not None:
                    row.calls.value += 1
                if self.guard is not None and row is not None and self._refused(row, each, data, [], ()):
                    continue
            if not self._bind(row, each, data):
                if row is not None:
                    # It will be seen again.
                    row.calls.value -= 1
                self._defer(found[at:], data)
                return
            if self._closing or (row is not None and row.heavy and self._put_off(found[at + 1 :], data)):
                return

    def _put_off(self, rest: Sequence[Found], data: bytes) -> bool:
        """Let others have their turn before the rest is taken; returns whether there is any."""
        if not rest:
            return False
        self._defer(rest, data)
        self.soon(self._on_its_turn)
        return True

    def _on_its_turn(self) -> None:
        """Take what was put off, unless it has to wait for answers now: then it goes on with them."""
        if self._backlog and not self.gone and not self._still & ITS_ANSWERS:
            if self._in_flight <= self.adapter.pipelined // 2:
                self._rest()

    def _bind(self, row: Optional[Row], found: Found, data: bytes) -> bool:
        """Take a command of a client that has a session, or begins one; returns False if it has to wait."""
        binding = self.binding
        if binding is None:
            binding = self.binding = Binding(self)
        words = arguments(data[found[3] : found[4]]) if found[2] else []
        # A wrong EXEC is more than refused.
        known = row if row is not None and (row.command.fits(found[2]) or row.command.name == "EXEC") else None
        if known is not None and known.container and found[1] is not None:
            # There is no such subcommand.
            known = None
        turn = binding.take(known, found, data, words)
        if turn is Turn.WAIT:
            return False
        if turn is Turn.ORDINARY:
            if known is not None and known.code in BATCHED:
                self._call([known], [found], data)
            else:
                self._single(row, found, data)
        if not self.queue:
            self._rest()
        return True

    def begin_own(self, row: Row, found: Found, data: bytes) -> None:
        """Begin a call that goes over the session's own connection."""
        assert self.binding is not None
        self._alone(row, found, data, self.binding.session)

    def _rest(self) -> None:
        """Nothing is in flight: what belongs to the session may have come to its end, and what waited goes on."""
        if self.binding is not None:
            if self.queue:
                return
            if self.binding.rest():
                self.binding = None
        if not self._backlog or self._closing:
            return
        backlog, self._backlog = self._backlog, []
        while backlog and not self._backlog and not self._closing:
            found, data = backlog.pop(0)
            self._take(found, data)
        self._backlog += backlog
        if self._backlog or self._closing:
            return
        if self._reader.error is not None:
            self._wrong(self._reader.error)
        self.go_on(ITS_TURN)

    def _stops_at(self, row: Optional[Row], found: Sequence[Found], at: int, data: bytes) -> bool:
        """Take what is behind the command at a place otherwise, or later, if that is for it; returns whether it is."""
        if self.binding is not None:
            # It had everybody wait.
            self._one_by_one(found[at + 1 :], data)
            return True
        return row is not None and row.heavy and self._put_off(found[at + 1 :], data)

    def unpaused(self) -> None:
        """What had to wait goes on."""
        self._rest()
        if not self._backlog:
            self.go_on(ITS_TURN)

    def lose(self, why: str) -> None:
        """What the session held is lost: say so, and close, as the client has to begin anew."""
        if not self.gone:
            self.adapter.session_lost(self, why)
            self.answer(error("MESHFAILURE", f"upstream failure: {why}"))
            self.close()

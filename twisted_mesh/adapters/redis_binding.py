"""Clients that are more than the sum of their commands: transactions, subscriptions, commands that wait.

Such commands go over connections that the client has for itself, all others over those that everybody shares.  Between
the two nothing may overtake: what goes the other way waits until all that was sent before is answered.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Callable, Optional

from twisted_mesh.adapters.redis_exchange import Exchange
from twisted_mesh.adapters.redis_rows import LOCAL, REFUSED, Row
from twisted_mesh.codec.resp import OK, array, bulk, error
from twisted_mesh.codec.resp_request_scan import Found
from twisted_mesh.redis_session import ABORTED, APART, CLOSING, SORTS, WRONG_EXEC, Session

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis_commands import Commands

Words = list[bytes]
# What goes to the server within a transaction although the mesh answers it elsewhere.
_QUEUED = frozenset(["PING", "ECHO", "TIME"])
# What a client of RESP2 that listens may send.
_WHILE_LISTENING = frozenset([*SORTS, "PING", "QUIT", "RESET"])
_ENDS = frozenset(["EXEC", "DISCARD"])
# What may stand behind CLIENT TRACKING OFF, and means nothing there.
_TRACKING_OPTIONS = frozenset([b"BCAST", b"NOLOOP", b"OPTIN", b"OPTOUT"])


class Turn(Enum):
    """What becomes of a command: it goes the ordinary way, was dealt with, or has to wait."""

    ORDINARY = 1
    TAKEN = 2
    WAIT = 3


class Mute(Enum):
    """Whether a client wants to hear no answers: to none of its commands, to all, or to the next one alone."""

    NO = 0
    ALL = 1
    NEXT = 2


class Binding:
    """One client's session, and which of its commands belong to it."""

    __slots__ = ("_client", "_ending", "_now", "_row", "barrier", "queued", "session", "waits", "writes")

    def __init__(self, client: Commands) -> None:
        self._client = client
        # The command that is being dealt with.
        self._now: tuple[Found, bytes] = ((b"", None, 0, 0, 0), b"")
        self.session = Session(client.tell, client.lose)
        # Whether the next command waits for the answer to the one before, whatever that is.
        self.barrier = False
        # The row of the command that was taken last.
        self._row: Optional[Row] = None
        # Commands of the transaction that has begun, and whether any of them may change something.
        self.queued = 0
        self.writes = False
        # Whether the command in flight waits for something to happen.
        self.waits = False
        # Whether the command in flight ends a transaction, or what is watched for one.
        self._ending = False

    def __repr__(self) -> str:
        return f"<Binding {self.session!r}>"

    def take(self, row: Optional[Row], found: Found, data: bytes, words: Words) -> Turn:
        """Deal with a command, if it concerns the session.

        :param row: None for what will be refused.
        """
        session = self.session
        self._now = (found, data)
        self._row = row
        pause = self._client.adapter.pause
        if pause is not None and pause.holds(row, self):
            return Turn.WAIT
        if self.barrier and self._client.queue:
            # What it is answered depends on what is in flight, such as a subscription that is not confirmed.
            return Turn.WAIT
        if row is None or row.code == REFUSED:
            self.spoil("a command was refused")
            return self._ordinary()
        name = row.command.name
        if not row.command.fits(len(words)):
            return self._wrong_exec(row)
        if session.subscribed and self._client.resp == 2 and name not in _WHILE_LISTENING:
            return self._answer(_not_while_listening(name))
        take = _TAKES.get(name)
        if take is not None:
            return take(self, row, words)
        if name in SORTS:
            return self._subscription(row, words)
        if session.multi and row.code == LOCAL and name not in _QUEUED:
            return self._refuse_queued(name)
        if session.bound and (row.code != LOCAL or session.multi):
            return self._bound(row)
        if row.command.binds(words):
            return self._alone(row, waits=True)
        return self._ordinary()

    # --- what becomes of it

    def _waiting(self, own: bool) -> bool:
        """Whether a command has to wait for what was sent before; `own` if it goes over the session's connection.

        Within a session one does as long as a filter still looks at the one before, or they might change places.
        """
        queue = self._client.queue
        if not queue:
            return False
        calls = [each for each in queue if isinstance(each, Exchange)]
        if own:
            return self.barrier or any(each.call.session is None or each.driver is not None for each in calls)
        return self.barrier or any(each.call.session is not None for each in calls)

    def _begin(self, row: Row) -> None:
        self._client.begin_own(row, *self._now)

    def _ordinary(self) -> Turn:
        return Turn.WAIT if self._waiting(False) else Turn.ORDINARY

    def _answer(self, text: bytes) -> Turn:
        if self._row is not None and text.startswith(b"-"):
            self._row.errors.value += 1
        self._client.answer(text)
        return Turn.TAKEN

    def _bound(self, row: Row) -> Turn:
        """Send it over the session's connection, behind what else went there."""
        if self._waiting(True):
            return Turn.WAIT
        self.queued += 1
        self.writes = self.writes or row.command.write
        self._begin(row)
        return Turn.TAKEN

    def _alone(self, row: Row, waits: bool = False) -> Turn:
        """Send it once all before is answered, and let nothing else follow until it is answered itself."""
        if self._client.queue:
            return Turn.WAIT
        self.barrier = True
        self.waits = waits
        self._begin(row)
        return Turn.TAKEN

    def spoil(self, why: str) -> None:
        """Something within a transaction was refused: it will not be executed."""
        if self.session.multi:
            self.session.spoilt = self.session.spoilt or why

    def _refuse_queued(self, name: str) -> Turn:
        self.spoil(f"{name} was refused")
        shown = name.lower().replace("|", " ")
        return self._answer(error("ERR", f"'{shown}' command is not supported within transaction"))

    # --- transactions

    def _multi(self, row: Row, words: Words) -> Turn:
        if self.session.multi:
            return self._answer(error("ERR", "MULTI calls can not be nested"))
        # It is sent with the first command behind it: only that says where to.
        self.session.multi = True
        self.session.queued = []
        self.queued = 0
        self.writes = False
        return self._answer(OK)

    def _end_of_multi(self, row: Row, words: Words) -> Turn:
        session, name = self.session, row.command.name
        if not session.multi:
            return self._answer(error("ERR", f"{name} without MULTI"))
        if session.main is None and self._client.queue:
            return Turn.WAIT
        if session.main is None:
            spoilt = session.end_transaction()
            if name == "DISCARD":
                return self._answer(OK)
            return self._answer(ABORTED if spoilt else array(()))
        return self._last(row)

    def _wrong_exec(self, row: Row) -> Turn:
        """EXEC with arguments: it ends a transaction all the same, and the watching for one."""
        session = self.session
        if self._waiting(True) or (session.main is None and self._client.queue):
            return Turn.WAIT
        if session.main is None:
            session.end_transaction()
            return self._answer(WRONG_EXEC)
        session.spoilt = session.spoilt or "it was not to be executed"
        return self._last(row)

    def _last(self, row: Row) -> Turn:
        """Send what ends a transaction, or what is watched for one."""
        if self._waiting(True):
            return Turn.WAIT
        self.barrier = self._ending = True
        self._begin(row)
        return Turn.TAKEN

    def _watch(self, row: Row, words: Words) -> Turn:
        if self.session.multi:
            return self._answer(error("ERR", "WATCH inside MULTI is not allowed"))
        if self._waiting(True):
            return Turn.WAIT
        self.session.watching = True
        self._begin(row)
        return Turn.TAKEN

    def _unwatch(self, row: Row, words: Words) -> Turn:
        session = self.session
        if session.multi:
            return self._bound(row)
        if session.main is None and not session.watching:
            return self._answer(OK)
        return self._last(row)

    # --- subscriptions

    def _subscription(self, row: Row, words: Words) -> Turn:
        session, name = self.session, row.command.name
        if session.multi:
            return self._refuse_queued(name)
        if name in CLOSING and not session.names(SORTS[name]):
            # There is nothing to close, and so no server to ask.
            client = self._client
            names: list[Optional[bytes]] = [*words[1:]] or [None]
            said = b"".join(session.confirm(name, each, client.resp) for each in names)
            # It is no answer: who wants to hear none hears it.
            mute, client.mute = client.mute, Mute.NO
            client.answer(said)
            if mute is Mute.ALL:
                client.mute = mute
            return Turn.TAKEN
        return self._alone(row)

    def _ping(self, row: Row, words: Words) -> Turn:
        if self.session.multi:
            return self._bound(row)
        if self._waiting(False):
            return Turn.WAIT
        if self.session.subscribed and self._client.resp == 2 and len(words) <= 2:
            return self._answer(array([bulk(b"pong"), bulk(words[1] if len(words) > 1 else b"")]))
        return self._ordinary()

    # --- tracking, and what else is the connection's

    def _tracking(self, row: Row, words: Words) -> Turn:
        if self.session.multi:
            return self._refuse_queued(row.command.name)
        options = [each.upper() for each in words[3:]]
        if b"REDIRECT" in options:
            return self._answer(error("ERR", "CLIENT TRACKING with REDIRECT is not supported by this proxy"))
        on = words[2].upper() == b"ON"
        if not on and not self.session.tracking:
            known = words[2].upper() == b"OFF" and not set(options) - _TRACKING_OPTIONS
            return self._answer(OK if known else error("ERR", "syntax error"))
        if self._client.queue:
            return Turn.WAIT
        self.session.tracking = on
        return self._alone(row)

    def _reply(self, row: Row, words: Words) -> Turn:
        """CLIENT REPLY: whether the client wants to hear what its commands are answered."""
        if self.session.multi:
            return self._refuse_queued(row.command.name)
        client, asked = self._client, words[2].upper()
        if asked == b"ON":
            client.mute = Mute.NO
            return self._answer(OK)
        if asked == b"OFF":
            client.mute = Mute.ALL
        elif asked == b"SKIP":
            client.mute = Mute.ALL if client.mute is Mute.ALL else Mute.NEXT
        else:
            return self._answer(error("ERR", "syntax error"))
        return Turn.TAKEN

    def _caching(self, row: Row, words: Words) -> Turn:
        if self.session.tracking:
            return self._bound(row)
        said = "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"
        return self._answer(error("ERR", said))

    def _tracked(self, row: Row, words: Words) -> Turn:
        """How it tracks only its server knows; without that it is as with any connection."""
        if self.session.multi:
            return self._refuse_queued(row.command.name)
        return self._bound(row) if self.session.tracking else self._ordinary()

    def _fixed(self, row: Row, words: Words) -> Turn:
        """What would change what the session's connections were made for."""
        session = self.session
        if session.multi:
            return self._refuse_queued(row.command.name)
        if session.bound or (session.subscribed and row.command.name != "SELECT"):
            why = "while this connection watches, tracks or listens to something"
            return self._answer(error("ERR", f"'{row.command.name.lower()}' command is not possible {why}"))
        # What comes behind it may go over another connection, and overtake.
        return Turn.WAIT if self._client.queue else Turn.ORDINARY

    def _quit(self, row: Row, words: Words) -> Turn:
        return self._ordinary()

    def _reset(self, row: Row, words: Words) -> Turn:
        if self._client.queue:
            return Turn.WAIT
        self.session.end()
        if self._client.mute is Mute.ALL:
            self._client.mute = Mute.NO
        return Turn.ORDINARY

    def _apart(self, row: Row, words: Words) -> Turn:
        """What concerns servers, and not keys: no transaction has it."""
        if self.session.multi:
            return self._refuse_queued(row.command.name)
        return self._alone(row)

    # --- how it ends

    def rest(self) -> bool:
        """Nothing is in flight: give back what is not needed; returns whether there is no session any more."""
        session = self.session
        if self._ending:
            # Whatever a filter made of it: what the client has ended is over.
            self._ending = False
            session.end_transaction()
        self.barrier = self.waits = False
        session.settle()
        return session.at_rest and self._client.mute is Mute.NO and self._client.adapter.pause is None

    def end(self) -> None:
        """The client is gone."""
        self.session.end()


_TAKES: dict[str, Callable[[Binding, Row, Words], Turn]] = {
    "MULTI": Binding._multi,
    "EXEC": Binding._end_of_multi,
    "DISCARD": Binding._end_of_multi,
    "WATCH": Binding._watch,
    "UNWATCH": Binding._unwatch,
    "PING": Binding._ping,
    "CLIENT|TRACKING": Binding._tracking,
    "CLIENT|CACHING": Binding._caching,
    "CLIENT|REPLY": Binding._reply,
    "CLIENT|TRACKINGINFO": Binding._tracked,
    "CLIENT|GETREDIR": Binding._tracked,
    "SELECT": Binding._fixed,
    "HELLO": Binding._fixed,
    "AUTH": Binding._fixed,
    "QUIT": Binding._quit,
    "RESET": Binding._reset,
    "MONITOR": Binding._apart,
    **dict.fromkeys(APART, Binding._apart),
}


def _not_while_listening(name: str) -> bytes:
    shown = name.lower()
    allowed = "(P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET"
    said = f"Can't execute '{shown}': only {allowed} are allowed in this context"
    return error("EXECABORT", f"Transaction discarded because of: {said}") if name == "EXEC" else error("ERR", said)

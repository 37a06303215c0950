"""txredisapi, and nothing else of the mesh touches it.

Only its protocols are used.  Its pools, its reconnecting, its AUTH and its queues are not: they give up after one bad
AUTH, keep commands without bound while the server is away, and run them when it is back.

Import this module late: txredisapi imports the reactor.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any, Callable, Optional, Sequence

import hiredis
import txredisapi
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IAddress, IHandshakeListener, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_mesh.bus.errors import BusError, refusal
from twisted_mesh.bus.reason import reason

# Bytes of one answer.  All of a service with 100,000 instances has some 40 MiB.
MAX_ANSWER = 256 << 20

Argument = Any  # bytes, str, int or float


@implementer(IHandshakeListener)
class _Wired:
    """What both kinds of connection have: an end that is told once, a time for every answer, and our own errors.

    :ivar ended: fires once, with why.
    :ivar failure: why it ended, None while it lives.
    :ivar secured: whether the TLS handshake is over.
    :ivar unanswered_bytes: with commands: the bytes of those that wait for their answers, which may wait here too.
    :ivar mode: ``standalone``, ``cluster`` or ``sentinel``, "" where the server does not say.
    :ivar role: ``master``, ``replica`` or ``sentinel``, "" where the server does not say.
    """

    replyQueue: Any
    transport: Any
    execute_command: Callable[..., Deferred[Any]]

    def __init__(self, server: str, clock: IReactorTime) -> None:
        # Bytes stay bytes: "007" is no number, and a label may hold anything.
        super().__init__(charset=None, convertNumbers=False)  # type: ignore[call-arg]  # of txredisapi
        self._reader = hiredis.Reader(
            protocolError=txredisapi.InvalidData,
            replyError=partial(_refusal, server),
        )
        self.server = server
        self.ended: Deferred[BusError] = Deferred()
        self.failure: Optional[BusError] = None
        self.secured = False
        self.unanswered_bytes = 0
        self.mode = ""
        self.role = ""
        self._clock = clock
        self._held = 0

    def ask(self, args: Sequence[Argument], timeout: float) -> Deferred[Any]:
        """Send a command; fires with its answer.

        :raises BusError: through the Deferred.  After `timeout` seconds without an answer the whole connection is
            dropped, since later answers would be taken for this one's.
        """
        if self.failure is not None:
            return fail(BusError("down", self.failure.detail, server=self.server))
        try:
            asked = self.execute_command(*args)
        except (OSError, RuntimeError) as error:
            # The loop has noticed the connection's end already, and says so by an error of its own; we hear of it next.
            why = f"the connection cannot be written to: {error}"
            self.abort(BusError("down", why, server=self.server))
            return fail(BusError("down", why, server=self.server))
        timer = self._clock.callLater(timeout, self._late, asked, args[0], timeout)

        def answered(result: Any) -> Any:
            if timer.active():
                timer.cancel()
            return result

        return asked.addBoth(answered)

    @property
    def unanswered(self) -> int:
        """How many commands wait for their answer."""
        return len(self.replyQueue.waiting)

    def abort(self, why: BusError) -> None:
        """End it at once; what waits for an answer fails."""
        if self.failure is None:
            self._end(why)
            self.transport.abortConnection()

    def _late(self, asked: Deferred[Any], name: Argument, timeout: float) -> None:
        shown = name.decode() if isinstance(name, bytes) else name
        error = BusError("timeout", f"no answer to {shown} within {timeout:g} s", server=self.server, sent=True)
        if self.failure is None:
            self._end(error, partial(asked.errback, error))
            self.transport.abortConnection()

    def _end(self, why: BusError, first: Optional[Callable[[], None]] = None) -> None:
        """Tell whoever keeps the connection, then those who wait, so that nobody asks here again."""
        self.failure = why
        self.connected = 0
        self.ended.callback(why)
        if first is not None:
            first()
        while self.replyQueue.waiting:
            self.replyQueue.put(BusError("down", why.detail, server=self.server, sent=True))

    def _build_command(self, *args: Argument, **options: object) -> bytes:
        """In C: txredisapi takes a microsecond for each argument."""
        packed: bytes = hiredis.pack_command(args)
        return packed

    def handshakeCompleted(self) -> None:
        """TLS is spoken from now on."""
        self.secured = True

    # --- IProtocol

    def connectionMade(self) -> None:
        """Not txredisapi's way of logging in, which ends everything at its first failure."""

    def connectionLost(self, why: Failure) -> None:
        """The connection is gone."""
        if self.failure is None:
            self._end(BusError("down", reason(why), server=self.server, sent=True))

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        """Bytes came."""
        if self.failure is not None:
            return
        self._held += len(data)
        try:
            super().dataReceived(data)  # type: ignore[misc]  # of txredisapi
        except txredisapi.InvalidData as error:
            self.abort(BusError("protocol", f"not the Redis protocol: {error}", server=self.server, sent=True))
        if self._held > MAX_ANSWER:
            text = f"an answer of more than {MAX_ANSWER >> 20} MiB"
            self.abort(BusError("protocol", text, server=self.server, sent=True))

    def replyReceived(self, reply: Any) -> None:
        """A whole answer came."""
        self._held = 0
        if self.failure is None:
            super().replyReceived(reply)  # type: ignore[misc]  # of txredisapi


def _refusal(server: str, text: Any) -> BusError:
    return refusal(server, text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text))


class CommandLink(_Wired, txredisapi.RedisProtocol):
    """A connection for commands."""

    def __init__(self, server: str, clock: IReactorTime) -> None:
        super().__init__(server, clock)
        self._sizes: deque[int] = deque()

    def _build_command(self, *args: Argument, **options: object) -> bytes:
        packed = super()._build_command(*args, **options)
        self._sizes.append(len(packed))
        self.unanswered_bytes += len(packed)
        return packed

    def replyReceived(self, reply: Any) -> None:
        """A whole answer came; one that nobody asked for would pair with the next question."""
        if self.failure is None and not self.replyQueue.waiting:
            self.abort(BusError("protocol", "an answer that nobody asked for", server=self.server))
        elif self._sizes:
            self.unanswered_bytes -= self._sizes.popleft()
        super().replyReceived(reply)


# What a server says of itself on a connection for subscriptions.
_TOLD = frozenset([b"message", b"subscribe", b"unsubscribe"])


class MessageLink(_Wired, txredisapi.SubscriberProtocol):
    """A connection for subscriptions; `deliver` is called with the channel and the message."""

    def __init__(self, server: str, clock: IReactorTime, deliver: Callable[[bytes, bytes], None]) -> None:
        super().__init__(server, clock)
        self._deliver = deliver

    def replyReceived(self, reply: Any) -> None:
        """A message or a whole answer came."""
        told = isinstance(reply, list) and len(reply) == 3 and reply[0] in _TOLD
        if self.failure is None and not told and not self.replyQueue.waiting:
            self.abort(BusError("protocol", "an answer that nobody asked for", server=self.server))
        super().replyReceived(reply)

    def messageReceived(self, pattern: Any, channel: bytes, message: bytes) -> None:
        """A message came."""
        self._deliver(channel, message)


class LinkFactory(txredisapi.RedisFactory):
    """Makes one link, which `made` holds."""

    def __init__(self, make: Callable[[], _Wired]) -> None:
        super().__init__("mesh", None, 1, isLazy=True, charset=None, convertNumbers=False)
        self._make = make

    def buildProtocol(self, addr: Optional[IAddress]) -> Any:
        """Return the link."""
        made: Any = self._make()
        made.factory = self
        return made

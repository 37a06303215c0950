"""Keeping one connection, for ever: finding the server, noticing that it is gone, and finding it again."""

from __future__ import annotations

import random as _random
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Optional, Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_mesh.bus.errors import BusError
from twisted_mesh.policy.backoff import decorrelated_jitter

if TYPE_CHECKING:
    from twisted_mesh.bus.dial import Link

# Seconds between two attempts, at least and at most.
SHORTEST_WAIT = 0.05
LONGEST_WAIT = 10.0
# A connection that lived this long was a good one: the next wait is a short one again.
PROVEN = 5.0
# Seconds between two PINGs; with the time for an answer a dead connection is found within 10 s.
PING_EVERY = 4.0

log = Logger("twisted_mesh.bus")


class Upkeep:
    """One connection at a time, as long as it runs.

    :param find: makes a connection, or raises `BusError`.
    :param opened: called with each new connection.
    :param closed: called when it is gone.
    :param failed: called when an attempt has failed.
    :param alive: called when a PING was answered.
    :ivar link: the connection, None while there is none.
    :ivar trouble: why there is none, "" while there is one.
    """

    def __init__(
        self,
        name: str,
        find: Callable[[], Awaitable[Link]],
        *,
        reactor: Any,
        random: _random.Random,
        timeout: float,
        opened: Callable[[Link], None],
        closed: Callable[[BusError], None],
        failed: Callable[[], None],
        alive: Callable[[], None],
    ) -> None:
        self.name = name
        self.link: Optional[Link] = None
        self.trouble = "not started"
        self._find = find
        self._reactor = reactor
        self._dice = random.random
        self._timeout = timeout
        self._opened = opened
        self._closed = closed
        self._failed = failed
        self._alive = alive
        self._wait = SHORTEST_WAIT
        self._running: Optional[Deferred[None]] = None
        self._attempt: Optional[Deferred[Link]] = None
        self._pause: Optional[Deferred[None]] = None
        self._ping_timer: Optional[IDelayedCall] = None
        self._at_once = False
        self._over = False
        self._said = ""

    def start(self) -> None:
        """Begin to connect."""
        self._over = False
        if self._running is None:
            self.trouble = "not connected yet"
            self._running = Deferred.fromCoroutine(self._run())
            self._running.addBoth(self._ended)

    def stop(self) -> None:
        """End; what waits for an answer fails.  Whoever is called by the connection may call this too."""
        self._over = True
        self._leave("stopped")
        self.trouble = "stopped"

    def look_again(self, why: str) -> None:
        """The server is another one now: leave this one, and find it without waiting."""
        self._at_once = True
        self._wait = SHORTEST_WAIT
        self._leave(why)

    def _leave(self, why: str) -> None:
        """Let go of what it is doing; the loop goes on from there."""
        if self.link is not None:
            self.link.abort(BusError("down", why, server=self.link.server))
        elif self._attempt is not None:
            self._attempt.cancel()
        elif self._pause is not None:
            self._pause.cancel()

    # --- the one loop

    async def _run(self) -> None:
        while not self._over:
            self._at_once = False
            link = await self._connected()
            if link is not None:
                await self._used(link)
            if not (self._at_once or self._over):
                self._wait = decorrelated_jitter(self._wait, SHORTEST_WAIT, LONGEST_WAIT, self._dice)
                await self._sleep(self._wait)

    async def _connected(self) -> Optional[Link]:
        self._attempt = Deferred.fromCoroutine(self._found())
        try:
            return await self._attempt
        except BusError as error:
            self._failed()
            self._tell(error)
        except CancelledError:
            # By `_leave`, and the loop knows why.
            pass
        finally:
            self._attempt = None
        return None

    async def _found(self) -> Link:
        return await self._find()

    async def _used(self, link: Link) -> None:
        """Stay until the connection is gone."""
        if link.failure is not None:
            self._tell(link.failure)
            return
        since = self._reactor.seconds()
        self.link = link
        self.trouble = self._said = ""
        log.info("{name}: connected to redis {server}", name=self.name, server=link.server)
        self._ping_timer = self._reactor.callLater(PING_EVERY, self._ping, link)
        self._opened(link)
        why = await link.ended
        self._tell(why)
        self._gone(why)
        if self._reactor.seconds() - since >= PROVEN:
            self._wait = SHORTEST_WAIT

    def _gone(self, why: BusError) -> None:
        self.link = None
        self.trouble = str(why)
        if self._ping_timer is not None and self._ping_timer.active():
            self._ping_timer.cancel()
        self._ping_timer = None
        self._closed(why)

    def _tell(self, error: BusError) -> None:
        """Log what is wrong, once as long as it stays the same."""
        self.trouble = str(error)
        if self.trouble != self._said and not self._over:
            self._said = self.trouble
            log.warn("{name}: {trouble}", name=self.name, trouble=self.trouble)

    async def _sleep(self, seconds: float) -> None:
        self._pause = Deferred()
        timer = self._reactor.callLater(seconds, self._pause.callback, None)
        try:
            await self._pause
        except CancelledError:
            pass
        finally:
            self._pause = None
            if timer.active():
                timer.cancel()

    # --- whether it lives

    def _ping(self, link: Link) -> None:
        self._ping_timer = None
        asked = link.ask(("PING",), self._timeout)
        asked.addCallbacks(self._pong, self._no_pong, callbackArgs=(link,), errbackArgs=(link,))

    def _pong(self, _: Any, link: Link) -> None:
        if self.link is link:
            self._alive()
            self._ping_timer = self._reactor.callLater(PING_EVERY, self._ping, link)

    def _no_pong(self, failure: Any, link: Link) -> None:
        failure.trap(BusError)
        # A lost connection tells of itself; a refusal comes from a server that cannot serve now.
        if link.failure is None:
            link.abort(failure.value)

    def _ended(self, result: Any) -> None:
        self._running = None
        self.trouble = "stopped"
        if isinstance(result, Failure):
            self.trouble = "broken; see the log"
            log.failure("{name}: the connection's upkeep broke", result, name=self.name)


def call_all(listeners: Sequence[Callable[[], None]]) -> None:
    """Call all of them, whatever one of them raises."""
    for each in list(listeners):
        try:
            each()
        except Exception:
            log.failure("{listener} failed", listener=each)

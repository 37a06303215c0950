"""Commands and scripts at the mesh's Redis.

Nothing is ever queued for later: while there is no connection a command fails at once, and it never runs afterwards.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any, Optional, Sequence, Union

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, fail
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.kept_link import KeptLink
from twisted_mesh.bus.subscriber import Subscriber
from twisted_mesh.bus.upkeep import call_all

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from twisted_mesh.bus.dial import Link
    from twisted_mesh.bus.kept_link import Around
    from twisted_mesh.model.redis import Redis as Settings

# Commands that may wait for their answers.  Redis answers 100,000 a second: past this it has stopped.
MAX_UNANSWERED = 1024
# Bytes of such commands: a server that has stopped reads nothing, so they stay here.
MAX_UNANSWERED_BYTES = 64 << 20
# Seconds that `up` waits if it is not told.
UP_TIMEOUT = 10.0
# Seconds that a script waits for the slot of its keys to arrive at another node of a cluster, and between two tries.
MOVING_LIMIT = 3.0
MOVING_PAUSE = 0.05

Argument = Union[bytes, str, int, float]
__all__ = ["MAX_UNANSWERED", "UP_TIMEOUT", "BusError", "Redis", "Script", "Subscriber"]


class Script:
    """A Lua script by name; servers know it by its `sha`."""

    __slots__ = ("name", "sha", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def __repr__(self) -> str:
        return f"<Script {self.name} {self.sha[:8]}>"


class Redis(KeptLink):
    """The connection for commands, kept as long as it runs; `up` says when there is one."""

    def __init__(self, settings: Settings, **around: Unpack[Around]) -> None:
        super().__init__(settings, "bus", "commands", around)
        self._waiting: list[Deferred[None]] = []

    def __repr__(self) -> str:
        link = self._upkeep.link
        return f"<Redis {self.settings.url.shown} {'at ' + link.server if link is not None else self.trouble}>"

    async def _stop(self) -> None:
        self._upkeep.stop()
        await self._finder.stop()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.errback(self._down())

    def stop(self) -> Deferred[None]:
        """End: what waits for an answer fails, and so does all that is asked later."""
        return Deferred.fromCoroutine(self._stop())

    @property
    def connected(self) -> bool:
        """Whether commands are sent."""
        return self._upkeep.link is not None

    @property
    def trouble(self) -> str:
        """Why there is no connection, in one line; "" while there is one."""
        return self._upkeep.trouble

    def up(self, timeout: float = UP_TIMEOUT) -> Deferred[None]:
        """Return what fires when there is a connection.

        :raises BusError: through the Deferred: there is none after `timeout` seconds, and why.
        """
        waiting: Deferred[None] = Deferred()
        if self.connected:
            waiting.callback(None)
            return waiting
        self._waiting.append(waiting)
        waiting.addTimeout(timeout, self._reactor)
        return waiting.addErrback(partial(self._not_up, waiting))

    def command(self, *args: Argument, timeout: Optional[float] = None) -> Deferred[Any]:
        """Run a command; fires with bytes, int, None, or a list of these.

        :param timeout: seconds for the answer, the settings' if not given.  Where it runs out the connection is
            dropped, as later answers would be taken for this one's.
        :raises BusError: through the Deferred.
        """
        link = self._upkeep.link
        if link is None:
            return self._failed(self._down())
        if link.unanswered >= MAX_UNANSWERED or link.unanswered_bytes > MAX_UNANSWERED_BYTES:
            text = f"{link.unanswered:,} commands wait for their answers"
            return self._failed(BusError("busy", text, server=link.server))
        asked = link.ask(args, self.settings.timeout if timeout is None else timeout)
        return asked.addCallbacks(self._answered, partial(self._refused, link))

    def script(
        self, script: Script, keys: Sequence[Argument], args: Sequence[Argument], timeout: Optional[float] = None
    ) -> Deferred[Any]:
        """Run a script; its text is sent only to servers that do not know it.

        While a cluster moves the keys to another node it runs at neither, and is tried again for some seconds.
        """
        return self._script(script, keys, args, timeout, self._now() + MOVING_LIMIT)

    def _script(
        self, script: Script, keys: Sequence[Argument], args: Sequence[Argument], timeout: Optional[float], until: float
    ) -> Deferred[Any]:
        asked = self.command("EVALSHA", script.sha, len(keys), *keys, *args, timeout=timeout)

        def unknown(failure: Failure) -> Any:
            if not isinstance(failure.value, BusError) or failure.value.code != "NOSCRIPT":
                return failure
            return self.command("EVAL", script.text, len(keys), *keys, *args, timeout=timeout)

        def moving(failure: Failure) -> Any:
            if not isinstance(failure.value, BusError) or not failure.value.moving or self._now() >= until:
                return failure
            return deferLater(self._reactor, MOVING_PAUSE, self._script, script, keys, args, timeout, until)

        return asked.addErrback(unknown).addErrback(moving)

    # --- what becomes of commands

    def _down(self) -> BusError:
        return BusError("down", self.trouble or "no connection")

    def _failed(self, error: BusError) -> Deferred[Any]:
        self._cells.result(error.kind)
        return fail(error)

    def _answered(self, result: Any) -> Any:
        self._cells.result("ok")
        return result

    def _refused(self, link: Link, failure: Failure) -> Any:
        error = failure.value
        if isinstance(error, BusError):
            # A script that is not known is sent then, and that counts.
            if error.code != "NOSCRIPT":
                self._cells.result(error.kind)
            if error.wrong_server and link is self._upkeep.link:
                self._finder.refused(error)
                link.abort(error)
        elif failure.check(CancelledError):
            self._cells.result("cancelled")
        return failure

    def _not_up(self, waiting: Deferred[None], failure: Failure) -> Any:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        return Failure(self._down()) if failure.check(TimeoutError) else failure

    # --- what becomes of the connection

    def _opened(self, link: Link) -> None:
        super()._opened(link)
        self._cells.connected.value = 1
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)
        call_all(self.on_up)

    def _closed(self, why: BusError) -> None:
        super()._closed(why)
        call_all(self.on_down)

"""One try of a call that can be stopped without the call's being: it runs in a driver of its own."""

from __future__ import annotations

from typing import Callable, Optional

from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Aside
from twisted_mesh.errors import Cancelled, Kind
from twisted_mesh.interfaces import Proceed
from twisted_mesh.park import Parked


class Attempt:
    """A try; `call` is the call itself or a copy of it.

    `reply` or `error` is how it ended.  `overdue` is for whoever watches over its time.
    """

    __slots__ = ("call", "driver", "error", "overdue", "reply", "then")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.driver = Aside("try", call, self._ended)
        self.reply: Optional[Reply] = None
        self.error: Optional[BaseException] = None
        self.overdue = False
        self.then: Optional[Callable[[Attempt], None]] = None

    def __repr__(self) -> str:
        return f"<Attempt {self.driver!r}>"

    def start(self, proceed: Proceed, then: Callable[[Attempt], None]) -> None:
        """Begin; `then` is called with this once it has ended, perhaps before this returns."""
        self.then = then
        self.driver.start(proceed)

    async def run(self, proceed: Proceed) -> Reply:
        """Begin, and wait for the end; whoever is cancelled while it waits here stops the try."""
        parked: Parked[None] = Parked()
        self.start(proceed, lambda attempt: parked.fire(None))
        try:
            await parked
        except Cancelled as cancelled:
            self.stop(cancelled.kind)
            raise
        except BaseException:
            # A task was cancelled in which the chain runs.
            self.stop(Kind.CLIENT_GONE)
            raise
        return self.result()

    def stop(self, kind: Kind) -> None:
        """Nobody waits for it any more; a reply that has come is dropped."""
        self.then = None
        if self.driver.finished:
            self.drop()
        else:
            self.driver.cancel(Cancelled(kind))

    def result(self) -> Reply:
        """Return the reply, or raise what there was in its place."""
        error, self.error = self.error, None
        if error is None:
            assert self.reply is not None
            return self.reply
        try:
            raise error
        finally:
            # Its traceback holds this frame.
            del error

    def drop(self) -> None:
        """Let go of how it ended."""
        reply, self.reply, self.error = self.reply, None, None
        if reply is not None:
            reply.discard()

    def _ended(self, call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        self.reply, self.error = reply, error
        # Whoever hears of it may raise it, and this frame stands behind its traceback then: do not make it a cycle.
        del error
        then, self.then = self.then, None
        if then is None:
            self.drop()
        else:
            then(self)

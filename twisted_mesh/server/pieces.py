"""A long answer written a piece at a time, so that calls are served in between."""

from __future__ import annotations

from typing import Iterator, Optional

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from twisted_mesh.stream import ByteStream

# Seconds between two pieces, all for the calls.
PAUSE = 0.001


class Pieces:
    """Writes what an iterator yields into `stream`, with pauses, as fast as the receiver takes it."""

    def __init__(self, pieces: Iterator[bytes], clock: IReactorTime) -> None:
        self.stream = ByteStream(self)
        self._pieces = pieces
        self._clock = clock
        self._paused = False
        self._timer: Optional[IDelayedCall] = None
        self._go_on()

    def pauseProducing(self) -> None:
        """Write nothing for now."""
        self._paused = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def resumeProducing(self) -> None:
        """Go on."""
        self._paused = False
        self._go_on()

    def stopProducing(self) -> None:
        """Nobody wants the rest."""
        self.pauseProducing()

    def _go_on(self) -> None:
        if self._timer is None and not self._paused:
            self._timer = self._clock.callLater(PAUSE, self._next)

    def _next(self) -> None:
        self._timer = None
        try:
            piece = next(self._pieces, None)
        except Exception as error:
            self.stream.fail(error)
            return
        if piece is None:
            self.stream.end()
        else:
            self.stream.write(piece)
            self._go_on()

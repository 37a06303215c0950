"""Bodies that are let through slowly, on purpose."""

from __future__ import annotations

from typing import Optional

from twisted.internet.interfaces import IDelayedCall

from twisted_mesh.call import Body
from twisted_mesh.interfaces import Env
from twisted_mesh.policy.bucket import TokenBucket
from twisted_mesh.stream import ByteStream, Trailers

# Seconds from one piece to the next, as Envoy's bandwidth limit has it; what a piece holds follows from the rate.
TICK = 0.05
# Ticks by which a timer may be late without making the body slower than it is to be.
LATE = 4
# Bytes held back before whoever sends them has to wait.
HELD = 64 * 1024


class Paced:
    """Passes a body on at a rate: a receiver of the one stream, the producer of the other, `out`.

    The first piece goes at once, with what the rate gives in one tick.  The length and the trailers
    stay what they were.  `stop` ends its timer; whoever made it sees to that when the call has ended.

    :param rate: bytes a second.
    """

    __slots__ = ("_bucket", "_env", "_held", "_inner", "_paused", "_timer", "_trailers", "out")

    def __init__(self, body: Body, rate: float, env: Env) -> None:
        inner = _stream_of(body) if isinstance(body, bytes) else body
        self.out = ByteStream(self, replay=inner.replayable, length=inner.length)
        self._inner = inner
        self._env = env
        now = env.now()
        # A tick's worth at once; a timer that comes late makes up for it.
        self._bucket = TokenBucket(max(1.0, rate * TICK * LATE), rate, now)
        self._bucket.take(rate * TICK * (LATE - 1), now)
        self._held = bytearray()
        self._paused = False
        self._trailers: Optional[Trailers] = None
        self._timer: Optional[IDelayedCall] = None
        inner.attach(self)

    def __repr__(self) -> str:
        return f"<Paced {len(self._held)} bytes held of {self._inner!r}>"

    @property
    def untaken(self) -> int:
        """Bytes that the peer has not taken yet, as far as is known."""
        return len(self._held) + self.out.untaken

    # --- what comes

    def body_data(self, data: bytes) -> None:
        self._held += data
        if len(self._held) >= HELD:
            self._inner.pause()
        if self._timer is None:
            self._pass_on()

    def body_ended(self, trailers: Trailers) -> None:
        self._trailers = trailers
        if self._timer is None:
            self._pass_on()

    def body_failed(self, error: BaseException) -> None:
        self.stop()
        self.out.fail(error)

    # --- what goes

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        if self._timer is None:
            self._pass_on()

    def stopProducing(self) -> None:
        self.stop()
        self._inner.cancel()

    def stop(self) -> None:
        """Pass nothing on any more."""
        self._held.clear()
        self._paused = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pass_on(self) -> None:
        self._timer = None
        if self._paused:
            return
        now = self._env.now()
        size = self._bucket.take_some(len(self._held), now)
        if size:
            piece = bytes(self._held[:size])
            del self._held[:size]
            self.out.write(piece)
        if self._held:
            if self._timer is None and not self._paused:
                wait = max(TICK, self._bucket.wait(now))
                self._timer = self._env.clock.callLater(wait, self._pass_on)
        elif self._trailers is not None:
            self.out.end(self._trailers)
        if len(self._held) < HELD and not self.out.closed:
            self._inner.resume()


def _stream_of(data: bytes) -> ByteStream:
    stream = ByteStream(length=len(data))
    stream.write(data)
    stream.end()
    return stream

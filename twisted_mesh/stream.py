"""A body on its way: a push stream with backpressure, a bound on what it holds, and a replay buffer.

A body that came whole in one read is plain ``bytes`` and never gets here.  Anything longer is a `ByteStream`: one side
(the *producer*, whoever reads the socket) calls `write`, `end` or `fail`; the other (the *receiver*, whoever writes
the next socket) attaches itself, and pauses and resumes the producer.  A filter may stand between with `map`, or take
the whole with `collect`.
"""

from __future__ import annotations

from typing import Callable, Optional, Protocol, Sequence

from twisted.logger import Logger

from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.park import Parked

Trailers = Sequence[tuple[bytes, bytes]]

# What a stream holds for a receiver that is not there yet or has paused, before it pauses its producer.  One read of
# the loop's transports is at most 256 KiB, so this is the low end of what can be in hand anyhow.
BUFFER_LIMIT = 64 * 1024
# What a stream keeps of itself so that a request can be sent again (Linkerd's bound for the same).
REPLAY_LIMIT = 64 * 1024

_log = Logger()


class Producer(Protocol):
    """Where the bytes come from; Twisted's IPushProducer by shape, so a transport will do.

    One that has a method ``wanted`` is told by it that somebody waits for all of them before anything else is done.
    """

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def stopProducing(self) -> None: ...


class Receiver(Protocol):
    """Where the bytes go.  After `body_ended` or `body_failed` nothing more comes."""

    def body_data(self, data: bytes) -> None: ...

    def body_ended(self, trailers: Trailers) -> None: ...

    def body_failed(self, error: BaseException) -> None: ...


class ByteStream:
    """A body that arrives in pieces.

    Exactly one of `end` and `fail` closes it; later calls of either, and writes after it, are ignored, so a producer
    need not know whether the other side has given up.  `cancel` is how the other side gives up: the producer is told
    once by `stopProducing`.

    `length` is what the body's framing says it will be, in bytes; None where it does not say.
    `size` counts the bytes written so far, also those that only wait.  With `replay` the first 64 KiB are kept, and
    `rewind` makes the stream deliver them again to the next receiver.
    """

    __slots__ = (
        "_kept",
        "_kept_size",
        "_paused_by_receiver",
        "_producer",
        "_producer_paused",
        "_receiver",
        "_told",
        "_waiting",
        "_waiting_size",
        "cancelled",
        "ended",
        "error",
        "length",
        "on_end",
        "size",
        "trailers",
    )

    def __init__(
        self, producer: Optional[Producer] = None, *, replay: bool = False, length: Optional[int] = None
    ) -> None:
        self._producer = producer
        self.length = length
        self._producer_paused = False
        self._receiver: Optional[Receiver] = None
        self._paused_by_receiver = False
        self._told = False
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._kept: Optional[list[bytes]] = [] if replay else None
        self._kept_size = 0
        self.ended = False
        self.error: Optional[BaseException] = None
        self.cancelled = False
        self.trailers: Trailers = ()
        self.size = 0
        self.on_end: Optional[Callable[[ByteStream], None]] = None

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled else "failed" if self.error else "ended" if self.ended else "open"
        return f"<ByteStream {state} {self.size} bytes, {self._waiting_size} waiting>"

    @property
    def closed(self) -> bool:
        """Whether nothing more will be written."""
        return self.ended or self.error is not None or self.cancelled

    @property
    def replayable(self) -> bool:
        """Whether all that was written so far is still kept, so that `rewind` can work."""
        return self._kept is not None and self.error is None and not self.cancelled

    @property
    def untouched(self) -> bool:
        """Whether no byte has been delivered yet: another receiver will get all of it, however long it is."""
        return self.size == self._waiting_size and self.error is None and not self.cancelled

    @property
    def untaken(self) -> int:
        """Bytes that the receiver has passed on and that its peer has not taken yet; 0 where nobody knows."""
        held: int = getattr(self._receiver, "untaken", 0)
        return held

    # --- the producer's side

    def write(self, data: bytes) -> None:
        """Hand on the next piece."""
        if self.ended or self.error is not None or self.cancelled:
            return
        self.size += len(data)
        if self._kept is not None:
            self._keep(data)
        if self._receiver is not None and not self._paused_by_receiver and not self._waiting:
            self._receiver.body_data(data)
            return
        self._waiting.append(data)
        self._waiting_size += len(data)
        if self._waiting_size >= BUFFER_LIMIT:
            self._pause_producer()

    def end(self, trailers: Trailers = ()) -> None:
        """The body is complete."""
        if self.closed:
            return
        self.ended = True
        self.trailers = trailers
        self._settled()

    def fail(self, error: BaseException) -> None:
        """The body is cut; what has waited is still delivered first, so that the peer sees how far it got."""
        if self.closed:
            return
        self.error = error
        self._settled()

    # --- the receiver's side

    def attach(self, receiver: Receiver) -> None:
        """Deliver to `receiver` from now on, beginning with what has waited.

        A stream that was cancelled before tells it so, as a failure: it would wait for ever otherwise.
        """
        self._receiver = receiver
        self._paused_by_receiver = False
        self._told = False
        self._flush()

    def detach(self) -> None:
        """Deliver to nobody; what comes waits, bounded, for the next receiver."""
        self._receiver = None
        self._paused_by_receiver = False

    def pause(self) -> None:
        """The receiver cannot take more for now."""
        if self._receiver is not None:
            self._paused_by_receiver = True
            self._pause_producer()

    def resume(self) -> None:
        """The receiver can take more."""
        if self._paused_by_receiver:
            self._paused_by_receiver = False
            self._flush()

    def cancel(self) -> None:
        """Nobody wants the rest; the producer is told once."""
        if self.cancelled:
            return
        closed, lost = self.closed, bool(self._waiting)
        self._receiver = None
        self._drop()
        if closed:
            if lost and self.ended:
                # Nobody may take for complete what is no longer all there.
                self.ended = False
                self.cancelled = True
            return
        self.cancelled = True
        if self._producer is not None:
            self._producer.stopProducing()
        self._notify()

    def rewind(self) -> None:
        """Deliver from the first byte again to the next receiver.

        :raises ValueError: the stream is no longer `replayable`.
        """
        if self._kept is None or not self.replayable:
            raise ValueError("the stream has outgrown its replay buffer")
        self.detach()
        self._waiting = list(self._kept)
        self._waiting_size = self._kept_size

    def whole(self) -> bytes:
        """Take the body of a stream that has ended before anybody received of it.

        :raises ValueError: it has not.
        """
        if not self.ended or self._receiver is not None or self._waiting_size != self.size:
            raise ValueError("the body is not all here")
        body = b"".join(self._waiting)
        self._drop()
        return body

    def stop_keeping(self) -> None:
        """Give the replay buffer back: the request will not be sent again."""
        self._kept = None

    # --- a filter's side

    async def collect(self, limit: int) -> bytes:
        """Wait for the whole body and return it.

        The stream then still delivers all of it to the next receiver, also after a refusal: looking changes nothing.

        :param limit: bytes; a longer body is refused.
        :raises MeshError: `Kind.TOO_LARGE` past the limit, or what cut the body.
        """
        collector = _Collector(self, limit)
        wanted = getattr(self._producer, "wanted", None)
        if wanted is not None and not self.closed:
            wanted()
        self.attach(collector)
        try:
            return await collector.parked
        finally:
            if self._receiver is collector:
                self.detach()
            self._put_back(collector.pieces)

    def map(self, change: Callable[[bytes], bytes]) -> ByteStream:
        """Return a stream of the same body, each piece passed through `change` on its way.

        Pieces are cut anywhere, and the length of what comes out is not known beforehand.  What `change` raises cuts
        the body.
        """
        return _Mapped(self, change).out

    # --- inside

    def _keep(self, data: bytes) -> None:
        assert self._kept is not None
        self._kept_size += len(data)
        if self._kept_size > REPLAY_LIMIT:
            self._kept = None
        else:
            self._kept.append(data)

    def _put_back(self, pieces: list[bytes]) -> None:
        if pieces and not self.cancelled:
            self._waiting[:0] = pieces
            self._waiting_size += sum(map(len, pieces))
            if self._waiting_size >= BUFFER_LIMIT:
                self._pause_producer()

    def _pause_producer(self) -> None:
        if not self._producer_paused and self._producer is not None and not self.closed:
            self._producer_paused = True
            self._producer.pauseProducing()

    def _resume_producer(self) -> None:
        if self._producer_paused and self._producer is not None and not self.closed:
            self._producer_paused = False
            self._producer.resumeProducing()

    def _flush(self) -> None:
        while self._waiting and self._receiver is not None and not self._paused_by_receiver:
            pieces, self._waiting = self._waiting, []
            self._waiting_size = 0
            self._receiver.body_data(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self._receiver is None or self._paused_by_receiver:
            return
        self._tell()
        self._resume_producer()

    def _settled(self) -> None:
        if self._receiver is not None and not self._paused_by_receiver and not self._waiting:
            self._tell()
        self._notify()

    def _tell(self) -> None:
        receiver = self._receiver
        if receiver is None or self._told:
            return
        if self.error is not None:
            self._told = True
            receiver.body_failed(self.error)
        elif self.ended:
            self._told = True
            receiver.body_ended(self.trailers)
        elif self.cancelled:
            self._told = True
            receiver.body_failed(MeshError(Kind.INTERNAL, "the body was given up before anybody took it"))

    def _notify(self) -> None:
        told, self.on_end = self.on_end, None
        if told is not None:
            told(self)

    def _drop(self) -> None:
        self._waiting.clear()
        self._waiting_size = 0
        self._kept = None


class _Collector:
    """Receives a whole body for `ByteStream.collect`."""

    def __init__(self, stream: ByteStream, limit: int) -> None:
        self.parked: Parked[bytes] = Parked()
        self.pieces: list[bytes] = []
        self._stream = stream
        self._limit = limit
        self._size = 0

    def body_data(self, data: bytes) -> None:
        self._size += len(data)
        self.pieces.append(data)
        if self._size > self._limit and not self.parked.done:
            self._stream.pause()
            self.parked.fail(MeshError(Kind.TOO_LARGE, f"body is over {self._limit} bytes", origin=Origin.CLIENT))

    def body_ended(self, trailers: Trailers) -> None:
        if not self.parked.done:
            self.parked.fire(b"".join(self.pieces))

    def body_failed(self, error: BaseException) -> None:
        if not self.parked.done:
            self.parked.fail(error)


class _Mapped:
    """Receives one stream and produces another, for `ByteStream.map`."""

    def __init__(self, inner: ByteStream, change: Callable[[bytes], bytes]) -> None:
        self._inner = inner
        self._change = change
        self.out = ByteStream(self)
        inner.attach(self)

    @property
    def untaken(self) -> int:
        return self.out.untaken

    def body_data(self, data: bytes) -> None:
        try:
            changed = self._change(data)
            if not isinstance(changed, bytes):
                raise TypeError(f"a piece of a body is bytes, not {changed!r:.100}")
        except Exception as error:
            _log.failure("changing a body failed: {change!r}", change=self._change)
            self._inner.cancel()
            self.out.fail(error)
        else:
            self.out.write(changed)

    def body_ended(self, trailers: Trailers) -> None:
        self.out.end(trailers)

    def body_failed(self, error: BaseException) -> None:
        self.out.fail(error)

    def pauseProducing(self) -> None:
        self._inner.pause()

    def resumeProducing(self) -> None:
        self._inner.resume()

    def stopProducing(self) -> None:
        self._inner.cancel()

"""Two sides of a TCP call joined by copying: a filter looks at the bytes, or the platform has no splice.

A `Copying` is to its owner what a `pair.Pair` is.
"""

from __future__ import annotations

from typing import Callable, Optional

from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.net.pair import CLIENT_RESET, CLOSED, FAILED, STOPPED, UPSTREAM_RESET
from twisted_mesh.net.side import OnDemand, Side
from twisted_mesh.stream import ByteStream, Trailers

# How a pair ends by what cut a stream; by anything else, a filter's doing, it has FAILED.
_HOW = {Kind.CLIENT_GONE: CLIENT_RESET, Kind.RESET: UPSTREAM_RESET}


class _Flow:
    """One direction: a stream's receiver, and the producer of the transport that it writes to."""

    __slots__ = ("_pair", "_stream", "_to", "count", "ended", "paused")

    def __init__(self, pair: Copying, stream: ByteStream, to: Side) -> None:
        self._pair = pair
        self._stream = stream
        self._to = to
        self.count = 0
        self.ended = False
        self.paused = False

    def begin(self) -> None:
        self._to.transport.registerProducer(self, True)
        self._stream.attach(self)

    def body_data(self, data: bytes) -> None:
        self.count += len(data)
        self._pair.moved()
        self._to.write(data)

    def body_ended(self, trailers: Trailers) -> None:
        self.ended = True
        self._pair.flow_ended(self._to)

    def body_failed(self, error: BaseException) -> None:
        self._pair.failed(error)

    def pauseProducing(self) -> None:
        self.paused = True
        self._stream.pause()

    def resumeProducing(self) -> None:
        self.paused = False
        self._stream.resume()

    def stopProducing(self) -> None:
        """The transport is lost; its side tells the pair."""


def _own(side: Side, stream: Optional[ByteStream]) -> Optional[ByteStream]:
    """Return the stream if it is what the side's peer sends and nobody has read it yet."""
    return stream if isinstance(stream, OnDemand) and stream.side is side else None


class Copying:
    """A client's side and the upstream's, joined; or a client's alone, which gets a reply that the mesh made itself.

    :param inward: what the upstream gets: the client's stream, or what a filter made of it.
    :param outward: what the client gets.
    :param now: monotonic seconds.
    :param done: called once with this object, when both connections are gone.

    `bytes_in` and `bytes_out` were passed on to the upstream and to the client, `last_activity` is when the last were;
    `how` says how it ended, "" while it goes on; `error` is what cut a stream.
    """

    def __init__(
        self,
        client: Side,
        upstream: Optional[Side],
        inward: Optional[ByteStream],
        outward: ByteStream,
        now: Callable[[], float],
        done: Callable[[Copying], None],
    ) -> None:
        self._now = now
        self._done = done
        self._client = client
        self._upstream = upstream
        self._sides = [each for each in (client, upstream) if each is not None]
        self._flows = [_Flow(self, outward, client)]
        if upstream is not None and inward is not None:
            self._flows.append(_Flow(self, inward, upstream))
        self._ended = False
        self._told = False
        self.how = ""
        self.error: Optional[BaseException] = None
        self.last_activity = now()
        for each in self._sides:
            each.on_made = self._made
            each.on_lost = self._lost
        # Both connections are made before a byte flows, as it may flow into either at once.
        client.open(_own(client, inward))
        if upstream is not None:
            upstream.open(_own(upstream, outward))
        self._made(client)

    def __repr__(self) -> str:
        return f"<Copying {self.how or 'open'} in={self.bytes_in} out={self.bytes_out}>"

    @property
    def bytes_in(self) -> int:
        return self._flows[1].count if len(self._flows) > 1 else 0

    @property
    def bytes_out(self) -> int:
        return self._flows[0].count

    def stop(self, *, reset: bool = True) -> None:
        """End it now; the peers see a RST, or else a FIN behind what was passed on."""
        # With something left that one side did not take, a FIN would say that it had been all.
        self._finish(STOPPED, reset or any(each.paused for each in self._flows))

    @property
    def untaken(self) -> tuple[int, ...]:
        """How many bytes each peer has not taken yet."""
        return tuple(0 if each.transport is None else each.transport.untaken for each in self._sides)

    # --- what the flows and the sides tell

    def moved(self) -> None:
        self.last_activity = self._now()

    def flow_ended(self, to: Side) -> None:
        if self._ended:
            return
        if all(each.ended for each in self._flows):
            self._finish(CLOSED, reset=False)
        else:
            to.end()

    def failed(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error
        kind = error.kind if isinstance(error, MeshError) else Kind.INTERNAL
        self._finish(_HOW.get(kind, FAILED), reset=True)

    def _made(self, side: Side) -> None:
        if any(each.transport is None for each in self._sides) or self._ended:
            return
        for each in self._flows:
            if not self._ended:
                each.begin()

    def _lost(self, side: Side) -> None:
        if side.reset:
            self._finish(CLIENT_RESET if side is self._client else UPSTREAM_RESET, reset=True)
        self._tell()

    def _finish(self, how: str, reset: bool) -> None:
        if self._ended:
            return
        self._ended = True
        self.how = how
        for each in self._sides:
            if reset:
                each.abort()
            elif self._upstream is None:
                each.finish()
            else:
                each.close()
        self._tell()

    def _tell(self) -> None:
        if self._ended and not self._told and all(each.lost for each in self._sides):
            self._told = True
            self._done(self)

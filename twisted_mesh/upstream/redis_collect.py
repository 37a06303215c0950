"""Large replies that have to be put between others, and so are kept whole."""

from __future__ import annotations

from typing import Callable, Optional

from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.stream import ByteStream, Trailers

# What the replies to one call may take, of all servers together: many a pipeline of large values fits in, and some
# times as much for the copies that are made of it does not end a process.
ROOM = 256 * 1024 * 1024
# What replies to several commands may take that are kept so that it is seen whether all of them were carried out.
MOST = 16 * 1024 * 1024


class Room:
    """The bytes that the replies to one call may take as long as they are put together."""

    __slots__ = ("left",)

    def __init__(self, left: int = ROOM) -> None:
        self.left = left


class Collect:
    """Takes in replies that are passed on as they come, as far as there is room.

    :param room: what those of the other servers of the call have left.
    :param whole: is called with all of it.
    :param failed: is called if it breaks off, or is too much.
    """

    __slots__ = ("_body", "_failed", "_pieces", "_room", "_size", "_whole")

    def __init__(
        self,
        body: ByteStream,
        room: Room,
        whole: Callable[[bytes], None],
        failed: Callable[[MeshError], None],
    ) -> None:
        self._body = body
        self._room = room
        self._whole = whole
        self._failed = failed
        self._pieces: list[bytes] = []
        self._size = 0
        body.attach(self)

    def __repr__(self) -> str:
        return f"<Collect {self._size} bytes>"

    def body_data(self, data: bytes) -> None:
        """Keep a piece."""
        self._pieces.append(data)
        self._size += len(data)
        self._room.left -= len(data)
        if self._room.left < 0:
            self._pieces = []
            # There is room for what others say.
            self._room.left += self._size
            self._body.cancel()
            detail = f"more than {ROOM} bytes of replies from several servers"
            self._failed(MeshError(Kind.TOO_LARGE, detail))

    def body_ended(self, trailers: Trailers) -> None:
        """All is here."""
        self._whole(b"".join(self._pieces))

    def body_failed(self, error: BaseException) -> None:
        """It breaks off."""
        self._failed(error if isinstance(error, MeshError) else MeshError(Kind.RESET, "the reply was cut"))


class Look:
    """Takes in replies that are passed on as they come, so that they can be looked at, up to `MOST` bytes.

    :param whole: is called with all of it.
    :param failed: is called if it breaks off before.
    :param longer: is called with a stream of all of it if there is more.
    """

    __slots__ = ("_body", "_failed", "_longer", "_out", "_pieces", "_size", "_whole")

    def __init__(
        self,
        body: ByteStream,
        whole: Callable[[bytes], None],
        failed: Callable[[MeshError], None],
        longer: Callable[[ByteStream], None],
    ) -> None:
        self._body = body
        self._whole = whole
        self._failed = failed
        self._longer = longer
        self._pieces: list[bytes] = []
        self._size = 0
        # What takes it on, once it is too long.
        self._out: Optional[ByteStream] = None
        body.attach(self)

    def __repr__(self) -> str:
        return f"<Look at {self._size} bytes>"

    def body_data(self, data: bytes) -> None:
        """Keep a piece, or pass it on."""
        if self._out is not None:
            self._out.write(data)
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._size > MOST:
            pieces, self._pieces = self._pieces, []
            self._out = ByteStream(self)
            self._out.write(b"".join(pieces))
            self._longer(self._out)

    def body_ended(self, trailers: Trailers) -> None:
        """All is here."""
        if self._out is None:
            self._whole(b"".join(self._pieces))
        else:
            self._out.end()

    def body_failed(self, error: BaseException) -> None:
        """It breaks off."""
        if self._out is None:
            self._failed(error if isinstance(error, MeshError) else MeshError(Kind.RESET, "the reply was cut"))
        else:
            self._out.fail(error)

    def pauseProducing(self) -> None:
        """Its reader cannot take more."""
        self._body.pause()

    def resumeProducing(self) -> None:
        """It can."""
        self._body.resume()

    def stopProducing(self) -> None:
        """Nobody wants the rest."""
        self._body.cancel()

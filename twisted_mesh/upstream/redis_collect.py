"""Large replies that have to be put between others, and so are kept whole."""

from __future__ import annotations

from typing import Callable

from twisted_mesh.codec.resp import BULK_LIMIT
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.stream import ByteStream, Trailers


class Collect:
    """Takes in replies that are passed on as they come, up to the size that one string may have.

    :param whole: is called with all of it.
    :param failed: is called if it breaks off, or is too much.
    """

    __slots__ = ("_body", "_failed", "_pieces", "_size", "_whole")

    def __init__(self, body: ByteStream, whole: Callable[[bytes], None], failed: Callable[[MeshError], None]) -> None:
        self._body = body
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
        if self._size > BULK_LIMIT:
            self._pieces = []
            self._body.cancel()
            detail = f"replies of more than {BULK_LIMIT} bytes from one of several servers"
            self._failed(MeshError(Kind.TOO_LARGE, detail))

    def body_ended(self, trailers: Trailers) -> None:
        """All is here."""
        self._whole(b"".join(self._pieces))

    def body_failed(self, error: BaseException) -> None:
        """It breaks off."""
        self._failed(error if isinstance(error, MeshError) else MeshError(Kind.RESET, "the reply was cut"))

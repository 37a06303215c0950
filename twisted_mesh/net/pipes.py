"""A bounded pool of pipes, for moving bytes in the kernel."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Optional

# Names that fcntl has on Linux only.
_SET_SIZE: int = getattr(fcntl, "F_SETPIPE_SZ", 1031)
_GET_SIZE: int = getattr(fcntl, "F_GETPIPE_SZ", 1032)

# Bytes of one pipe.  Measured with one bulk connection through splice: 400 us of CPU per MB with 64 KiB, 310 with
# 256 KiB, 290 with 1 MiB (Envoy, copying: 570).  Linux counts a pipe whole against its user, full or empty.
SIZE = 256 * 1024
# One user without privileges may have 16,384 pages of pipes (fs.pipe-user-pages-soft) in all processes together; each
# pipe beyond is cut to two pages.  64 pipes of 256 KiB are a quarter of that, so that four sidecars of one user fit.
LIMIT = 64
# A smaller pipe is not worth having: copying is faster.
_SMALLEST = 64 * 1024


class Pipe:
    """Two file descriptors, and how many bytes are between them."""

    __slots__ = ("held", "reader", "writer")

    def __init__(self, reader: int, writer: int) -> None:
        self.reader = reader
        self.writer = writer
        self.held = 0

    def __repr__(self) -> str:
        return f"<Pipe {self.reader} {self.writer} holds {self.held} bytes>"

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


class Pipes:
    """Pipes that are borrowed while bytes are in them.

    `made` counts those that exist, `idle` are those that nobody has borrowed, `refused` counts how often there was
    none to be had.
    """

    def __init__(self, limit: int = LIMIT, size: int = SIZE) -> None:
        self._size = size
        self.limit = limit
        self.made = 0
        self.refused = 0
        self.idle: list[Pipe] = []

    def __repr__(self) -> str:
        return f"<Pipes {self.made} of {self.limit}, {len(self.idle)} idle>"

    def borrow(self) -> Optional[Pipe]:
        """Return an empty pipe, or None if there is none to be had: then copy."""
        if self.idle:
            return self.idle.pop()
        if self.made < self.limit:
            pipe = self._make()
            if pipe is not None:
                self.made += 1
                return pipe
        self.refused += 1
        return None

    def give_back(self, pipe: Pipe) -> None:
        """Take a pipe back; one that still holds bytes, as its connection was cut, is closed."""
        if pipe.held or self.made > self.limit:
            self.made -= 1
            pipe.close()
        else:
            self.idle.append(pipe)

    def close(self) -> None:
        """Lend no more, and close each pipe when it is idle."""
        self.limit = 0
        while self.idle:
            self.made -= 1
            self.idle.pop().close()

    def _make(self) -> Optional[Pipe]:
        try:
            pipe = Pipe(*os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                return None
            raise
        try:
            fcntl.fcntl(pipe.writer, _SET_SIZE, self._size)
        except OSError:
            # The user's allowance is used up, or pipe-max-size is lower: the pipe may do as it is.
            pass
        if fcntl.fcntl(pipe.writer, _GET_SIZE) >= _SMALLEST:
            return pipe
        # Do not ask again each time: that costs four system calls.
        pipe.close()
        self.limit = self.made
        return None

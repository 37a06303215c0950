"""A thread that writes lines to one file, so that a slow, stuck or full disk holds up nobody else.

What it has taken and not yet written is bounded; what comes on top is refused and counted.  A write that fails is tried
again until it works, so a FIFO whose reader restarts or a disk that is full for a while costs only what exceeds the
bound.  Formatting does not belong here: a thread that runs Python holds the interpreter for 5 ms at a time, one that
writes holds nothing.
"""

from __future__ import annotations

import errno
import os
import select
import threading
from collections import deque
from typing import Optional

# Bytes taken and not yet written: a few seconds of a busy sidecar.
LIMIT = 8 * 1024 * 1024
# Seconds between two tries of a write that failed.
RETRY = 0.5
# Milliseconds between two looks whether a full FIFO has been given up.
LOOK = 500
# What a client sent is nobody else's business: the owner writes, the group may read.
MODE = 0o640

STDOUT = "-"
_STDOUT_FD = 1
# The file is as it was and can be written on with: the space may come back.
_KEEP_OPEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

# An entry of the queue: bytes and how many lines they are; None stands for "open the file anew".
_Entry = Optional[tuple[bytes, int]]


class LogWriter:
    """Appends to the file at `path`; "-" is the standard output.

    The thread starts with the first write and ends after `finish`; another write starts it again.  `written`,
    `dropped`, `errors` and `reopens` count, `error` says what is wrong now ("" when all is well).
    """

    def __init__(self, path: str, limit: int = LIMIT, retry: float = RETRY) -> None:
        self.path = path
        self.written = 0
        self.dropped = 0
        self.errors = 0
        self.reopens = 0
        self.error = ""
        self._limit = limit
        self._retry = retry
        self._wake = threading.Condition()
        self._queue: deque[_Entry] = deque()
        self._queued = 0
        self._thread: Optional[threading.Thread] = None
        self._finishing = False
        self._abandoned = False
        self._fd = -1
        # The file ends in the middle of a line.
        self._torn = False

    def __repr__(self) -> str:
        return f"<LogWriter {self.path} written={self.written} dropped={self.dropped} queued={self._queued}>"

    @property
    def pending(self) -> int:
        """How many bytes were taken and are not yet written."""
        return self._queued

    @property
    def room(self) -> int:
        """How many bytes it would take now."""
        return self._limit - self._queued

    @property
    def idle(self) -> bool:
        """Whether the thread has ended, with everything written or counted as dropped."""
        return self._thread is None

    def write(self, data: bytes, lines: int) -> bool:
        """Take whole lines to be written; return False, and count them as dropped, if there is no room."""
        with self._wake:
            if self._abandoned or self._queued + len(data) > self._limit:
                self.dropped += lines
                return False
            self._queue.append((data, lines))
            self._queued += len(data)
            self._finishing = False
            if self._thread is None and not self._start():
                self._drop_queue()
                return False
            self._wake.notify()
        return True

    def reopen(self) -> None:
        """Close the file after what was taken so far and open its path anew, for those who rename logs."""
        with self._wake:
            if self._thread is not None and self.path != STDOUT:
                self._queue.append(None)
                self._wake.notify()

    def finish(self) -> None:
        """End the thread and close the file once all is written.  A write that fails now is not tried again."""
        with self._wake:
            self._finishing = True
            self._wake.notify()

    def abandon(self) -> None:
        """Give up: count what is not written as dropped.  The thread ends when the system lets go of it."""
        with self._wake:
            self._abandoned = self._finishing = True
            self._drop_queue()
            self._wake.notify()

    def _start(self) -> bool:
        # A daemon thread: one that is stuck in a write must not keep the process from ending.
        thread = threading.Thread(target=self._run, name=f"log {self.path}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._failed(error)
            return False
        self._thread = thread
        return True

    def _drop_queue(self) -> None:
        for entry in self._queue:
            if entry is not None:
                self.dropped += entry[1]
                self._queued -= len(entry[0])
        self._queue.clear()

    # --- in the thread

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._finishing:
                    self._wake.wait()
                if not self._queue:
                    fd, self._fd = self._fd, -1
                    self._thread = None
                    break
                entry = self._queue.popleft()
            if entry is None:
                self._renew()
            else:
                self._put(*entry)
        _close(fd)

    def _put(self, data: bytes, lines: int) -> None:
        sent = 0
        while sent < len(data):
            try:
                if self._fd < 0:
                    # Another file, or another reader: begin with a whole line.
                    sent = data.rfind(b"\n", 0, sent) + 1
                    self._fd = self._open()
                if self._torn:
                    self._torn = os.write(self._fd, b"\n") != 1
                sent += os.write(self._fd, memoryview(data)[sent:])
            except BlockingIOError:
                if not self._wait_writable():
                    break
            except OSError as error:
                self._failed(error)
                if error.errno not in _KEEP_OPEN:
                    self._torn = self._torn or _torn(data, sent)
                    self._close()
                if not self._wait_retry():
                    break
        rest = data.count(b"\n", sent)
        with self._wake:
            self.written += lines - rest
            self.dropped += rest
            self._queued -= len(data)
            if not rest:
                self.error = ""
        self._torn = self._torn or _torn(data, sent)

    def _renew(self) -> None:
        try:
            fd = self._open()
        except OSError as error:
            # Better the old file than none.
            self._failed(error)
            return
        self._close()
        self._fd = fd
        self._torn = False
        self.reopens += 1

    def _open(self) -> int:
        if self.path == STDOUT:
            return _STDOUT_FD
        # Not blocking: a FIFO that nobody reads answers ENXIO instead of never.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        return os.open(self.path, flags, MODE)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        _close(fd)

    def _failed(self, error: Exception) -> None:
        self.errors += 1
        self.error = str(error)

    def _wait_writable(self) -> bool:
        """Wait until a FIFO has room; False if it was given up."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        while not self._abandoned:
            if poll.poll(LOOK):
                return True
        return False

    def _wait_retry(self) -> bool:
        """Wait until it is time to try again; False if there shall be no other try."""
        with self._wake:
            self._wake.wait_for(lambda: self._finishing, self._retry)
            return not self._finishing


def _torn(data: bytes, sent: int) -> bool:
    return sent > 0 and data[sent - 1 : sent] != b"\n"


def _close(fd: int) -> None:
    if fd in (-1, _STDOUT_FD):
        return
    try:
        os.close(fd)
    except OSError:
        # Linux has closed it all the same; what could not be written was reported by the write.
        return

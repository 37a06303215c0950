"""Log files as the loop sees them: lines gathered for a moment, then given to the thread that writes.

Several filters may write to one path; `LogFiles` gives them one `LogFile`.  A batch is handed over every quarter of a
second, or as soon as it is worth a system call: each hand-over wakes a thread, which is not free.
"""

from __future__ import annotations

from typing import Callable, Iterable, Optional, Protocol

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from twisted_mesh.families import Families
from twisted_mesh.logwriter import LIMIT, LogWriter

# Seconds that a line may wait.
FLUSH_INTERVAL = 0.25
# Bytes that are worth a system call of their own.
HAND_OVER = 128 * 1024
# Seconds between two log lines about the same file.
REPORT_INTERVAL = 10.0
# Seconds that the end of the process waits for what is not written.
CLOSE_LIMIT = 2.0
_CLOSE_LOOK = 0.01

_log = Logger()


class Batch(Protocol):
    """Whoever gathers records for a file."""

    def flush(self) -> None:
        """Write what was gathered to the file."""


class LogFile:
    """One file of log lines.  `wake` says that there is something to flush; `write` takes formatted lines."""

    def __init__(self, path: str, clock: IReactorTime, families: Families, writer: LogWriter) -> None:
        self.path = path
        self._clock = clock
        self._writer = writer
        self._waiting: dict[Batch, None] = {}
        self._pieces: list[bytes] = []
        self._size = 0
        self._lines = 0
        self._lost = 0
        self._timer: Optional[IDelayedCall] = None
        self._reported = (0, 0)
        self._reported_at: Optional[float] = None
        self._cells = (
            families.log_lines.labels(path),
            families.log_dropped.labels(path),
            families.log_errors.labels(path),
            families.log_reopens.labels(path),
        )
        families.registry.on_collect(self._count)

    def __repr__(self) -> str:
        return f"<LogFile {self.path} waiting={len(self._waiting)} bytes={self._size} {self._writer!r}>"

    @property
    def full(self) -> bool:
        """Whether lines would be lost anyway, so that nobody need format them: use `lose` instead."""
        return self._size + HAND_OVER > self._writer.room

    def wake(self, batch: Batch) -> None:
        """Have `batch.flush()` called within `FLUSH_INTERVAL`."""
        self._waiting[batch] = None
        if self._timer is None:
            self._timer = self._clock.callLater(FLUSH_INTERVAL, self._tick)

    def write(self, data: bytes, lines: int) -> None:
        """Take whole lines.  Call it from `Batch.flush`, so that they do not wait for ever."""
        self._pieces.append(data)
        self._size += len(data)
        self._lines += lines
        if self._size >= HAND_OVER:
            self._hand_over()

    def lose(self, lines: int) -> None:
        """Count lines that were not even formatted."""
        self._lost += lines

    def flush(self) -> None:
        """Hand over everything that was gathered."""
        waiting, self._waiting = self._waiting, {}
        for each in waiting:
            each.flush()
        self._hand_over()

    def reopen(self) -> None:
        """Write what there is to the file that is open, and then open the path anew."""
        self.flush()
        self._writer.reopen()

    def rest(self) -> None:
        """Close the file after what there is; the next line opens it again."""
        self.flush()
        self._writer.finish()

    def close(self) -> Deferred[None]:
        """Write what there is and close; what takes longer than `CLOSE_LIMIT` is lost."""
        self.rest()
        done: Deferred[None] = Deferred()
        self._await_end(done, self._clock.seconds() + CLOSE_LIMIT)
        return done

    def _await_end(self, done: Deferred[None], deadline: float) -> None:
        if self._writer.idle or self._clock.seconds() >= deadline:
            if not self._writer.idle:
                self._writer.abandon()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._reported_at = None
            self._report()
            done.callback(None)
        else:
            self._clock.callLater(_CLOSE_LOOK, self._await_end, done, deadline)

    def _hand_over(self) -> None:
        if self._pieces:
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._writer.write(data, self._lines)
            self._size = self._lines = 0

    def _tick(self) -> None:
        self._timer = None
        self.flush()
        # Trouble shows later than the batch that met it: look again while anything is on its way.
        quiet = self._report()
        if self._timer is None and (not quiet or self._writer.pending):
            self._timer = self._clock.callLater(FLUSH_INTERVAL, self._tick)

    def _report(self) -> bool:
        """Say what went wrong since the last time, not too often; returns whether there is nothing left to say."""
        state = (self._writer.errors, self._writer.dropped + self._lost)
        if state == self._reported:
            return True
        now = self._clock.seconds()
        if self._reported_at is not None and now - self._reported_at < REPORT_INTERVAL:
            return False
        self._reported, self._reported_at = state, now
        _log.error(
            "access log {path}: {reason}; {dropped} lines lost since the start",
            path=self.path,
            reason=self._writer.error or "written too slowly",
            dropped=state[1],
        )
        return True

    def _count(self) -> None:
        lines, dropped, errors, reopens = self._cells
        writer = self._writer
        lines.value = writer.written
        dropped.value = writer.dropped + self._lost
        errors.value = writer.errors
        reopens.value = writer.reopens


class LogFiles:
    """The log files of a process, one for each path.

    :param wall: seconds since the epoch, for the times in the lines.
    """

    def __init__(self, clock: IReactorTime, wall: Callable[[], float], families: Families, limit: int = LIMIT) -> None:
        self.clock = clock
        self.wall = wall
        self._families = families
        self._limit = limit
        self._files: dict[str, LogFile] = {}

    def __repr__(self) -> str:
        return f"<LogFiles {list(self._files.values())!r}>"

    def get(self, path: str) -> LogFile:
        """Return the file at `path`; nothing is opened before the first line."""
        file = self._files.get(path)
        if file is None:
            writer = LogWriter(path, self._limit)
            file = self._files[path] = LogFile(path, self.clock, self._families, writer)
        return file

    def reopen(self) -> None:
        """Open every file anew, after a rename: what SIGUSR1 asks for.  No line is lost."""
        for each in self._files.values():
            each.reopen()

    def keep(self, paths: Iterable[str]) -> None:
        """Close the files that no configuration names any more; calls that are still in flight open them again."""
        kept = set(paths)
        for path, file in self._files.items():
            if path not in kept:
                file.rest()

    def close(self) -> Deferred[None]:
        """Write everything, waiting no longer than `CLOSE_LIMIT`."""
        done = gatherResults([each.close() for each in self._files.values()])
        return done.addCallback(lambda results: None)

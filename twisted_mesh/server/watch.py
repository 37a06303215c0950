"""Noticing by itself that the configuration has changed.

Files are polled: it costs a few system calls a second, and works on every file system, over every kind of mount (a
Kubernetes ConfigMap changes by a symlink far above the file), and for every editor (many write a new file and rename).
"""

from __future__ import annotations

import os
from typing import Callable, Optional

from twisted.internet.interfaces import IDelayedCall, IReactorTime

# Seconds between two looks.
INTERVAL = 1.0
# Seconds until the next look after one that found something new.
SOON = 0.2
SUFFIXES = (".yaml", ".yml")

State = tuple[tuple[str, int, int, int], ...]


def state_of(path: str) -> State:
    """Return what tells whether a configuration has changed: name, inode, size and time of each file."""
    found = []
    for each in _files(path):
        try:
            status = os.stat(each)
        except OSError:
            found.append((each, 0, 0, 0))
        else:
            found.append((each, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


def _files(path: str) -> list[str]:
    try:
        names = sorted(each.name for each in os.scandir(path) if each.name.endswith(SUFFIXES))
    except OSError:
        # A file, or nothing at all.
        return [path]
    return [os.path.join(path, each) for each in names]


class Watch:
    """Calls `changed` after a file under `path` changed and has been quiet for one look.

    The quiet look keeps a file that is still being written, and a directory whose files change one after the other,
    from being read half done.
    """

    def __init__(self, path: str, clock: IReactorTime, changed: Callable[[], None]) -> None:
        self._path = path
        self._clock = clock
        self._changed = changed
        self._known: State = ()
        self._last: State = ()
        self._timer: Optional[IDelayedCall] = None

    def start(self) -> None:
        """Begin; unless `known` was told otherwise, what is there now is no news."""
        if not self._known:
            self.known(state_of(self._path))
        self._again(INTERVAL)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def known(self, state: State) -> None:
        """Take `state` as read, so that it is no news."""
        self._known = self._last = state

    def _again(self, seconds: float) -> None:
        self._timer = self._clock.callLater(seconds, self._look)

    def _look(self) -> None:
        state = state_of(self._path)
        quiet = state == self._last
        self._last = state
        self._again(INTERVAL if quiet else SOON)
        if quiet and state != self._known:
            self._known = state
            self._changed()

"""The exit status of the process.

twistd ends with status 0 whenever the reactor stopped, so a drain that had to cut calls needs a way past it.
"""

from __future__ import annotations

import atexit
import os
import sys


class Ending:
    """What the process ends with: `status`, unless it is 0, which leaves it to whoever started the process."""

    def __init__(self) -> None:
        self.status = 0
        self._prepared = False

    def prepare(self) -> None:
        """Have `status` count when the interpreter ends.  Early, so that all other exit functions run before."""
        if not self._prepared:
            self._prepared = True
            atexit.register(self._end)

    def _end(self) -> None:
        if self.status:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self.status)


# A process ends once.
ending = Ending()

"""When the garbage collector runs.

A full collection of a configured sidecar looks at some 200,000 objects that will live until the next reload, and stops
every call for 20 ms and more.  So what has been set up is taken out of the collector's sight (``gc.freeze``), and calls
make no cycles: what is collected is small and young.
"""

from __future__ import annotations

import gc

# Objects made, less those gone, before the youngest are looked at (0.3 ms for this many); the older generations follow
# after so many rounds of the younger.  CPython's own are 700, 10, 10.
THRESHOLDS = (10_000, 20, 50)


def begin() -> None:
    """The process starts: what it imports and builds stays, so looking for garbage in it is wasted."""
    gc.disable()


def settle_first() -> None:
    """The process is set up: set it aside, and collect from now on.

    Not looked through before: that takes 30 ms, and finds 0.7 MiB.
    """
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()


def set_aside() -> None:
    """Part of a new world has been built: set it aside.

    This takes no time.  A collection would look at all that is new, again and again while a large world is built; so
    garbage that hangs in cycles stays until `settle_idle`.
    """
    gc.freeze()


def settle_idle() -> None:
    """Nobody waits for anything: look at everything once."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()

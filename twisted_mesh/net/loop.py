"""The event loop under Twisted's asyncio reactor.

Everything in `net` is given the running loop, uvloop's or plain asyncio's, and uses nothing of it that only one of
them has.
"""

from __future__ import annotations

import asyncio
from typing import Any


def loop_of(reactor: Any) -> asyncio.AbstractEventLoop:
    """Return the loop that a Twisted reactor runs on.

    :raises TypeError: the reactor is not Twisted's asyncio reactor, so the data plane's sockets have nowhere to run.
    """
    # Twisted has no public name for it.
    loop = getattr(reactor, "_asyncioEventloop", None)
    if not isinstance(loop, asyncio.AbstractEventLoop):
        raise TypeError(
            f"the data plane needs Twisted's asyncio reactor, and this process runs {type(reactor).__name__}; "
            "something imported another reactor first"
        )
    return loop

"""The reactor: Twisted's asyncio reactor on a uvloop loop, with a monotonic clock.

It must be installed before anything imports ``twisted.internet.reactor``, as that import would install another.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from twisted.internet.asyncioreactor import AsyncioSelectorReactor


class ReactorTaken(Exception):
    """Another reactor was installed before ours; the message says which, and by whom where that can be seen."""


class MeshReactor(AsyncioSelectorReactor):
    """Twisted's asyncio reactor, with a clock that nobody can set back.

    Twisted's own ``seconds`` is ``time.time``: after the machine's clock was set back an hour, every timer would be an
    hour late.
    """

    seconds = staticmethod(time.monotonic)


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a uvloop loop, or a plain one where there is no uvloop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def install_reactor() -> MeshReactor:
    """Install the reactor, or return it if that was done before.

    :raises ReactorTaken: there is another.
    """
    taken = sys.modules.get("twisted.internet.reactor")
    if taken is not None:
        if isinstance(taken, MeshReactor):
            return taken
        raise ReactorTaken(_who_took_it(taken))
    from twisted.internet.main import installReactor

    loop = new_loop()
    asyncio.set_event_loop(loop)
    reactor = MeshReactor(loop)
    installReactor(reactor)
    return reactor


def _who_took_it(taken: Any) -> str:
    what = f"another reactor is installed, {type(taken).__name__}, and the mesh needs its own"
    if any(each == "-r" or each.startswith("--reactor") for each in sys.argv):
        return f"{what}: leave out --reactor"
    users = sorted(
        name
        for name, module in list(sys.modules.items())
        if getattr(module, "reactor", None) is taken and not name.startswith(("twisted.internet", "twisted.scripts"))
    )
    if users:
        return f"{what}: it was imported by {', '.join(users)}"
    return f"{what}: some twistd plugin imports twisted.internet.reactor at its top"

"""Where the loop comes from."""

from __future__ import annotations

import asyncio

import pytest
from twisted.internet.task import Clock

from twisted_mesh.net.loop import loop_of


def test_loop_of() -> None:
    """The loop of Twisted's asyncio reactor is found; any other reactor is refused with a reason."""
    loop = asyncio.new_event_loop()

    class Reactor:
        _asyncioEventloop = loop

    assert loop_of(Reactor()) is loop
    loop.close()
    with pytest.raises(TypeError, match="asyncio reactor, and this process runs Clock"):
        loop_of(Clock())

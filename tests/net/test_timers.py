"""Timers that net sets on the loop."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.net.support import until
from twisted_mesh.net.timers import later, pending


def test_what_is_set_is_pending_until_it_is_due_or_cancelled(run: Any) -> None:
    async def go() -> None:
        loop = asyncio.get_running_loop()
        before = pending(loop.time())
        due: list[str] = []
        held = later(loop, 1000.0, due.append, "late")
        later(loop, 1000.0, due.append, "never held")
        soon = later(loop, 0.01, due.append, "soon")
        assert pending(loop.time()) >= before + 2
        await until(lambda: due == ["soon"], "the one that is due")
        # uvloop counts in milliseconds, and may be up to one early.
        await until(lambda: pending(loop.time()) == before + 2, "the time of the one that was due")
        held.cancel()
        assert pending(loop.time()) == before + 1
        assert soon.when() <= loop.time()

    run(go())

"""Scripts at a real server without a reactor: each runs at once."""

from __future__ import annotations

from typing import Any, Sequence

from twisted.internet.defer import Deferred, fail, succeed

from tests.servers import Conversation, Refused
from twisted_mesh.bus.client import Script
from twisted_mesh.bus.errors import refusal


class Direct:
    """Stands in for `twisted_mesh.bus.client.Redis`: the same answers from the same server, before anything else."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.connected = True
        self.on_up: list[Any] = []
        self.on_down: list[Any] = []
        self.ran: list[str] = []

    def script(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Deferred[Any]:
        """Run a script."""
        self.ran.append(script.name)
        try:
            return succeed(self.conversation("EVAL", script.text, len(keys), *keys, *args))
        except Refused as error:
            return fail(refusal("direct", str(error)))


def result_of(work: Any) -> Any:
    """Return what a coroutine or a Deferred gives, which it must have done already."""
    results: list[Any] = []
    asked = work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)
    asked.addBoth(results.append)
    assert results, "it waits"
    if hasattr(results[0], "raiseException"):
        results[0].raiseException()
    return results[0]

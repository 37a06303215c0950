"""A connection to a real server for the configuration store, whose replies can be lost."""

from __future__ import annotations

from typing import Any, Callable, Optional, Sequence

from twisted.internet.defer import Deferred, fail, succeed

from tests.bus.direct import Direct
from tests.servers import Server
from twisted_mesh.bus.client import Script
from twisted_mesh.bus.errors import BusError


class AtOnce(Direct):
    """What `twisted_mesh.bus.client.Redis` promises, with answers that are there at once.

    :ivar lose: takes a script, and says whether its reply is lost though it ran.
    """

    def __init__(self, server: Server) -> None:
        super().__init__(server.connect())
        self.lose: Callable[[Script], bool] = lambda script: False

    def command(self, *args: Any, timeout: Optional[float] = None) -> Deferred[Any]:
        return succeed(self.conversation(*args))

    def script(
        self, script: Script, keys: Sequence[Any], args: Sequence[Any], timeout: Optional[float] = None
    ) -> Deferred[Any]:
        answer = super().script(script, keys, args)
        if not self.lose(script):
            return answer
        answer.addErrback(lambda failure: None)
        return fail(BusError("timeout", "no answer in time", sent=True))

    def up(self, timeout: float = 10.0) -> Deferred[None]:
        return succeed(None)

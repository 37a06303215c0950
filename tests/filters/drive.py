"""Driving one call through filters, on a Clock."""

from __future__ import annotations

import gc
from typing import Any, Callable, Optional, Union

from tests.upstream.fakes import FakeEnv
from twisted_mesh.call import Body, Call, Reply
from twisted_mesh.chain import Driver
from twisted_mesh.errors import MeshError
from twisted_mesh.headers import Headers
from twisted_mesh.interfaces import Proceed

__all__ = ["FakeEnv", "Run", "Script", "a_call", "cycles_left"]

Step = Union[Reply, BaseException, Callable[[Call], Reply]]


def a_call(method: str = "GET", body: Body = b"", protocol: str = "http", **headers: str) -> Call:
    """A call as an adapter makes it."""
    call = Call(
        protocol, "edge", method, Headers.of([(name.replace("_", "-"), value) for name, value in headers.items()])
    )
    call.host = "shop.example"
    call.authority = "shop.example:8080"
    call.resource = "/api/x"
    call.target = b"/api/x?y=1"
    call.body = body
    return call


class Run:
    """Drives a call through `proceed` until it waits or ends; `result` is the reply or the error then."""

    def __init__(self, proceed: Proceed, call: Call) -> None:
        self.result: Union[Reply, BaseException, None] = None
        self.driver = Driver(call, self._done)
        self.driver.start(proceed)

    def _done(self, call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        assert self.result is None
        self.result = error if reply is None else reply

    @property
    def reply(self) -> Reply:
        assert isinstance(self.result, Reply), self.result
        return self.result

    @property
    def error(self) -> MeshError:
        assert isinstance(self.result, MeshError), self.result
        return self.result


class Script:
    """An innermost `proceed` that does one step of a script for each try; the last step is done again and again."""

    def __init__(self, *steps: Step, endpoints: Any = ()) -> None:
        self.steps = list(steps)
        self.endpoints = list(endpoints)
        self.tries = 0
        self.tried: list[tuple[Any, ...]] = []

    async def __call__(self, call: Call) -> Reply:
        step = self.steps[min(self.tries, len(self.steps) - 1)]
        if self.endpoints:
            call.endpoint = self.endpoints[min(self.tries, len(self.endpoints) - 1)]
        self.tries += 1
        self.tried.append(call.tried)
        if isinstance(step, BaseException):
            raise step
        return step if isinstance(step, Reply) else step(call)


def cycles_left(once: Callable[[], None]) -> int:
    """Return how many objects only the garbage collector finds after ten times `once`.

    The least of five rounds: threads that other tests have started may leave something of their own in one of them.
    """
    least = 1_000_000
    for _ in range(5):
        once()
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                once()
            least = min(least, gc.collect())
        finally:
            gc.enable()
        if not least:
            break
    return least

"""An upstream that does as it is told, and remembers what it got."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Awaitable, Callable, Optional, Sequence, Union

from twisted.internet.interfaces import IReactorTime

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import MeshError
from twisted_mesh.headers import Headers
from twisted_mesh.interfaces import Env
from twisted_mesh.model import Address
from twisted_mesh.park import Parked
from twisted_mesh.redis_call import RedisCall, RedisReply
from twisted_mesh.stream import ByteStream, Trailers
from twisted_mesh.upstream.endpoint import Endpoint

# What a fake upstream reads of one request body.
BODY_LIMIT = 64 * 1024 * 1024


class Hang:
    """The upstream takes the call and never answers."""


HANG = Hang()


@dataclass(frozen=True)
class After:
    """The upstream takes `seconds` before it does as `then` says."""

    seconds: float
    then: Step


@dataclass(frozen=True)
class Streamed:
    """A reply whose body comes in pieces, one every `every` seconds, the first at once.

    With `cut` the body does not end but fails with that error.
    """

    pieces: Sequence[bytes]
    every: float = 0.1
    status: int = 200
    trailers: Trailers = ()
    cut: Optional[MeshError] = None


Step = Union[Reply, MeshError, Hang, After, Streamed, Callable[[Call], Any]]
"""What a fake upstream does with a call; a function is asked for the step, and may be a coroutine."""


@dataclass
class Received:
    """A call as it reached the upstream.  `body` is whole once it has come whole."""

    operation: str
    target: str
    host: str
    headers: Headers
    endpoint: str
    body: bytes = b""
    cancelled: bool = False
    call: Optional[Call] = field(default=None, repr=False)


class FakeUpstream:
    """Stands in for a cluster: takes calls, and answers them by its script.

    ``FakeUpstream(MeshError(Kind.RESET, retryable=True), Reply(200))`` fails the first call and answers the second.
    The last step is for all calls that follow; without any, every call gets an empty 200.  A Redis call is answered
    with a `RedisReply`, as in ``FakeUpstream(RedisReply(b":1\\r\\n"))``; any other reply is ``+OK`` to each command.

    `received` holds what came, in order.
    """

    def __init__(self, *script: Step, endpoints: Sequence[str] = ("10.0.0.1:80",), name: str = "fake") -> None:
        self.name = name
        self.endpoints = tuple(Endpoint(Address.parse(each)) for each in endpoints)
        self.received: list[Received] = []
        self.env: Optional[Env] = None
        self._script: list[Step] = list(script) or [Reply(200)]
        self._turn = 0

    def __repr__(self) -> str:
        active = sum(each.active for each in self.endpoints)
        return f"<FakeUpstream {self.name} received={len(self.received)} active={active}>"

    async def forward(self, call: Call) -> Reply:
        """Take a call; the innermost `proceed` of the chain."""
        assert self.env is not None, "the upstream belongs to no chain"
        step = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        endpoint = self._pick(call)
        call.attempts += 1
        call.endpoint = endpoint
        call.connected = self.env.now()
        received = _received(call, endpoint)
        self.received.append(received)
        endpoint.active += 1
        try:
            received.body = call.body if isinstance(call.body, bytes) else await call.body.collect(BODY_LIMIT)
            return await self._play(call, step)
        except Exception:
            raise
        except BaseException:
            received.cancelled = True
            raise
        finally:
            endpoint.active -= 1

    async def _play(self, call: Call, step: Any) -> Reply:
        assert self.env is not None
        if isinstance(step, After):
            await self.env.sleep(step.seconds)
            return await self._play(call, step.then)
        if isinstance(step, Hang):
            never: Parked[Reply] = Parked()
            return await never
        if isinstance(step, MeshError):
            # A new one each time: a raised exception remembers where it was.
            raise MeshError(step.kind, step.detail, origin=step.origin, retryable=step.retryable, status=step.status)
        if isinstance(step, Streamed):
            reply = _Pieces(step, self.env.clock).reply
            # As the real one does: what a filter dropped is not sent to nobody for ever.
            call.on_complete(lambda ended: reply.discard())
            return reply
        if isinstance(step, Reply):
            return _copy(step, call)
        answer = step(call)
        return await self._play(call, await answer if isinstance(answer, Awaitable) else answer)

    def _pick(self, call: Call) -> Endpoint:
        fresh = [each for each in self.endpoints if each not in call.tried] or list(self.endpoints)
        endpoint = fresh[self._turn % len(fresh)]
        self._turn += 1
        return endpoint


def _received(call: Call, endpoint: Endpoint) -> Received:
    target = call.target.decode("latin-1")
    return Received(call.operation, target, call.host, call.headers.copy(), endpoint.address, call=call)


def _copy(reply: Reply, call: Call) -> Reply:
    if isinstance(call, RedisCall):
        if not isinstance(reply, RedisReply):
            return RedisReply(b"+OK\r\n" * call.count, call.count)
        return RedisReply(reply.body, reply.count, errors=reply.errors)
    made = Reply(reply.status, reply.headers.copy(), reply.body, reason=reply.reason, tunnel=reply.tunnel)
    made.trailers = reply.trailers
    return made


class _Pieces:
    """Produces the body of a `Streamed` reply."""

    def __init__(self, step: Streamed, clock: IReactorTime) -> None:
        self._step = step
        self._clock = clock
        self._left = list(step.pieces)
        self._paused = False
        self._timer: Any = None
        self.stream = ByteStream(self)
        self.reply = Reply(step.status, body=self.stream)
        self._next()

    def _next(self) -> None:
        self._timer = None
        if self._paused:
            return
        if self._left:
            self.stream.write(self._left.pop(0))
        if not self._left:
            self._end()
        elif self._timer is None:
            self._timer = self._clock.callLater(self._step.every, self._next)

    def _end(self) -> None:
        if self._step.cut is not None:
            self.stream.fail(self._step.cut)
        else:
            self.stream.end(self._step.trailers)

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        if self._timer is None:
            self._timer = self._clock.callLater(0, self._next)

    def stopProducing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

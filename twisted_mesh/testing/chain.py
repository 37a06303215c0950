"""A chain in memory: a call goes in, and what the client sees comes out."""

from __future__ import annotations

import sys
from typing import Optional, Sequence

from twisted_mesh.adapters.http_refusal import refusal
from twisted_mesh.call import Call, Completion, Reply
from twisted_mesh.calls import CallTable
from twisted_mesh.chain import Driver, compose
from twisted_mesh.errors import Cancelled, Kind, MeshError, Origin
from twisted_mesh.filters.route import Route
from twisted_mesh.filters.timeout import timeout as timeout_filter
from twisted_mesh.headers import Headers
from twisted_mesh.interfaces import Filter, Proceed
from twisted_mesh.redis_call import RedisCall, RedisReply
from twisted_mesh.redis_pending import PartOfReplies
from twisted_mesh.redis_words import words_for
from twisted_mesh.stream import ByteStream, Trailers
from twisted_mesh.sweep import SWEEP_INTERVAL, Sweep
from twisted_mesh.testing.env import Env
from twisted_mesh.testing.upstream import FakeUpstream


class Chain:
    """Filters, outermost first, round a fake upstream; nothing leaves the process, and no time passes by itself.

    :param timeout: the route's timeout in seconds; None for no limit.
    :param route: the filters are those of a route of this name, so that ``call.route`` is set when they run; without,
        they are a listener's and see it only behind ``proceed``.

    What a filter raises that is neither `MeshError` nor `Cancelled` costs its call a 500, as in the mesh, and is then
    raised by whichever of `call`, `advance` and `Outcome.hang_up` it happened in, so that it fails the test.
    """

    def __init__(
        self,
        filters: Sequence[Filter],
        upstream: Optional[FakeUpstream] = None,
        env: Optional[Env] = None,
        *,
        timeout: Optional[float] = 15.0,
        route: str = "",
    ) -> None:
        self.env = Env() if env is None else env
        self.upstream = FakeUpstream() if upstream is None else upstream
        self.upstream.env = self.env
        self.outcomes: list[Outcome] = []
        self.unexpected: list[BaseException] = []
        self._sweep = Sweep(self.env.clock)
        self.table = CallTable(self.env.now, self._sweep)
        self._proceed = self._composed(filters, timeout, route)

    def __repr__(self) -> str:
        return f"<Chain {len(self.table)} calls, {self.upstream!r}>"

    def call(self, call: Call) -> Outcome:
        """Send a call through the chain, as far as it goes without any time passing."""
        now = self.env.now()
        call.started = now
        if isinstance(call.body, ByteStream) and not call.body.ended:
            call.body.on_end = lambda body: setattr(call, "received", self.env.now())
        else:
            call.received = now
        outcome = Outcome(self, call)
        self.outcomes.append(outcome)
        with self.env.time.loop.running():
            outcome.start(self._proceed)
        self.env.time.advance(0)
        self._raise_unexpected()
        return outcome

    def advance(self, seconds: float) -> None:
        """Let time pass for everything in the chain."""
        self.env.time.advance(seconds)
        self._raise_unexpected()

    def assert_idle(self) -> None:
        """Check that nothing is left behind: every call is complete, no timer runs, no task failed unseen.

        :raises AssertionError: something is left; says what.
        """
        # As long as the table of calls takes to see that it is empty.
        self.advance(SWEEP_INTERVAL)
        left = [repr(each) for each in self.outcomes if not each.complete]
        if not left:
            left += [repr(each) for each in self.env.time.getDelayedCalls()]
        if left:
            raise AssertionError("left behind: " + ", ".join(left))

    def settle(self) -> None:
        """Raise what went wrong unseen."""
        self.env.time.advance(0)
        self._raise_unexpected()

    def _composed(self, filters: Sequence[Filter], timeout: Optional[float], name: str) -> Proceed:
        forward = compose([timeout_filter], self.upstream.forward)
        inner = compose(filters, forward) if name else forward
        route = Route(name or "test", inner, timeout=timeout)

        async def routed(call: Call) -> Reply:
            call.route = route
            call.cluster = self.upstream
            call.timeout = timeout
            return await route.proceed(call)

        return routed if name else compose(filters, routed)

    def _raise_unexpected(self) -> None:
        errors = self.unexpected + self.env.time.loop.errors
        self.unexpected.clear()
        self.env.time.loop.errors.clear()
        if errors:
            raise errors[0]


class Outcome:
    """What became of a call, as its client sees it.

    `error` is what the chain raised, if it did; the client then got an answer made of it.  `body` is what has come of
    the answer's body so far, and `cut` what ended it too early.  Of a Redis call `body` holds the replies to all of its
    commands as they go over the wire, errors among them, and `status` says nothing.
    """

    def __init__(self, chain: Chain, call: Call) -> None:
        self.call = call
        self.error: Optional[BaseException] = None
        self.trailers: Trailers = ()
        self.cut: Optional[BaseException] = None
        self.driver = Driver(call, self._done)
        self._chain = chain
        self._reply: Optional[Reply] = None
        self._gone = False
        self._pieces: list[bytes] = []

    def __repr__(self) -> str:
        state = "waiting" if self.waiting else f"{self.status}, body on its way" if not self.complete else self.status
        return f"<Outcome {state} of {self.call!r}>"

    @property
    def waiting(self) -> bool:
        """Whether the head of the answer is not known yet."""
        return not self.driver.finished

    @property
    def complete(self) -> bool:
        """Whether the call has ended, so that its completions have run."""
        return self.call.completed

    @property
    def reply(self) -> Reply:
        """The answer.

        :raises AssertionError: there is none yet.
        """
        if self._reply is None:
            raise AssertionError(f"no answer yet: advance the chain; {self.driver!r}")
        return self._reply

    @property
    def status(self) -> int:
        """The answer's status; raises as `reply` does."""
        return self.reply.status

    @property
    def headers(self) -> Headers:
        """The answer's header fields; raises as `reply` does."""
        return self.reply.headers

    @property
    def body(self) -> bytes:
        """What has come of the answer's body."""
        return b"".join(self._pieces)

    def start(self, proceed: Proceed) -> None:
        """Begin; `Chain.call` does it."""
        self._chain.table.add(self.driver)
        self.driver.start(proceed)

    def hang_up(self) -> None:
        """The client goes away."""
        self._gone = True
        with self._chain.env.time.loop.running():
            if self.waiting:
                self._chain.table.cancel(self.driver, Cancelled(Kind.CLIENT_GONE))
            elif not self.complete:
                self.call.flag(Kind.CLIENT_GONE)
                self.reply.discard()
                self._complete()
        self._chain.settle()

    # --- the chain has ended

    def _done(self, call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        self._chain.table.discard(self.driver)
        self.error = error
        if error is None and not isinstance(reply, Reply):
            error = self.error = TypeError(f"a filter returned {reply!r} in the place of a reply")
        elif isinstance(reply, RedisReply) and isinstance(call, RedisCall) and not isinstance(reply.body, ByteStream):
            try:
                reply.check(call.count)
            except ValueError as wrong:
                error = self.error = wrong
        if error is not None:
            reply = self._refused(error)
        assert reply is not None
        self._reply = reply
        call.head_at = self._chain.env.now()
        call.status = reply.status
        if self._gone:
            reply.discard()
            self._complete()
        elif isinstance(reply.body, ByteStream):
            reply.body.attach(self)
        else:
            self.body_data(reply.body)
            self.body_ended(reply.trailers)

    def _refused(self, error: BaseException) -> Reply:
        had, answered = b"", 0
        if isinstance(error, PartOfReplies):
            had, answered = error.had, error.answered
        if isinstance(error, Cancelled):
            error = MeshError(error.kind, error.detail, origin=Origin.MESH, status=error.status)
        elif not isinstance(error, MeshError):
            self._chain.unexpected.append(error)
            error = MeshError(Kind.INTERNAL, "a filter failed")
        self.call.flag(error.flag)
        self.call.details = error.detail or error.kind.value
        if isinstance(self.call, RedisCall):
            left = self.call.count - answered
            return RedisReply(had + words_for(error) * left, self.call.count, errors=left)
        return refusal(self.call, error)

    def _complete(self) -> None:
        self.call.complete(self._chain.env.now(), self._completion_failed)

    def _completion_failed(self, completion: Completion) -> None:
        error = sys.exc_info()[1]
        assert error is not None
        self._chain.unexpected.append(error)

    # --- the client's side of the answer's body

    def body_data(self, data: bytes) -> None:
        """Take a piece."""
        self._pieces.append(data)
        self.call.bytes_out += len(data)

    def body_ended(self, trailers: Trailers) -> None:
        """The answer is complete."""
        self.trailers = trailers
        self._complete()

    def body_failed(self, error: BaseException) -> None:
        """The answer was cut."""
        self.cut = error
        if isinstance(error, MeshError):
            self.call.flag(error.flag)
        self._complete()

"""One call beside which a filter runs, and what that would have done to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Awaitable, Optional

from twisted.internet.interfaces import IDelayedCall

from twisted_mesh.call import Call, Reply
from twisted_mesh.calls import CLEANUP_LIMIT, THROWS
from twisted_mesh.chain import Aside
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.park import Parked
from twisted_mesh.stream import ByteStream

if TYPE_CHECKING:
    from twisted_mesh.shadow import Shadow

# How long a shadowed filter may go on after its call has ended; seconds.  The same as a route's default timeout: what
# takes longer would have cost the call its answer.
AFTERWARDS = 15.0
# Who lets a call wait for longer than this has held it up; seconds.  Asking Redis, as a shared limit does, is quicker.
HELD_UP = 0.025


class Trial:
    """One call beside which a filter runs."""

    __slots__ = (
        "_before",
        "_began",
        "_call",
        "_driver",
        "_error",
        "_held",
        "_real",
        "_reply",
        "_shadow",
        "_thrown",
        "_timer",
        "_tries",
        "_waiting",
    )

    def __init__(self, shadow: Shadow, real: Call) -> None:
        self._shadow = shadow
        self._real = real
        self._call = call = real.twin()
        self._before = _looks(call)
        # How often the filter has let the call go on, and how long it took it to do so.
        self._tries = 0
        self._began = shadow.env.now()
        self._held = 0.0
        self._waiting: list[Parked[Reply]] = []
        # How the real call went, once that is known: one of these.
        self._reply: Optional[Reply] = None
        self._error: Optional[BaseException] = None
        self._timer: Optional[IDelayedCall] = None
        self._thrown = 0
        self._driver = Aside("shadow", call, self._ended)

    def start(self) -> None:
        self._shadow.active += 1
        self._real.on_complete(self._completed)
        self._driver.start(lambda call: self._shadow.inner(call, self._proceed))

    def settle(self, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        """The real call has its reply head, or failed: tell the filter."""
        self._reply, self._error = reply, error
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            self._tell(each)

    def _tell(self, parked: Parked[Reply]) -> None:
        if self._error is not None:
            parked.fail(self._error)
        else:
            assert self._reply is not None
            parked.fire(self._reply.twin())

    def _proceed(self, call: Call) -> Awaitable[Reply]:
        self._tries += 1
        if self._tries == 1:
            self._held = self._shadow.env.now() - self._began
        parked: Parked[Reply] = Parked()
        if self._reply is None and self._error is None:
            self._waiting.append(parked)
        else:
            self._tell(parked)
        return parked

    # --- the filter has ended

    def _ended(self, call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        self._shadow.active -= 1
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        decision, why = self._decision(reply, error)
        self._shadow.decided(call, decision, why)
        if decision != "pass" and not self._real.completed:
            _note(self._real, self._shadow.name, decision)
        if self._real.completed:
            self._complete()

    def _decision(self, reply: Optional[Reply], error: Optional[BaseException]) -> tuple[str, str]:
        if error is not None:
            if error is self._error:
                return self._let_pass()
            if isinstance(error, Cancelled):
                return "unfinished", error.detail
            if isinstance(error, MeshError):
                return "refuse", str(error)
            self._shadow.failed(error)
            return "error", repr(error)
        if not self._tries:
            return "reply", repr(reply)
        if _looks(self._call) != self._before or _differs(reply, self._reply):
            return "change", ""
        return self._let_pass()

    def _let_pass(self) -> tuple[str, str]:
        if self._tries > 1:
            return "repeat", f"sent {self._tries} times"
        return ("wait", f"{self._held:.3g} s late") if self._held > HELD_UP else ("pass", "")

    # --- the real call has ended

    def _completed(self, real: Call) -> None:
        if self._driver.finished:
            self._complete()
            return
        if not self._tries:
            # What becomes of it in the end is counted; the log line is written now.
            _note(real, self._shadow.name, "wait")
        if self._reply is None and self._error is None:
            self.settle(None, Cancelled(Kind.CLIENT_GONE))
        if not self._driver.finished:
            self._timer = self._shadow.env.clock.callLater(AFTERWARDS, self._give_up)

    def _give_up(self) -> None:
        reason = Cancelled(Kind.INTERNAL, f"still waiting {AFTERWARDS:g} s after its call")
        self._thrown += 1
        if self._thrown > THROWS:
            self._driver.give_up(reason)
            return
        self._driver.cancel(reason)
        if not self._driver.finished:
            self._timer = self._shadow.env.clock.callLater(CLEANUP_LIMIT, self._give_up)

    def _complete(self) -> None:
        """Both have ended: run what the filter registered."""
        real, call = self._real, self._call
        for name in _RESULTS:
            setattr(call, name, getattr(real, name))
        call.complete(real.ended, self._completion_failed)

    def _completion_failed(self, completion: object) -> None:
        self._shadow.env.log.failure("shadow: a completion of {name} failed", name=self._shadow.name)


# What a completion may want to know of how the call went.
_RESULTS = (
    "status",
    "details",
    "flags",
    "endpoint",
    "attempts",
    "tried",
    "connected",
    "head_at",
    "bytes_in",
    "bytes_out",
)


class _Decisions(dict[str, str]):
    """Decisions by filter; as text they are one word."""

    def __str__(self) -> str:
        return ",".join(f"{name}:{decision}" for name, decision in self.items())


def _note(call: Call, name: str, decision: str) -> None:
    """Have a decision stand in the access log line of the call."""
    left = call.context.setdefault("log", {})
    if not isinstance(left, dict):
        # A filter wants something else logged; the metric has the decision.
        return
    decisions = left["shadow"] = _Decisions(left.get("shadow") or {})
    nth, key = 1, name
    while key in decisions:
        nth += 1
        key = f"{name}#{nth}"
    decisions[key] = decision


def _looks(call: Call) -> tuple[object, ...]:
    """What of a call counts as changed by a filter."""
    return (
        list(call.headers.fields),
        call.operation,
        call.host,
        call.target,
        call.resource,
        call.timeout,
        call.body,
    )


def _differs(reply: Optional[Reply], real: Optional[Reply]) -> bool:
    if reply is None or real is None:
        return True
    same_body = isinstance(real.body, ByteStream) or reply.body == real.body
    return reply.status != real.status or reply.headers.fields != real.headers.fields or not same_body

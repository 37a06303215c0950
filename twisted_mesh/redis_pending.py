"""What waits for the replies to a call of Redis: the upstream returns it, and all plain filters pass it on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional, Sequence

from twisted_mesh.call import Body
from twisted_mesh.codec.resp_reply_scan import Answer
from twisted_mesh.errors import MeshError
from twisted_mesh.metrics import DURATIONS
from twisted_mesh.park import Parked
from twisted_mesh.redis_call import Caller, RedisCall, RedisReply, errors_in

if TYPE_CHECKING:
    from twisted_mesh.interfaces import EndpointLike


class PartOfReplies(MeshError):
    """Some of a call's commands were answered before it failed.

    `had` are these replies, `answered` says how many; `inside` that one more has begun, so that nothing can follow.
    """

    def __init__(self, error: MeshError, had: bytes, answered: int, inside: bool = False) -> None:
        super().__init__(error.kind, error.detail, origin=error.origin, retryable=error.retryable)
        self.__cause__ = error.__cause__
        self.had = had
        self.answered = answered
        self.inside = inside


Rescue = Callable[["Pending", BaseException], bool]


def nobody() -> None:
    """Stand in for whoever has waited for a reply."""


class Tally:
    """What ordinary replies to one kind of command add up to since `settle` was called last.

    `count` of them, `counts` by the bucket of their time among `DURATIONS`, `seconds` for all, `received` and `sent`
    bytes.  A reply that took `slow` seconds is none of them, nor one that took `timeout`.
    """

    __slots__ = ("count", "counts", "received", "seconds", "sent", "slow", "timeout")

    def __init__(self, slow: float, timeout: float) -> None:
        self.slow = slow
        self.timeout = timeout
        self.counts = [0] * (len(DURATIONS) + 1)
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.count = self.received = self.sent = 0
        self.seconds = 0.0

    def settle(self) -> None:
        """Count it in the metrics, and begin anew."""
        raise NotImplementedError


class Pending(Parked[RedisReply]):
    """The reply that a call waits for; what the upstream returns, and what all plain filters pass on.

    A filter that wants to act on a failure sets `rescue`: it is called with the error in the place of the waiter, and
    returns whether it takes care, in which case it fires or fails this one later.

    `body` is what is sent.  One with a `tally` is given its reply by `heard` if there is nothing unusual about that; it
    was sent to `endpoint`, at its very beginning.
    """

    __slots__ = (
        "began",
        "body",
        "call",
        "endpoint",
        "had",
        "left",
        "rescue",
        "sent",
        "special",
        "stream",
        "tally",
        "void",
    )

    def __init__(self, call: RedisCall) -> None:
        # Flattened: made for every call.
        self.done = False
        self.resume = None
        self.error = None
        self.value = None
        self.call = call
        self.body: Body = call.body
        self.tally: Optional[Tally] = None
        self.endpoint: Optional[EndpointLike] = None
        # Replies that are still to come.
        self.left = call.count
        self.rescue: Optional[Rescue] = None
        self.began = 0.0
        # Whether its replies need more than to be handed on: some are here, they stream, nobody waits for them.
        self.special = False
        # Whether a byte of it may have reached a server.
        self.sent = False
        self.had: list[bytes] = []
        # The replies, where they are passed on as they come.
        self.stream: Any = None
        # Nobody waits for its replies any more; they are still to come, and to be counted.
        self.void = False

    def __repr__(self) -> str:
        state = "done" if self.done else f"{self.left} replies to come"
        return f"<Pending {state} for {self.call!r}>"

    def is_of(self, caller: Caller) -> bool:
        """Whether this client waits for it."""
        return self.call.caller is caller

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for it."""
        return self.resume is not None and self.resume is not nobody

    def forget(self) -> None:
        """Whoever has waited does not any more: a reply that is passed on as it comes waits for nobody."""
        self.resume = nobody

    def fire(self, value: RedisReply) -> None:
        """There is a reply."""
        # That of Parked in line.
        self.done = True
        self.value = value
        resume = self.resume
        if resume is not None:
            self.resume = None
            if resume is nobody:
                value.discard()
            else:
                resume()

    def heard(self, body: bytes) -> None:
        """Take an ordinary reply, which is counted already."""
        raise NotImplementedError

    def whole(self, body: bytes, answers: Optional[Sequence[Answer]] = None, base: int = 0) -> None:
        """All replies are here: give them to the waiter.

        :param answers: where they stand, in `body` if `base` is taken away; None if none of them is an error.
        """
        reply = RedisReply(body, self.call.count, sound=True)
        if answers is not None:
            reply.errors = errors_in(answers)
            reply.found(answers, base)
        self.fire(reply)

    def fail(self, error: BaseException) -> None:
        """Raise `error` in the waiter, unless somebody takes care."""
        rescue, self.rescue = self.rescue, None
        if rescue is None or not rescue(self, error):
            super().fail(error)


def answered(call: RedisCall, reply: bytes) -> Pending:
    """Return what has its reply already, of the mesh's own."""
    pending = Pending(call)
    pending.fire(RedisReply(reply, errors=int(reply.startswith(b"-")), local=True))
    return pending

"""What the commands of one call come to: an answer in the place of each, and in the end one reply or an error."""

from __future__ import annotations

from typing import Callable, Optional, Sequence, Union

from twisted_mesh.codec.resp_kinds import BULK_ERROR, ERROR
from twisted_mesh.errors import MeshError
from twisted_mesh.redis_call import RedisCall, RedisReply
from twisted_mesh.redis_pending import Pending
from twisted_mesh.redis_words import words_for
from twisted_mesh.stream import ByteStream
from twisted_mesh.upstream.redis_item import in_order

Answer = Union[bytes, MeshError]


class Outcome:
    """The answers to so many commands of a call.

    :param finish: makes the body of the reply out of the replies to all commands, in their order.

    `pending` is what the call waits for.
    """

    __slots__ = ("_answers", "_call", "_finish", "_left", "pending")

    def __init__(self, call: RedisCall, count: int, finish: Callable[[Sequence[bytes]], bytes] = in_order) -> None:
        self._call = call
        self._finish = finish
        self._answers: list[Optional[Answer]] = [None] * count
        self._left = count
        # Whoever waits may bring along what is to be fired; it must not become that of a part.
        waiter = call.waiter
        if waiter is not None:
            call.waiter = None
        self.pending = Pending(call) if waiter is None else waiter

    def _pass_on(self, body: ByteStream) -> None:
        """The replies to everything are passed on as they come."""
        self._left = -1
        self.pending.fire(RedisReply(body, self._call.count))

    def _cut(self, places: Sequence[int], error: MeshError) -> None:
        """Replies broke off while they were collected."""
        for place in places:
            self._settle(place, error)
        self._end()

    def _settle(self, place: int, answer: Answer) -> None:
        if self._answers[place] is None:
            self._answers[place] = answer
            self._left -= 1

    def _end(self) -> None:
        if self._left or self.pending.done:
            return
        self._left = -1
        failed = [each for each in self._answers if type(each) is not bytes]
        if failed:
            self._end_with(failed)
        else:
            self._fire(self._answers)  # type: ignore[arg-type]  # none is anything else

    def _end_with(self, failed: Sequence[Optional[Answer]]) -> None:
        """Some commands have no reply of a server's."""
        errors = [each for each in failed if isinstance(each, MeshError)]
        error = errors[0]
        if len(errors) == len(self._answers):
            self.pending.fail(MeshError(error.kind, error.detail, origin=error.origin, retryable=error.retryable))
            return
        for each in errors:
            self._call.flag(each.kind)
        self._call.details = self._call.details or error.detail
        self._fire([words_for(each) if isinstance(each, MeshError) else each or b"" for each in self._answers])

    def _fire(self, replies: Sequence[bytes]) -> None:
        body = self._finish(replies)
        if self._finish is in_order:
            errors = sum([each[0] == ERROR or each[0] == BULK_ERROR for each in replies])
        else:
            errors = int(body[0] in (ERROR, BULK_ERROR))
        self.pending.fire(RedisReply(body, self._call.count, errors=errors, sound=True))

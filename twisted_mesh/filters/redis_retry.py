"""Trying again, on another server, those Redis commands that may be tried again.

What `retry` is for other protocols, as a plain function: it costs a call nothing but setting one attribute, and acts
when the reply fails.  Where something further in is a coroutine it becomes one too.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Awaitable, Optional, cast

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.filters.again import Again, Outcome, Permit, note_tried
from twisted_mesh.filters.retry import RetrySettings, side_layers
from twisted_mesh.interfaces import Env, Explanation, Filter, Proceed
from twisted_mesh.policy.budget import RetryBudget
from twisted_mesh.redis_call import RedisCall, RedisReply
from twisted_mesh.redis_pending import Pending, Rescue


class RedisRetry:
    """Proceeds again after a failure that `RetryRule` names, if nothing can be done twice.

    That is so where the error says it: no connection was made, nothing was sent, or all of the call's commands only
    read and none of their replies has gone out.  Of those that failed on their way the replies that had come are kept.
    All tries share the route's timeout.
    """

    __slots__ = ("_budget", "_env", "_first", "_more", "_proceed", "_refusals")

    def __init__(self, settings: RetrySettings, env: Env, more: Optional[Again] = None) -> None:
        self._more = Again(settings, env) if more is None else more
        self._budget = self._more.budget
        self._refusals = self._more.rule.refusals
        self._env = env
        # What a first try has for its `rescue`; one for all of a chain.
        self._proceed: Optional[Proceed] = None
        self._first: Optional[Rescue] = None

    def explain(self, call: Call) -> Explanation:
        """Say which further tries there may be."""
        return self._more.explain(call)

    @property
    def budget(self) -> Optional[RetryBudget]:
        """What counts calls, if retries are a share of them."""
        return self._budget

    def rescue_of(self, proceed: Proceed) -> Optional[Rescue]:
        """Return what first tries have for their `rescue`; None if replies must be looked at besides.

        :param proceed: sends the call again.
        """
        return None if self._refusals else partial(self._rescue, proceed, 1)

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        budget = self._budget
        if budget is not None:
            # `RetryBudget.call` in line.
            if call.started >= budget.ends:
                budget.turn(call.started)
            budget.calls += 1
        try:
            awaitable = proceed(call)
        except MeshError as error:
            permit = self._permit(call, error, 1)
            if permit is None:
                raise
            pending = Pending(cast(RedisCall, call))
            self._later(call, proceed, pending, 1, permit)
            return pending
        if isinstance(awaitable, Pending) and not awaitable.done and not self._refusals:
            if proceed is not self._proceed:
                self._proceed = proceed
                self._first = partial(self._rescue, proceed, 1)
            awaitable.rescue = self._first
            return awaitable
        return self._coroutine(call, proceed, awaitable)

    # --- where nothing is a coroutine

    def _rescue(self, proceed: Proceed, tries: int, pending: Pending, error: BaseException) -> bool:
        """The reply to a try has failed: see whether there is another."""
        if not isinstance(error, MeshError) or not pending.wanted:
            return False
        call = pending.call
        permit = self._permit(call, error, tries)
        if permit is None:
            return False
        self._later(call, proceed, pending, tries, permit)
        return True

    def _later(self, call: Call, proceed: Proceed, pending: Pending, tries: int, permit: Permit) -> None:
        self._env.clock.callLater(permit.wait, self._again, call, proceed, pending, tries + 1, permit)

    def _again(self, call: Call, proceed: Proceed, pending: Pending, tries: int, permit: Permit) -> None:
        if call.completed or pending.done:
            permit.end()
            return
        try:
            awaitable: Any = proceed(call)
        except Exception as error:
            permit.end()
            if not self._rescue(proceed, tries, pending, error):
                pending.fail(error)
            return
        assert isinstance(awaitable, Pending), "what was no coroutine at the first try is none at another"
        awaitable.rescue = partial(self._rescued, proceed, tries, pending, permit)
        if awaitable.done:
            self._forward(pending, permit, awaitable)
        else:
            awaitable.resume = partial(self._forward, pending, permit, awaitable)

    def _rescued(
        self,
        proceed: Proceed,
        tries: int,
        first: Pending,
        permit: Permit,
        again: Pending,
        error: BaseException,
    ) -> bool:
        permit.end()
        return self._rescue(proceed, tries, first, error)

    def _forward(self, pending: Pending, permit: Permit, again: Pending) -> None:
        """Whoever waits for the first try gets what came of this one."""
        permit.end()
        if again.error is None:
            pending.fire(cast(RedisReply, again.value))
        else:
            pending.fail(again.error)

    # --- where something is

    async def _coroutine(self, call: Call, proceed: Proceed, awaitable: Awaitable[Reply]) -> Reply:
        tries = 1
        permit: Optional[Permit] = None
        try:
            while True:
                try:
                    reply = await awaitable
                    if not self._refused(call, reply):
                        return reply
                    permit = self._next(call, reply, tries, permit)
                    if permit is None:
                        return reply
                except MeshError as error:
                    permit = self._next(call, error, tries, permit)
                    if permit is None:
                        raise
                await self._env.sleep(permit.wait)
                tries += 1
                awaitable = self._begin(call, proceed)
        finally:
            if permit is not None:
                permit.end()

    def _next(self, call: Call, outcome: Outcome, tries: int, before: Optional[Permit]) -> Optional[Permit]:
        if before is not None:
            before.end()
        # Hedges were tries too.
        tries = max(tries, call.attempts)
        if isinstance(outcome, MeshError):
            return self._permit(call, outcome, tries)
        return self._noted(call, self._more.admit(call, outcome, tries) if call.repeats() else None)

    async def _begin(self, call: Call, proceed: Proceed) -> Reply:
        # What is raised at once comes out where it is awaited.
        return await proceed(call)

    # ---

    def _permit(self, call: Call, error: MeshError, tries: int) -> Optional[Permit]:
        """Return leave for the next try; None if there is none."""
        if not (error.retryable or error.kind is Kind.TRY_TIMEOUT) or not isinstance(call.body, bytes):
            return None
        return self._noted(call, self._more.permit(call, error, tries) if call.repeats() else None)

    def _noted(self, call: Call, permit: Optional[Permit]) -> Optional[Permit]:
        if permit is not None:
            self._more.begins(call)
            note_tried(call)
        return permit

    def _refused(self, call: Call, reply: Reply) -> bool:
        """Whether a server has answered that it has not done what it was asked, for a reason that passes.

        Of several commands it has to have done none, unless they only read.
        """
        refusals = self._refusals
        if not refusals or not isinstance(reply, RedisReply) or not reply.errors or not isinstance(reply.body, bytes):
            return False
        if cast(RedisCall, call).session is not None or not isinstance(call.body, bytes):
            return False
        body = reply.body
        refused = [_first_word(body[start:end]) in refusals for kind, start, end in reply.answers]
        return any(refused) if call.idempotent else all(refused)


def _first_word(answer: bytes) -> bytes:
    """Return the first word of an error; of another answer something that no condition names."""
    if answer[:1] == b"!":
        answer = answer[answer.index(b"\n") :]
    elif answer[:1] != b"-":
        return b""
    return answer[1:].split(maxsplit=1)[0]


def redis_layers(settings: RetrySettings, env: Env) -> list[Filter]:
    """Return the layers that these settings make for calls of Redis, outermost first."""
    more = Again(settings, env)
    return [RedisRetry(settings, env, more), *side_layers(settings, env, more)]

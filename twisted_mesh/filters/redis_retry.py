"""Trying again, on another server, those Redis commands that may be tried again.

What `retry` is for other protocols, as a plain function: it costs a call nothing but setting one attribute, and acts
when the reply fails.  Where something further in is a coroutine it becomes one too.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Awaitable, Optional, cast

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.families import NONE, Families
from twisted_mesh.filters.retry import RetrySettings
from twisted_mesh.interfaces import Env, Proceed
from twisted_mesh.policy.backoff import full_jitter
from twisted_mesh.policy.budget import BudgetRule, RetryBudget
from twisted_mesh.policy.retry import RetryRule
from twisted_mesh.redis_call import Pending, RedisCall, RedisReply


class RedisRetry:
    """Proceeds again after a failure that `RetryRule` names, if nothing can be done twice.

    That is so where the error says it: no connection was made, nothing was sent, or all of the call's commands only
    read and none of their replies has gone out.  Of those that failed on their way the replies that had come are kept.
    All tries share the route's timeout.
    """

    __slots__ = ("_attempts", "_backoff", "_budget", "_env", "_families", "_rule")

    def __init__(self, settings: RetrySettings, env: Env) -> None:
        self._attempts = settings.attempts
        self._backoff = settings.backoff
        budget = settings.budget
        self._budget = None if budget is None else RetryBudget(BudgetRule(budget.percent, budget.least, budget.window))
        self._rule = RetryRule(settings.when)
        self._env = env
        self._families = Families(env.metrics)

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        if self._budget is not None:
            self._budget.call(self._env.now())
        try:
            awaitable = proceed(call)
        except MeshError as error:
            wait = self._wait(call, error, 1)
            if wait is None:
                raise
            pending = Pending(cast(RedisCall, call))
            self._later(call, proceed, pending, 1, wait)
            return pending
        if type(awaitable) is Pending and not awaitable.done:
            awaitable.rescue = partial(self._rescue, call, proceed, 1)
            return awaitable
        return self._coroutine(call, proceed, awaitable)

    # --- where nothing is a coroutine

    def _rescue(self, call: Call, proceed: Proceed, tries: int, pending: Pending, error: BaseException) -> bool:
        """The reply to a try has failed: see whether there is another."""
        wait = self._wait(call, error, tries) if isinstance(error, MeshError) else None
        if wait is None:
            return False
        if pending.resume is None:
            # Nobody waits for it any more.
            return False
        self._later(call, proceed, pending, tries, wait)
        return True

    def _later(self, call: Call, proceed: Proceed, pending: Pending, tries: int, wait: float) -> None:
        self._env.clock.callLater(wait, self._again, call, proceed, pending, tries + 1)

    def _again(self, call: Call, proceed: Proceed, pending: Pending, tries: int) -> None:
        if call.completed or pending.done:
            return
        try:
            awaitable: Any = proceed(call)
        except Exception as error:
            if not self._rescue(call, proceed, tries, pending, error):
                pending.fail(error)
            return
        assert type(awaitable) is Pending, "what was no coroutine at the first try is none at another"
        awaitable.rescue = partial(self._rescued, call, proceed, tries, pending)
        if awaitable.done:
            self._forward(pending, awaitable)
        else:
            awaitable.resume = partial(self._forward, pending, awaitable)

    def _rescued(
        self, call: Call, proceed: Proceed, tries: int, first: Pending, again: Pending, error: BaseException
    ) -> bool:
        return self._rescue(call, proceed, tries, first, error)

    def _forward(self, pending: Pending, again: Pending) -> None:
        """Whoever waits for the first try gets what came of this one."""
        if again.error is None:
            pending.fire(cast(RedisReply, again.value))
        else:
            pending.fail(again.error)

    # --- where something is

    async def _coroutine(self, call: Call, proceed: Proceed, awaitable: Awaitable[Reply]) -> Reply:
        tries = 1
        while True:
            try:
                return await awaitable
            except MeshError as error:
                wait = self._wait(call, error, tries)
                if wait is None:
                    raise
            await self._env.sleep(wait)
            tries += 1
            awaitable = self._begin(call, proceed)

    async def _begin(self, call: Call, proceed: Proceed) -> Reply:
        # What is raised at once comes out where it is awaited.
        return await proceed(call)

    # ---

    def _wait(self, call: Call, error: MeshError, tries: int) -> Optional[float]:
        """Return the seconds until the next try; None if there is none."""
        if not self._rule.after_error(error.kind, error.retryable, "") or not isinstance(call.body, bytes):
            return None
        if not error.retryable:
            return None
        if tries >= self._attempts:
            if tries > 1:
                call.flag(error.flag)
                call.flag(Kind.RETRY_LIMIT)
                self._families.upstream_retries_exhausted.labels("redis", _cluster(call)).value += 1
            return None
        wait = full_jitter(tries, self._backoff.base, self._backoff.max, self._env.random.random)
        now = self._env.now()
        if call.timeout is not None and call.received and now + wait >= call.received + call.timeout:
            return None
        if self._budget is not None and not self._budget.take(now):
            self._families.upstream_retries_refused.labels("redis", _cluster(call)).value += 1
            return None
        self._families.upstream_retries.labels("redis", _cluster(call)).value += 1
        if call.endpoint is not None and call.endpoint not in call.tried:
            call.tried += (call.endpoint,)
        return wait


def _cluster(call: Call) -> str:
    return call.cluster.name if call.cluster is not None else NONE

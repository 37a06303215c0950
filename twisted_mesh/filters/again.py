"""Whether a call is tried again, and when: what `retry` decides by, the same for every protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Protocol, Union

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env, Explanation
from twisted_mesh.labels import NONE
from twisted_mesh.policy.backoff import full_jitter
from twisted_mesh.policy.budget import BudgetRule, RetryBudget
from twisted_mesh.policy.retry import UNSENT, RetryRule
from twisted_mesh.policy.retry_after import retry_after, spread

if TYPE_CHECKING:
    from twisted_mesh.filters.retry import RetrySettings

Outcome = Union[Reply, MeshError]


class Places(Protocol):
    """How many retries of a kind a cluster may have under way at once."""

    def take(self) -> bool:
        """Take a place; returns whether there was one."""

    def give(self) -> None:
        """Give a place back."""


class Permit:
    """Leave for one more try, after `wait` seconds; `end` says that this try is over."""

    __slots__ = ("_places", "wait")

    def __init__(self, wait: float, places: Optional[Places]) -> None:
        self.wait = wait
        self._places = places

    def end(self) -> None:
        """The try has its reply, or failed, or was given up."""
        places, self._places = self._places, None
        if places is not None:
            places.give()


class Again:
    """Decides on further tries of the calls of one route.

    `budget` is to be told of every call; None where any number of retries may be added.  `statuses` are those of
    replies that may be worth another try.
    """

    __slots__ = ("_attempts", "_backoff", "_env", "_families", "budget", "rule", "statuses")

    def __init__(self, settings: RetrySettings, env: Env) -> None:
        self._attempts = settings.attempts
        self._backoff = settings.backoff
        budget = settings.budget
        self.budget = None if budget is None else RetryBudget(BudgetRule(budget.percent, budget.least, budget.window))
        self.rule = RetryRule(settings.when)
        self.statuses = self.rule.statuses
        self._env = env
        self._families = Families(env.metrics)

    def explain(self, call: Call) -> Explanation:
        """Say which further tries there may be of a call."""
        if not whole(call):
            return Explanation("pass", "no retries: the request is not kept")
        safe = "may be sent twice" if call.idempotent else "is only tried again where it has reached nobody"
        budget = "" if self.budget is None else f"; {self.budget!r}".replace("<RetryBudget ", "").rstrip(">")
        return Explanation("pass", f"up to {self._attempts} tries; it {safe}{budget}")

    def permit(self, call: Call, outcome: Outcome, tries: int) -> Optional[Permit]:
        """Return leave for another try after this outcome of the last of so many; None if there is none."""
        return self.admit(call, outcome, tries) if self.worth(call, outcome) and whole(call) else None

    def admit(self, call: Call, outcome: Outcome, tries: int) -> Optional[Permit]:
        """Return leave for another try after an outcome that is known to be worth it; None if there is none."""
        if tries >= self._attempts:
            if tries > 1:
                self._exhausted(call, outcome)
            return None
        wait = self._wait(outcome, tries)
        ends, now = call.ends, self._env.now()
        if wait is None or (ends is not None and now + wait >= ends):
            return None
        return self._admitted(call, wait, free=isinstance(outcome, MeshError) and outcome.kind in UNSENT)

    def hedge(self, call: Call, tries: int) -> Optional[Permit]:
        """Return leave for one more try beside those that are under way."""
        return None if tries >= self._attempts else self._admitted(call, 0.0, free=False)

    def worth(self, call: Call, outcome: Outcome) -> bool:
        """Whether the outcome of a try is one of those to try again after."""
        if isinstance(outcome, Reply):
            return self.rule.after_status(outcome.status, call.idempotent)
        return self.rule.after_error(outcome.kind, outcome.retryable, call.idempotent)

    def begins(self, call: Call) -> None:
        """Another try begins: count it."""
        self._families.upstream_retries.labels(call.protocol, cluster_of(call)).value += 1

    def _admitted(self, call: Call, wait: float, *, free: bool) -> Optional[Permit]:
        """
        :param free: the last try has reached nobody, so that another is no more load than there was.
        """
        retries = getattr(call.cluster, "retries", None)
        places: Optional[Places] = None if retries is None else retries.places(call.priority)
        if places is None or places.take():
            if free or self.budget is None or self.budget.take(self._env.now()):
                return Permit(wait, places)
            if places is not None:
                places.give()
        self._families.upstream_retries_refused.labels(call.protocol, cluster_of(call)).value += 1
        return None

    def _wait(self, outcome: Outcome, tries: int) -> Optional[float]:
        """Return how long to wait before the next try; None if that is longer than anybody should."""
        backoff, dice = self._backoff, self._env.random.random
        wait = full_jitter(tries, backoff.base, backoff.max, dice)
        if backoff.retry_after is None or not isinstance(outcome, Reply):
            return wait
        text = outcome.headers.get("retry-after")
        asked = None if text is None else retry_after(text, self._env.wall())
        if asked is None:
            return wait
        return None if asked > backoff.retry_after else max(wait, spread(asked, dice))

    def _exhausted(self, call: Call, outcome: Outcome) -> None:
        if isinstance(outcome, MeshError):
            # What went wrong stands before what it led to.
            call.flag(outcome.flag)
        call.flag(Kind.RETRY_LIMIT)
        self._families.upstream_retries_exhausted.labels(call.protocol, cluster_of(call)).value += 1


def cluster_of(call: Call) -> str:
    """Return the name of the call's cluster, for the labels of metrics."""
    return call.cluster.name if call.cluster is not None else NONE


def whole(call: Call) -> bool:
    """Whether all of the request is still there to be sent again."""
    body = call.body
    return isinstance(body, bytes) or body.replayable or body.untouched


def note_tried(call: Call) -> None:
    """Have further tries avoid the endpoint of the last one."""
    if call.endpoint is not None and call.endpoint not in call.tried:
        call.tried += (call.endpoint,)

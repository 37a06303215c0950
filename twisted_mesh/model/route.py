"""A route: which calls it is for, and what becomes of them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Mapping, Optional, Union

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator
from typing_extensions import Self

from twisted_mesh.model.answers import FixedReply, Redirect, Rewrite
from twisted_mesh.model.base import ONE_OR_LIST, DurationOrOff, Model, Name, OrOff, Short, check_name
from twisted_mesh.model.fields import HeaderValue, SetHeaderName
from twisted_mesh.model.filters import FilterUse
from twisted_mesh.model.hashing import HASH_KEY, HashKey
from twisted_mesh.model.match import Match
from twisted_mesh.model.mirror import MIRROR, Mirror
from twisted_mesh.model.text import expected
from twisted_mesh.model.units import Duration, Interval, Size, duration_text
from twisted_mesh.policy.template import Template, slots

# After what a call may be tried again: failures of connections, replies of HTTP, and what Redis answers in the place of
# doing what it was asked.
CONNECTION = ("connect_failed", "reset")
REPLIES = ("5xx", "gateway_error", "retriable_4xx")
REFUSALS = ("loading", "busy", "cluster_down", "master_down", "try_again", "read_only")
CONDITIONS = CONNECTION + REPLIES + REFUSALS


def _name(name: str) -> str:
    return check_name(name) if name else name


class TargetHeaders(Model):
    """Request headers that a target adds."""

    set: dict[SetHeaderName, HeaderValue] = Field(default={}, description="Headers to set in the request.")


class Target(Model):
    """A cluster that a route sends calls to, and its share of them."""

    cluster: Name = Field(description="The cluster's name.")
    weight: int = Field(default=1, ge=1, le=1_000_000, description="Its share of the calls against the other targets'.")
    headers: TargetHeaders = Field(
        default=TargetHeaders.model_construct(), description="Request headers to set for this target."
    )


_TARGETS: tuple[dict[str, Any], ...] = (
    {"type": "string", "description": "The cluster."},
    {
        "type": "object",
        "additionalProperties": {"type": "integer", "minimum": 1},
        "minProperties": 1,
        "description": "Weights by cluster.",
    },
)


def _targets(value: Any) -> Any:
    if isinstance(value, str):
        return [{"cluster": value}]
    if isinstance(value, Mapping):
        return [{"cluster": name, "weight": weight} for name, weight in value.items()]
    return value


class Backoff(Model):
    """How long to wait before another try: a random time up to a limit that doubles with each try, or what
    Retry-After asks for and up to half as much again."""

    base: Interval = Field(default=0.025, description="The limit before the second try.")
    max: Interval = Field(default=0.25, description="The highest limit.")
    retry_after: Annotated[Optional[Interval], OrOff()] = Field(
        default=300.0,
        description="The longest Retry-After that is waited for: a reply that asks for longer is not tried again. Or "
        "off, and it is waited as for any other.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max < self.base:
            raise ValueError("expected max to be at least base")
        return self


class Budget(Model):
    """How many tries may be added to the calls of a route, so that retries do not bring down what is in trouble."""

    percent: float = Field(default=20.0, ge=0, le=1000, description="Retries, as a percentage of the calls of late.")
    least: float = Field(default=3.0, ge=0, description="Retries a second that are free, for quiet routes.")
    window: Interval = Field(default=10.0, description="What is of late.")


def _hedge(value: Any) -> Any:
    return {"after": value} if isinstance(value, (str, int, float)) and not isinstance(value, bool) else value


class Hedge(Model):
    """Begins another try beside one that takes long, of what may be done twice; the first good answer counts."""

    after: Optional[Interval] = Field(default=None, description="How long a try may take before another begins.")
    percentile: Optional[float] = Field(
        default=None,
        gt=0,
        lt=100,
        description="Another begins when one takes longer than this percentage of those of late, 95 say; with after, "
        "not before that. None begins while fewer than 50 are known.",
    )
    most: int = Field(default=1, ge=1, le=10, description="How many are begun beside the first.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.after is None and self.percentile is None:
            raise ValueError("expected after, percentile or both")
        return self


def _condition(value: Any) -> Union[str, int]:
    if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
        return int(value)
    if isinstance(value, str) and value in CONDITIONS:
        return str(value)
    raise expected(f"{', '.join(CONDITIONS)} or a status from 400 to 599", value)


Condition = Annotated[
    Union[str, int],
    BeforeValidator(_condition),
    WithJsonSchema({"anyOf": [{"enum": list(CONDITIONS)}, {"type": "integer", "minimum": 400, "maximum": 599}]}),
]


class Retry(Model):
    """When a call is tried again, on another endpoint where there is one."""

    attempts: int = Field(default=3, ge=1, le=100, description="Tries in all, the first included.")
    when: Annotated[tuple[Condition, ...], ONE_OR_LIST] = Field(
        default=("connect_failed", "reset"),
        description="After which failures: connect_failed, reset (before a reply, and only what may be sent twice), "
        "5xx, gateway_error (502, 503, 504), retriable_4xx (409), or a status; statuses only for idempotent methods. "
        "For Redis also loading, busy, cluster_down, master_down, try_again and read_only: it has done nothing.",
    )
    backoff: Backoff = Field(default=Backoff.model_construct(), description="How long to wait before another try.")
    budget: Annotated[Optional[Budget], OrOff()] = Field(
        default=Budget.model_construct(),
        description="How many retries there may be in all; those after no connection do not count. Or off.",
    )
    per_try_timeout: Optional[Interval] = Field(
        default=None,
        description="How long one try may take to the head of its reply, connecting included, once the request "
        "is whole; one that takes longer is tried again if it may be sent twice. The timeout holds for all together.",
    )
    hedge: Annotated[Optional[Hedge], Short(_hedge, {"type": "string", "description": "after"})] = Field(
        default=None, description="When another try begins beside one that takes long: DURATION or {after, percentile}."
    )

    @model_validator(mode="after")
    def _enough_tries(self) -> Self:
        if self.hedge is not None and self.attempts < 2:
            raise ValueError("hedge: what is begun beside a try is one of the attempts: expected 2 or more of them")
        return self


_RETRY = Retry.model_construct()


class Route(Model):
    """One entry of a routing table; the first that matches a call is taken."""

    later: ClassVar[frozenset[str]] = frozenset(["fault", "hash"])

    name: Annotated[str, AfterValidator(_name)] = Field(
        default="", description="Its name in logs and metrics; TABLE[n] if not given."
    )
    match: Match = Field(default=Match.model_construct(), description="Which calls it is for; all if not given.")
    to: Annotated[tuple[Target, ...], Short(_targets, *_TARGETS)] = Field(
        default=(), description="The cluster: NAME, {NAME: WEIGHT, ...}, or a list of {cluster, weight, headers}."
    )
    sticky: Annotated[tuple[Annotated[HashKey, HASH_KEY], ...], ONE_OR_LIST] = Field(
        default=(),
        description="With several clusters: calls that are alike in this go to the same one for as long as the weights "
        "stay; of several the first that a call has. source, host, path, key (of Redis) or identity, or "
        "{header: NAME}, {cookie: NAME}, {query: NAME}.",
    )
    failover: Annotated[tuple[Name, ...], ONE_OR_LIST] = Field(
        default=(),
        description="Clusters for the time in which the one that was picked has no endpoint, or no healthy one: the "
        "first of these that has one.",
    )
    rewrite: Optional[Rewrite] = Field(
        default=None, description="The path or the host to ask the endpoint for, if not those that were asked for."
    )
    mirror: Annotated[tuple[Annotated[Mirror, MIRROR], ...], ONE_OR_LIST] = Field(
        default=(), description="Clusters that get a copy of calls: NAME, or {cluster, percent, compare, ...}."
    )
    redirect: Optional[Redirect] = Field(default=None, description="Answer with another place to go to.")
    reply: Optional[FixedReply] = Field(default=None, description="Answer at once.")
    timeout: DurationOrOff = Field(
        default=15.0, description="From the end of the request to the head of the reply, all tries included; or off."
    )
    deadline: Literal["caller", "always", "off"] = Field(
        default="caller",
        description="How long the caller waits by grpc-timeout or x-mesh-timeout counts up to the timeout, and the "
        "endpoint is told what is left; always: it is told of the timeout also where the caller says nothing; off: "
        "what the caller says is passed on as it is.",
    )
    idle_timeout: Optional[Duration] = Field(
        default=None, description="How long the bodies may stand still; the listener's stream_idle if not given."
    )
    max_duration: Optional[Interval] = Field(
        default=None, description="How long a call may take in all; no limit if not given."
    )
    body_limit: Optional[Size] = Field(
        default=None, description="The largest request body; the listener's if not given."
    )
    upgrade: bool = Field(default=True, description="Whether connections may be upgraded (WebSocket and others).")
    priority: Literal["low", "default", "high"] = Field(
        default="default",
        description="How much its calls matter: to the limits of a cluster, and to the filter shed.",
    )
    retry: Annotated[Optional[Retry], OrOff()] = Field(
        default=Retry.model_construct(), description="When a call is tried again; or off."
    )
    filters: tuple[FilterUse, ...] = Field(
        default=(), description="Filters for this route's calls only, outermost first."
    )

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if bool(self.to) + (self.redirect is not None) + (self.reply is not None) != 1:
            raise ValueError("expected exactly one of to, redirect and reply")
        if not self.to and (self.rewrite is not None or self.sticky or self.mirror or self.failover):
            raise ValueError("failover, rewrite, sticky and mirror are for routes with to")
        if not self.to and self.retry is not None and self.retry != _RETRY:
            raise ValueError("retry is for routes with to")
        return self

    @model_validator(mode="after")
    def _has_an_effect(self) -> Self:
        # Of several clusters each may stand in for another.
        before = [self.to[0].cluster] if len(self.to) == 1 else []
        for name in self.failover:
            if name in before:
                raise ValueError(f"failover: {name} is where the calls would have gone before")
            before.append(name)
        _in_time(self)
        return self

    @model_validator(mode="after")
    def _fits_the_match(self) -> Self:
        matched = self.match.path
        prefix, template = (None, None) if matched is None else (matched.prefix, matched.template)
        known = [] if template is None else Template(template).names
        for name, change in (("redirect", self.redirect), ("rewrite", self.rewrite)):
            if change is None:
                continue
            if change.prefix is not None and prefix is None:
                raise ValueError(f"{name}: prefix needs a match whose path has a prefix")
            missing = [each for each in slots(change.path or "") if each not in known]
            if missing:
                there = f"; there are {', '.join(known)}" if known else ""
                raise ValueError(f"{name}: the match's template has no segment {{{missing[0]}}}{there}")
        return self


def _in_time(route: Route) -> None:
    """Refuse times that others never let come to their end."""
    limit, idle, whole, retry = route.timeout, route.idle_timeout, route.max_duration, route.retry
    if limit is None and route.deadline == "always":
        raise ValueError("deadline: always tells of the timeout, which is off")
    if idle is not None and whole is not None and idle > whole:
        raise ValueError(f"idle_timeout: {_longer(idle, 'max_duration', whole)}")
    if retry is None or not route.to:
        return
    one, hedge = retry.per_try_timeout, retry.hedge
    if one is not None and limit is not None and one > limit:
        raise ValueError(f"retry.per_try_timeout: {_longer(one, 'timeout', limit)}")
    after = None if hedge is None else hedge.after
    if after is not None and limit is not None and after >= limit:
        raise ValueError(
            f"retry.hedge: no try is begun after {duration_text(after)}, as the timeout is {duration_text(limit)}"
        )
    if after is not None and one is not None and after >= one:
        why = f"as a try ends by the per_try_timeout of {duration_text(one)}"
        raise ValueError(f"retry.hedge: no try is begun after {duration_text(after)}, {why}")


def _longer(time: float, name: str, limit: float) -> str:
    return f"{duration_text(time)} is longer than the {name}, {duration_text(limit)}, which comes first"

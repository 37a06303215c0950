"""A route: which calls it is for, and what becomes of them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Mapping, Optional, Union

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator
from typing_extensions import Self

from twisted_mesh.model.base import ONE_OR_LIST, DurationOrOff, Model, Name, OrOff, Short, check_name
from twisted_mesh.model.fields import HeaderValue, SetHeaderName
from twisted_mesh.model.filters import FilterUse
from twisted_mesh.model.match import Match, Path
from twisted_mesh.model.text import expected
from twisted_mesh.model.units import Duration, Interval, Size

CONDITIONS = ("connect_failed", "reset", "5xx", "gateway_error", "retriable_4xx")


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


class Redirect(Model):
    """Answers with another place to go to: the request's own URL with some parts replaced, or a whole one."""

    path: Optional[Path] = Field(default=None, description="The path to go to; the query stays.")
    host: Optional[str] = Field(default=None, description="The host to go to, with a port if need be.")
    scheme: Optional[Literal["http", "https"]] = Field(default=None, description="The scheme to go to.")
    url: Optional[HeaderValue] = Field(default=None, description="The whole URL, instead of the parts.")
    status: Literal[301, 302, 303, 307, 308] = Field(default=302, description="The status.")

    @model_validator(mode="after")
    def _whole_or_parts(self) -> Self:
        parts = [each for each in (self.path, self.host, self.scheme) if each is not None]
        if (self.url is None) == (not parts):
            raise ValueError("expected either url, or one or more of path, host and scheme")
        return self


class FixedReply(Model):
    """Answers at once."""

    status: int = Field(default=200, ge=200, le=599, description="The status.")
    body: str = Field(default="", description="The body, as UTF-8.")
    headers: dict[SetHeaderName, HeaderValue] = Field(default={}, description="The headers.")


class Backoff(Model):
    """How long to wait before another try: a random time up to a limit that doubles with each try."""

    base: Interval = Field(default=0.025, description="The limit before the second try.")
    max: Interval = Field(default=0.25, description="The highest limit.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max < self.base:
            raise ValueError("expected max to be at least base")
        return self


class Budget(Model):
    """How many tries may be added to the calls of a route, so that retries do not bring down what is in trouble."""

    percent: float = Field(default=20.0, ge=0, le=1000, description="Retries, as a percentage of the calls of late.")
    least: int = Field(default=3, ge=0, description="Retries within the window that are free, for routes with few calls.")
    window: Interval = Field(default=10.0, description="What is of late.")


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

    later: ClassVar[frozenset[str]] = frozenset(["per_try_timeout"])

    attempts: int = Field(default=3, ge=1, le=100, description="Tries in all, the first included.")
    when: Annotated[tuple[Condition, ...], ONE_OR_LIST] = Field(
        default=("connect_failed", "reset"),
        description="After which failures: connect_failed, reset (before a reply, and only what may be sent twice), "
        "5xx, gateway_error (502, 503, 504), retriable_4xx (409), or a status; statuses only for idempotent methods.",
    )
    backoff: Backoff = Field(default=Backoff.model_construct(), description="How long to wait before another try.")
    budget: Optional[Budget] = Field(
        default=None, description="How many retries there may be in all, {} with the defaults; any number if not given."
    )


class Route(Model):
    """One entry of a routing table; the first that matches a call is taken."""

    later: ClassVar[frozenset[str]] = frozenset(["fault", "hash", "mirror", "rewrite", "strip"])

    name: Annotated[str, AfterValidator(_name)] = Field(
        default="", description="Its name in logs and metrics; TABLE[n] if not given."
    )
    match: Match = Field(default=Match.model_construct(), description="Which calls it is for; all if not given.")
    to: Annotated[tuple[Target, ...], Short(_targets, *_TARGETS)] = Field(
        default=(), description="The cluster: NAME, {NAME: WEIGHT, ...}, or a list of {cluster, weight, headers}."
    )
    redirect: Optional[Redirect] = Field(default=None, description="Answer with another place to go to.")
    reply: Optional[FixedReply] = Field(default=None, description="Answer at once.")
    timeout: DurationOrOff = Field(
        default=15.0, description="From the end of the request to the head of the reply, all tries included; or off."
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
        return self

"""When endpoints are left out for what calls show of them."""

from __future__ import annotations

from typing import Literal, Optional

from pydantic import Field, model_validator
from typing_extensions import Self

from twisted_mesh.model.base import Model
from twisted_mesh.model.units import Duration, Interval


class Breaker(Model):
    """Stops sending calls to an endpoint that fails, and lets one find out from time to time.

    Failures are statuses of 5xx, failed connections, resets and timeouts, and errors by which a Redis server says that
    it can do nothing; what the sidecar itself refuses is none.
    While the breakers of all endpoints are open, calls fail at once.
    """

    failures: int = Field(default=7, ge=0, description="Failures in a row that open it; 0 is any number.")
    percent: float = Field(
        default=50.0, ge=0, le=100, description="Percentage of failures within the window that opens it; 0 is any."
    )
    calls: int = Field(
        default=20, ge=1, description="Calls within the window without which the percentage says little."
    )
    window: Interval = Field(default=10.0, description="How far back the percentage looks.")
    least: Interval = Field(
        default=1.0, description="How long it is open first; twice as long after each probe that fails."
    )
    most: Interval = Field(default=60.0, description="How long it is open at most, but for jitter: half as much again.")
    shared: int = Field(
        default=0,
        ge=0,
        description="Sidecars of the mesh whose breakers for an endpoint must be open for this one to open too; 0: it"
        " goes by its own calls only. Needs Redis.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.most < self.least:
            raise ValueError("expected most to be at least least")
        if not self.failures and not self.percent:
            raise ValueError("expected failures or percent to be more than 0, or the breaker would never open")
        return self


class PriorityLimits(Model):
    """How many calls of one priority a cluster has at once, apart from those of the others."""

    calls: int = Field(default=1024, ge=1, description="Calls in flight.")
    waiting: int = Field(default=1024, ge=0, description="Calls that wait for one of those to end; more are refused.")
    wait: Duration = Field(default=1.0, description="How long they wait.")
    retries: Optional[int] = Field(
        default=None, ge=0, description="Retries under way, back-off included; as many as budgets allow if not given."
    )
    connections: Optional[int] = Field(
        default=None,
        ge=1,
        description="Connections that were made for these calls, to all endpoints together; among those of the cluster"
        " if not given. Of Redis those that a client or a large value has for itself.",
    )


class Limits(Model):
    """How many calls a cluster has at once, over all of its endpoints and all routes that lead there.

    A call counts from its first try until its last byte; for TCP that is the whole connection.  Of those that wait the
    ones with a higher priority come first, and where too many do, they take the places of others.
    """

    calls: int = Field(default=1024, ge=1, description="Calls in flight.")
    waiting: int = Field(default=1024, ge=0, description="Calls that wait for one of those to end; more are refused.")
    wait: Duration = Field(default=1.0, description="How long they wait.")
    retries: Optional[int] = Field(
        default=None, ge=0, description="Retries under way, back-off included; as many as budgets allow if not given."
    )
    connections: Optional[int] = Field(
        default=None,
        ge=1,
        description="Connections to all endpoints together, beside what pool allows for each; any number if not given.",
    )
    priorities: dict[Literal["low", "default", "high"], PriorityLimits] = Field(
        default={},
        description="Limits of their own for calls of routes with these priorities; the others share those above.",
    )


class Outlier(Model):
    """Leaves out endpoints that do worse than the others, for a time that grows each time.

    Never the last endpoint, and no more than a share of them.  Failures are those of a breaker.
    """

    errors: int = Field(default=5, ge=0, description="Failures in a row, 5xx among them; 0 is any number.")
    gateway_errors: int = Field(default=0, ge=0, description="502, 503, 504 and no answer in a row; 0 is any number.")
    failures: int = Field(default=5, ge=0, description="Calls without an answer in a row; 0 is any number.")
    deviations: float = Field(
        default=1.9,
        ge=0,
        description="Standard deviations below the mean of all that the share of good calls may be; 0 is any.",
    )
    percent: float = Field(default=0.0, ge=0, le=100, description="Percentage of calls that may not fail; 0 is any.")
    interval: Interval = Field(default=10.0, description="From one look at shares to the next.")
    endpoints: int = Field(default=5, ge=1, description="Endpoints with enough calls without which shares say little.")
    calls: int = Field(
        default=100, ge=1, description="Calls of an endpoint in an interval that are enough for deviations."
    )
    percent_calls: int = Field(default=50, ge=1, description="The same for percent.")
    base: Interval = Field(default=30.0, description="How long it is left out the first time; n times that the n-th.")
    most: Interval = Field(default=300.0, description="How long it is left out at most.")
    share: float = Field(
        default=10.0, ge=0, le=100, description="Percentage of the endpoints that may be out; one always may."
    )
    shared: int = Field(
        default=0,
        ge=0,
        description="Sidecars of the mesh that must have ejected an endpoint for this one to do so too; 0: it goes by"
        " its own calls only. Needs Redis.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.most < self.base:
            raise ValueError("expected most to be at least base")
        if not (self.errors or self.gateway_errors or self.failures or self.deviations or self.percent or self.shared):
            raise ValueError("expected one of the rules to be more than 0, or nothing would ever be left out")
        return self

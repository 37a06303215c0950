"""Where the endpoints of a cluster are, and how long they are there, for what it says of their share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator
from typing_extensions import Self

from twisted_mesh.model.base import ONE_OR_LIST, Model
from twisted_mesh.model.units import Interval


class Locality(Model):
    """Which zones calls go to.  Zones are those of the endpoints; the sidecar's own is that of its node.

    A zone takes less as soon as fewer of its endpoints can be used than `spare` makes up for, and the other zones take
    the rest; where all together cannot take everything, all take more.  While a cluster panics calls go to all zones
    alike; it does not as long as other zones can stand in.
    """

    order: Annotated[tuple[str, ...], ONE_OR_LIST] = Field(
        default=(), description="The zones to turn to, nearest first, when one's own cannot take all; then all others."
    )
    weights: dict[str, Annotated[float, Field(ge=0, le=1_000_000)]] = Field(
        default={},
        description="The shares of zones, 1 for those not named; the sidecar's own goes before others if not given.",
    )
    spare: float = Field(
        default=1.4,
        ge=1,
        le=100,
        description="How many times its share a zone could take: with 1.4 it takes all while 72 % of it can be used.",
    )
    least: int = Field(
        default=1, ge=1, description="With fewer endpoints than this in the sidecar's own zone, calls go everywhere."
    )

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.weights and (self.order or self.least > 1):
            raise ValueError("weights share calls among all zones: order and least are for those that prefer their own")
        if self.weights and not any(self.weights.values()):
            raise ValueError("expected a weight of more than 0 for one zone at least")
        twice = next((each for at, each in enumerate(self.order) if each in self.order[:at]), None)
        if twice is not None:
            raise ValueError(f"order: {twice} is given twice")
        return self


def slowly(value: Any) -> Any:
    """Read the short form of `SlowStart`, which is its window."""
    return {"window": value} if isinstance(value, (str, int, float)) and not isinstance(value, bool) else value


class SlowStart(Model):
    """How the share of an endpoint grows that has joined a cluster which runs already, or is well again."""

    window: Interval = Field(description="How long until it has its whole weight.")
    aggression: float = Field(
        default=1.0, gt=0, le=10, description="1 grows evenly, more grows faster in the beginning, less slower."
    )
    least: float = Field(default=10.0, gt=0, le=100, description="The percentage of its weight that it begins with.")

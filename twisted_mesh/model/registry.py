"""How a sidecar looks after the service registry."""

from __future__ import annotations

from pydantic import Field

from twisted_mesh.model.base import Model
from twisted_mesh.model.units import Duration, Interval


class Registry(Model):
    """What holds for all services."""

    mass_expiry: float = Field(
        default=50.0,
        ge=0,
        le=100,
        description="When the leases of more than this percentage of a service's instances run out together, these are "
        "kept as suspects; 100 keeps none.",
    )
    suspects_for: Duration = Field(default=60.0, description="How long suspects are kept.")
    poll: Interval = Field(default=1.0, description="How often versions are compared, should a message have been lost.")

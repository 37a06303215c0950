"""Who a sidecar is, and what it registers for its application."""

from __future__ import annotations

from typing import Annotated, Optional

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from twisted_mesh.model.base import Model, Name
from twisted_mesh.model.cluster import HealthCheck, connectable
from twisted_mesh.model.text import expected
from twisted_mesh.model.units import Address, Duration, Interval, duration_text

# A lease without a heartbeat given is renewed so many times while it lasts.
BEATS = 3
SHORTEST_LEASE = 0.5


def _host(text: str) -> str:
    shown = f"[{text}]" if ":" in text else text
    try:
        return Address.parse(f"{shown}:1").host
    except ValueError:
        raise expected("an IP address or a host name, without a port", text) from None


def _port(port: int) -> int:
    if not 1 <= port <= 65535:
        raise expected("a port from 1 to 65535", port)
    return port


Port = Annotated[int, AfterValidator(_port)]


class Node(Model):
    """Who this sidecar is, and how its application is registered where there is a registry (`redis`)."""

    id: str = Field(default="", description="Its name; the host's name if empty.")
    service: str = Field(
        default="", description="The service it stands in front of; its application is registered under this name."
    )
    zone: str = Field(default="", description="Where it runs.")
    labels: dict[str, str] = Field(default={}, description="What else is known of it.")
    version: str = Field(default="", description="The application's version; the label version if empty.")
    weight: int = Field(default=1, ge=1, le=1_000_000, description="Its share of the calls against other instances'.")
    registered: bool = Field(
        default=True, description="Whether the application is registered; false is for what only calls others."
    )
    address: Optional[Annotated[str, AfterValidator(_host)]] = Field(
        default=None,
        description="Where others reach it: an IP address or a name, without a port. If not given, the address that "
        "this machine has on the way to Redis.",
    )
    ports: dict[Name, Port] = Field(
        default={},
        description="Under which port others reach it, by protocol; if not given, those of its listeners, one for each "
        "protocol.",
    )
    app: Optional[Annotated[Address, AfterValidator(connectable)]] = Field(
        default=None,
        description="Where the application itself listens, for the health check; if not given, the address and the "
        "first port that are registered.",
    )
    health_check: HealthCheck = Field(
        default=HealthCheck.model_construct(tcp=True),
        description="How the application is asked whether it is well; it is registered only while it is.",
    )
    lease: Interval = Field(default=15.0, description="How long it stays registered when nothing is heard of it.")
    heartbeat: Optional[Duration] = Field(
        default=None, description="How often the lease is renewed; a third of the lease if not given."
    )

    @property
    def beat(self) -> float:
        """Seconds between two heartbeats."""
        return self.lease / BEATS if self.heartbeat is None else self.heartbeat

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        if self.lease < SHORTEST_LEASE:
            raise ValueError(f"expected a lease of at least {duration_text(SHORTEST_LEASE)}")
        if not 0 < self.beat * 2 <= self.lease:
            raise ValueError(
                f"expected a heartbeat of at most half of the lease of {duration_text(self.lease)}, so that one may be "
                f"lost, got {duration_text(self.beat)}"
            )
        return self

"""The whole configuration of a sidecar."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Optional

from pydantic import BeforeValidator, Field

from twisted_mesh.model.base import NOT_YET, Model, Name, OrOff
from twisted_mesh.model.cluster import Cluster
from twisted_mesh.model.listener import AccessLog, Listener
from twisted_mesh.model.node import Node
from twisted_mesh.model.redis import RedisSetting
from twisted_mesh.model.registry import Registry
from twisted_mesh.model.route import Route
from twisted_mesh.model.text import expected
from twisted_mesh.model.units import Address, Duration


def _one_worker(value: Any) -> int:
    if type(value) is bool or not isinstance(value, (int, str)) or (isinstance(value, str) and value != "auto"):
        raise expected("1", value)
    if value != 1:
        raise ValueError(NOT_YET)
    return 1


class Drain(Model):
    """How the sidecar ends."""

    limit: Duration = Field(default=30.0, description="How long calls in flight may take to finish.")
    wait: Duration = Field(
        default=1.0, description="From the first failing /ready to the listeners' end, so that balancers have noticed."
    )


class Config(Model):
    """The whole configuration of a sidecar."""

    later: ClassVar[frozenset[str]] = frozenset(["identity", "tracing"])

    mesh: Name = Field(default="default", description="The mesh that this sidecar belongs to.")
    node: Node = Field(default=Node.model_construct(), description="Who this sidecar is.")
    admin: Annotated[Optional[Address], OrOff()] = Field(
        default=Address("127.0.0.1", 9901), description="Where the admin answers; or off."
    )
    redis: RedisSetting = None
    state: str = Field(
        default="",
        description="The directory for what is kept for a start while Redis is away, and for the data of an embedded "
        "server; if empty, ~/.local/state/twisted_mesh/MESH, for root below /var/lib.",
    )
    registry: Registry = Field(default=Registry.model_construct(), description="How the registry is looked after.")
    access_log: Annotated[Optional[AccessLog], OrOff()] = Field(
        default=AccessLog.model_construct(), description="Where calls are logged, and how; or off."
    )
    drain: Drain = Field(default=Drain.model_construct(), description="How the sidecar ends.")
    workers: Annotated[int, BeforeValidator(_one_worker)] = Field(
        default=1, description="How many processes carry traffic: 1."
    )
    listeners: dict[Name, Listener] = Field(default={}, description="Where connections come in, by name.")
    routes: dict[Name, tuple[Route, ...]] = Field(
        default={}, description="Routing tables by name; the first match wins."
    )
    clusters: dict[Name, Cluster] = Field(default={}, description="Where calls go, by name.")

    def access_log_of(self, listener: Listener) -> Optional[AccessLog]:
        """Return the access log of a listener, None if it has none."""
        if listener.access_log is None:
            return self.access_log
        return None if listener.access_log == "off" else listener.access_log

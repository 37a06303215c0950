"""The service registry as clusters see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Protocol, Sequence

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from twisted_mesh.policy.agreement import Opinion


class InstanceLike(Protocol):
    """One instance of a service, as the registry knows it."""

    @property
    def id(self) -> str: ...
    @property
    def zone(self) -> str: ...
    @property
    def weight(self) -> int: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def version(self) -> str: ...
    @property
    def status(self) -> str: ...

    def label(self, name: str) -> str:
        """Return a label's value, "" if it has none."""

    def target(self, protocol: str = "") -> str:
        """Return ``host:port``, "" if there is no such port."""


class ViewLike(Protocol):
    """What is known of a service now; see `twisted_mesh.bus.view.View`."""

    version: int
    synced: bool
    known: bool
    stale_since: Optional[float]
    touched: frozenset[str]
    vanished: frozenset[str]

    @property
    def records(self) -> Mapping[str, Any]: ...
    @property
    def suspects(self) -> Mapping[str, Any]: ...


class Stoppable(Protocol):
    """What ends when it is told to."""

    def stop(self) -> None:
        """End."""


class Verdicts(Protocol):
    """What the sidecars of a mesh say of endpoints to each other."""

    def follow(self, cluster: str, heard: Callable[[Sequence[Opinion]], None]) -> Stoppable:
        """Call `heard` with what others say of the endpoints of a cluster, each time that it changes."""

    def tell(self, cluster: str, endpoint: str, kind: str, reason: str, seconds: float) -> None:
        """Say that an endpoint is left out here for so many seconds."""


class Services(Protocol):
    """The service registry."""

    def follow(self, service: str, changed: Callable[[Any], None]) -> Stoppable:
        """Call `changed` with the view of a service whenever it has changed, and at once if anything is known."""

    def refused(self, service: str, id: str) -> Deferred[bool]:
        """A connection to an instance was refused: if it is a suspect, it is gone."""

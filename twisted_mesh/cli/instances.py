"""What the commands about services share: instances as text and as JSON, and how one of them is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Sequence

from twisted_mesh.cli.failure import Failure
from twisted_mesh.cli.session import Session

if TYPE_CHECKING:
    from twisted_mesh.bus.instance import Instance
    from twisted_mesh.bus.registry import ServiceView


async def find(session: Session, service: str, text: str) -> Instance:
    """Return the instance of a service that has this id, or this address.

    :raises Failure: there is none, or there are several at that address.
    """
    view = await session.registry.instances(service)
    if text in view.records:
        return view.records[text]
    found = [each for each in view.instances if text in addresses(each)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(each.id for each in found)
        raise Failure(f"{service} has several instances at {text}: name one by its id: {ids}")
    raise Failure(f"{service} has no instance {text}{_there_are(view)}")


async def missing(session: Session, service: str, text: str) -> str:
    """Return what to say where no instance of a service has this id or address, "" where one has."""
    view = await session.registry.instances(service)
    if text in view.records or any(text in addresses(each) for each in view.instances):
        return ""
    return f"{service} has no instance {text}{_there_are(view)}"


def _there_are(view: ServiceView) -> str:
    if not view.records:
        return "; it has none at all"
    ids = sorted(view.records)
    more = f" and {len(ids) - 10} more" if len(ids) > 10 else ""
    return f"; there are {', '.join(ids[:10])}{more}"


def addresses(instance: Instance) -> Sequence[str]:
    """Return ``host:port`` for each of its ports."""
    return [instance.target(protocol) for protocol in instance.ports]


def as_json(instance: Instance, view: Optional[ServiceView] = None, now: float = 0.0) -> dict[str, Any]:
    """Return an instance for programs; with its view, whether it is a suspect."""
    # Defaults are left out in a record; programs want every name.
    made: dict[str, Any] = {name: getattr(instance, name) for name in instance.__struct_fields__}
    made["expires"] = instance.expires / 1000 if instance.expires else None
    made["expires_in"] = round(instance.expires / 1000 - now, 3) if instance.expires and now else None
    if view is not None:
        suspect = view.suspects.get(instance.id)
        made["suspect"] = None if suspect is None else {"until": suspect.until, "why": suspect.why}
    return made

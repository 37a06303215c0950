"""Calls that are sent to another cluster as well."""

from __future__ import annotations

from typing import Annotated, Any, Optional

from pydantic import AfterValidator, Field

from twisted_mesh.model.base import ONE_OR_LIST, Model, Name, Short
from twisted_mesh.model.fields import HeaderName
from twisted_mesh.model.match import check_command
from twisted_mesh.model.units import Interval


class Compare(Model):
    """What must be the same in the two answers; where it is not, that is counted, and one in a second is logged."""

    status: bool = Field(default=True, description="The status.")
    headers: Annotated[tuple[HeaderName, ...], ONE_OR_LIST] = Field(default=(), description="These headers.")
    body: bool = Field(default=True, description="The body, by its digest.")


class Mirror(Model):
    """A cluster that gets a copy of calls; its answers are thrown away.

    A copy is sent once the head of the real answer is known, and changes nothing about it.  Upgrades and requests with
    bodies over 64 KiB, or of a length that they do not tell, are not copied.  Copies of Redis commands are sent right
    behind the real ones; what belongs to a transaction or a subscription is not copied.
    """

    cluster: Name = Field(description="The cluster's name.")
    percent: float = Field(default=100.0, ge=0, le=100, description="The percentage of the calls that are copied.")
    command: Annotated[tuple[Annotated[str, AfterValidator(check_command)], ...], ONE_OR_LIST] = Field(
        default=(), description="Of Redis: the commands or classes that are copied, such as @write; all if not given."
    )
    timeout: Interval = Field(default=15.0, description="For the whole answer to a copy.")
    max_active: Optional[int] = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Copies that may be under way; beyond, calls are not copied. 100, and 10000 for Redis, if not "
        "given.",
    )
    compare: Optional[Compare] = Field(default=None, description="Compare the answers; they are not if not given.")


def _mirror(value: Any) -> Any:
    return {"cluster": value} if isinstance(value, str) else value


MIRROR = Short(_mirror, {"type": "string", "description": "The cluster."})
"""Marks a `Mirror` that may be written as the name of its cluster."""

"""What clusters ask of the service registry is what the bus has."""

from __future__ import annotations

from typing import Any

import pytest
from typing_extensions import get_protocol_members

from twisted_mesh.bus.follow import Following
from twisted_mesh.bus.instance import Instance
from twisted_mesh.bus.registry import ServiceRegistry
from twisted_mesh.bus.verdicts import Verdicts
from twisted_mesh.bus.view import View
from twisted_mesh.upstream import services

INSTANCE = Instance(id="i1", service="web", address="127.0.0.1", ports={"http": 80}, zone="a", version="2")


@pytest.mark.parametrize(
    ("asked", "has"),
    [
        (services.InstanceLike, INSTANCE),
        (services.ViewLike, View("web", lambda name, id, record: INSTANCE)),
        (services.Stoppable, Following),
        (services.Verdicts, Verdicts),
        (services.Services, ServiceRegistry),
    ],
)
def test_the_bus_has_what_is_asked(asked: Any, has: Any) -> None:
    assert [name for name in get_protocol_members(asked) if not hasattr(has, name)] == []


def test_an_instance_says_where_it_is_reached() -> None:
    instance: services.InstanceLike = INSTANCE
    assert (instance.target("http"), instance.target("grpc"), instance.label("x")) == ("127.0.0.1:80", "", "")
    assert (instance.id, instance.zone, instance.version) == ("i1", "a", "2")

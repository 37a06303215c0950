"""What is counted of the bus."""

from __future__ import annotations

from twisted_mesh.families import Families
from twisted_mesh.metrics import Registry


def test_none_is_of_a_listener_or_a_cluster_as_all_share_the_bus() -> None:
    names = []
    for each in Families(Registry()).registry.families():
        if each.name.startswith(("twisted_mesh_bus_", "twisted_mesh_registration_")):
            names.append(each.name)
            assert set(each.label_names) <= {"link", "result", "kind", "by"}, each.name
    assert len(names) > 10

"""What is counted of the sidecar itself."""

from __future__ import annotations

from twisted_mesh.families import Families
from twisted_mesh.metrics import Registry


def test_those_of_filters_say_of_which_and_those_of_the_process_are_gauges() -> None:
    filters, process = 0, 0
    for each in Families(Registry()).registry.families():
        if each.name.startswith("twisted_mesh_filter_"):
            filters += 1
            assert each.label_names[0] == "filter", each.name
        elif each.name.startswith("twisted_mesh_process_"):
            process += 1
            assert each.kind == "gauge" and len(each.label_names) <= 1, each.name
    assert filters > 10 and process > 4

"""What is counted of listeners and clusters."""

from __future__ import annotations

from twisted_mesh.families import Families
from twisted_mesh.metrics import Registry


def test_each_says_what_it_is_of_so_that_it_leaves_with_that() -> None:
    """What is no more in the configuration is forgotten by its label."""
    of = {"downstream": {"listener"}, "redis": {"listener", "chain"}, "upstream": {"cluster"}, "cluster": {"cluster"}}
    seen = set()
    for each in Families(Registry()).registry.families():
        layer = each.name.split("_")[2]
        if layer in of:
            seen.add(layer)
            assert of[layer] & set(each.label_names), each.name
    assert seen == set(of)

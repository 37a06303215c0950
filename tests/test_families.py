"""One set of names for all."""

from __future__ import annotations

import re

from twisted_mesh.families import Families
from twisted_mesh.metrics import Registry


def test_the_families_of_a_registry_are_made_once() -> None:
    registry = Registry()
    assert Families(registry) is Families(registry)
    assert Families(Registry()) is not Families(registry)
    assert Families(registry).registry is registry


def test_names_are_in_base_units_and_of_known_layers() -> None:
    families = Families(Registry())
    layers = ("downstream", "upstream", "cluster", "filter", "config", "access_log", "bus", "redis", "registration")
    layer = re.compile(rf"twisted_mesh_({'|'.join((*layers, 'process', 'metrics', 'ready', 'info'))})")
    for each in families.registry.families():
        assert layer.match(each.name)
        assert each.help.endswith(".")
        assert (each.kind == "counter") == each.name.endswith("_total")
        assert (each.kind == "histogram") == each.name.endswith("_seconds") or re.search(
            "timestamp|_age_|_ideal_", each.name
        ) is not None
        assert set(each.label_names) <= {
            *("protocol", "listener", "route", "cluster", "code", "flag", "state", "filter", "mode", "decision"),
            *("result", "path", "link", "kind", "by", "family", "version", "priority", "node", "service", "zone"),
            *("command", "chain", "why", "of", "side", "certificate"),
        }


def test_what_left_the_configuration_leaves_the_metrics() -> None:
    families = Families(Registry())
    families.upstream("http", "gone").connects.value += 1
    families.upstream("http", "kept").connects.value += 1
    families.endpoints.labels("gone").value = 2
    families.registry.forget("cluster", "gone")
    text = families.registry.expose()
    assert b"gone" not in text
    assert b'cluster="kept"' in text

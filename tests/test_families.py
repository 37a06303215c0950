"""One set of names for all; bundles that count on them."""

from __future__ import annotations

import re

from twisted_mesh.errors import FLAGS, Kind
from twisted_mesh.families import Families, code_label, flag_label
from twisted_mesh.metrics import Registry


def test_two_sets_of_families_count_on_the_same_cells() -> None:
    registry = Registry()
    Families(registry).listener("http", "edge").connections.value += 1
    Families(registry).listener("http", "edge").connections.value += 1
    assert b'twisted_mesh_downstream_connections_total{protocol="http",listener="edge"} 2\n' in registry.expose()


def test_the_families_of_a_registry_are_made_once() -> None:
    registry = Registry()
    assert Families(registry) is Families(registry)
    assert Families(Registry()) is not Families(registry)
    assert Families(registry).registry is registry


def test_names_are_in_base_units_and_of_known_layers() -> None:
    families = Families(Registry())
    layer = re.compile(
        r"twisted_mesh_(downstream|upstream|cluster|filter|config|access_log|bus|redis|registration|metrics|ready|info)"
    )
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
            *("command", "chain", "why"),
        }


def test_a_status_is_counted_by_its_class() -> None:
    assert [code_label(each) for each in (0, 101, 204, 302, 404, 599)] == ["-", "1xx", "2xx", "3xx", "4xx", "5xx"]
    assert code_label(999) == code_label(-1) == "other"


def test_the_first_flag_counts_and_an_invented_one_is_other() -> None:
    assert flag_label(()) == "-"
    assert flag_label(("UF", "URX")) == "UF"
    assert flag_label(("$%&",)) == "other"
    for kind in Kind:
        assert flag_label((FLAGS[kind],)) == FLAGS[kind]


def test_tries_are_counted_by_code_and_flag_with_their_latency() -> None:
    registry = Registry()
    cells = Families(registry).upstream("http", "api")
    cells.ended(200, None, 0.004)
    cells.ended(201, None, 0.004)
    cells.ended(0, "UF", 0.5)
    text = registry.expose()
    start = b'twisted_mesh_upstream_calls_total{protocol="http",cluster="api",'
    assert start + b'code="2xx",flag="-"} 2\n' in text
    assert start + b'code="-",flag="UF"} 1\n' in text
    assert b'twisted_mesh_upstream_duration_seconds_bucket{protocol="http",cluster="api",le="0.005"} 2\n' in text
    assert cells.duration.count == 3


def test_what_an_upstream_invents_takes_no_memory() -> None:
    families = Families(Registry())
    cells = families.upstream("http", "api")
    for status in range(1000, 3000):
        cells.ended(status, None, 0.1)
    assert len(cells._calls) == 0
    assert families.upstream_calls.labels("http", "api", "other", "-").value == 2000


def test_what_left_the_configuration_leaves_the_metrics() -> None:
    families = Families(Registry())
    families.upstream("http", "gone").connects.value += 1
    families.upstream("http", "kept").connects.value += 1
    families.endpoints.labels("gone").value = 2
    families.registry.forget("cluster", "gone")
    text = families.registry.expose()
    assert b"gone" not in text
    assert b'cluster="kept"' in text

"""Bundles of cells that parts count on."""

from __future__ import annotations

from twisted_mesh.families import Families
from twisted_mesh.metrics import Registry


def test_two_sets_of_families_count_on_the_same_cells() -> None:
    registry = Registry()
    Families(registry).listener("http", "edge").connections.value += 1
    Families(registry).listener("http", "edge").connections.value += 1
    assert b'twisted_mesh_downstream_connections_total{protocol="http",listener="edge"} 2\n' in registry.expose()


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


def test_a_connection_to_redis_counts_what_becomes_of_it_and_of_its_commands() -> None:
    registry = Registry()
    cells = Families(registry).bus("commands")
    cells.connects.value += 1
    cells.failed()
    cells.failed()
    cells.result("ok")
    cells.result("down")
    cells.result("ok")
    text = registry.expose()
    assert b'twisted_mesh_bus_connects_total{link="commands"} 1\n' in text
    assert b'twisted_mesh_bus_connect_failures_total{link="commands"} 2\n' in text
    assert b'twisted_mesh_bus_commands_total{result="ok"} 2\n' in text
    assert b'twisted_mesh_bus_commands_total{result="down"} 1\n' in text


def test_what_stands_for_several_operations_is_counted_as_so_many() -> None:
    families = Families(Registry())
    cells = families.upstream("redis", "cache")
    cells.ended(0, None, 0.004, 16)
    assert families.upstream_calls.labels("redis", "cache", "-", "-").value == 16
    assert (cells.duration.count, round(cells.duration.total, 9)) == (16, 0.064)

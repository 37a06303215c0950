"""What the metrics filter counts, seen as Prometheus sees it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Awaitable

from prometheus_client.parser import text_string_to_metric_families
from zope.interface.verify import verifyObject

from twisted_mesh.call import Call, Completion, Reply
from twisted_mesh.filters import metrics
from twisted_mesh.filters.metrics import Metrics, MetricsSettings, plugin
from twisted_mesh.headers import Headers
from twisted_mesh.interfaces import IFilterPlugin
from twisted_mesh.metrics import Registry
from twisted_mesh.park import Parked

DOWN = "twisted_mesh_downstream_"


def samples(registry: Registry) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(registry.expose().decode()):
        for each in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(each.labels.items()))
            found[f"{each.name}{{{labels}}}"] = each.value
    return found


def failed(completion: Completion) -> None:
    raise AssertionError("a completion failed")


def inner(call: Call) -> Awaitable[Reply]:
    parked: Parked[Reply] = Parked()
    parked.fire(Reply(200))
    return parked


def run(counting: Metrics, **fields: Any) -> Call:
    call = Call(fields.pop("protocol", "http"), "edge", "GET", Headers())
    call.started = 100.0
    end = fields.pop("end", 100.02)
    counting(call, inner)
    for name, value in fields.items():
        setattr(call, name, value)
    call.complete(end, failed)
    return call


def named(name: str) -> Any:
    return SimpleNamespace(name=name)


def test_a_call_is_counted_with_where_it_went_and_how_it_ended() -> None:
    registry = Registry()
    counting = Metrics(registry)
    for _ in range(2):
        run(counting, route=named("api"), cluster=named("web"), status=200, head_at=100.002, bytes_in=10, bytes_out=5)
    found = samples(registry)
    where = "listener=edge,protocol=http,route=api"
    assert found[f"{DOWN}calls_total{{cluster=web,code=2xx,flag=-,{where}}}"] == 2
    assert found[f"{DOWN}received_bytes_total{{{where}}}"] == 20
    assert found[f"{DOWN}sent_bytes_total{{{where}}}"] == 10
    assert found[f"{DOWN}head_seconds_bucket{{le=0.001,{where}}}"] == 0
    assert found[f"{DOWN}head_seconds_bucket{{le=0.0025,{where}}}"] == 2
    assert found[f"{DOWN}duration_seconds_bucket{{le=0.01,{where}}}"] == 0
    assert found[f"{DOWN}duration_seconds_bucket{{le=0.025,{where}}}"] == 2


def test_a_call_that_no_route_matched_has_labels_all_the_same() -> None:
    registry = Registry()
    run(Metrics(registry), status=404, flags=("NR",))
    where = "listener=edge,protocol=http,route=-"
    assert samples(registry)[f"{DOWN}calls_total{{cluster=-,code=4xx,flag=NR,{where}}}"] == 1


def test_a_call_that_is_cut_before_its_head_has_a_duration_and_no_head() -> None:
    registry = Registry()
    run(Metrics(registry), flags=("DC",))
    found = samples(registry)
    where = "listener=edge,protocol=http,route=-"
    assert found[f"{DOWN}calls_total{{cluster=-,code=-,flag=DC,{where}}}"] == 1
    assert found[f"{DOWN}duration_seconds_count{{{where}}}"] == 1
    assert found[f"{DOWN}head_seconds_count{{{where}}}"] == 0


def test_the_latency_of_a_tcp_call_is_its_time_to_connected() -> None:
    registry = Registry()
    run(Metrics(registry), protocol="tcp", route=named("db"), connected=100.004, end=3700.0)
    found = samples(registry)
    where = "listener=edge,protocol=tcp,route=db"
    assert found[f"{DOWN}head_seconds_bucket{{le=0.005,{where}}}"] == 1
    assert found[f"{DOWN}duration_seconds_sum{{{where}}}"] == 3600.0


def test_pipelined_commands_that_travel_as_one_call_count_each() -> None:
    registry = Registry()
    run(Metrics(registry), protocol="redis", count=16)
    name = f"{DOWN}calls_total{{cluster=-,code=-,flag=-,listener=edge,protocol=redis,route=-}}"
    assert samples(registry)[name] == 16


def test_nothing_that_clients_choose_makes_series_or_takes_memory() -> None:
    registry = Registry()
    counting = Metrics(registry)
    for number in range(3 * metrics.ROWS_KEPT):
        run(counting, status=200, flags=(f"X{number}",), host=f"h{number}", resource=f"/{number}")
    assert len(counting._rows) <= metrics.ROWS_KEPT
    family = registry.family("twisted_mesh_downstream_calls_total")
    assert family is not None and len(family) == 1
    name = f"{DOWN}calls_total{{cluster=-,code=2xx,flag=other,listener=edge,protocol=http,route=-}}"
    assert samples(registry)[name] == 3 * metrics.ROWS_KEPT


def test_a_cluster_that_left_and_came_back_is_counted_where_it_is_seen() -> None:
    registry = Registry()
    counting = Metrics(registry)
    run(counting, route=named("api"), cluster=named("web"), status=200)
    registry.forget("cluster", "web")
    run(counting, route=named("api"), cluster=named("web"), status=200)
    name = f"{DOWN}calls_total{{cluster=web,code=2xx,flag=-,listener=edge,protocol=http,route=api}}"
    assert samples(registry)[name] == 1


def test_the_plugin_makes_filters_of_one_registry() -> None:
    assert verifyObject(IFilterPlugin, plugin)
    env: Any = SimpleNamespace(metrics=Registry())
    for _ in range(2):
        run(plugin.build(MetricsSettings(), env), status=200)
    name = f"{DOWN}calls_total{{cluster=-,code=2xx,flag=-,listener=edge,protocol=http,route=-}}"
    assert samples(env.metrics)[name] == 2

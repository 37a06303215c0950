"""Families, cells, their bounds, and what Prometheus reads."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from twisted_mesh import metrics
from twisted_mesh.metrics import MAX_SERIES, Registry


def samples(registry: Registry) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(registry.expose().decode()):
        for each in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(each.labels.items()))
            found[f"{each.name}{{{labels}}}"] = each.value
    return found


def test_a_counter_is_read_with_its_labels() -> None:
    registry = Registry()
    cell = registry.counter("calls_total", "Calls.", ("route", "code")).labels("api", "2xx")
    cell.value += 3
    assert samples(registry)["calls_total{code=2xx,route=api}"] == 3
    assert b"# HELP calls_total Calls." in registry.expose()
    assert b"# TYPE calls_total counter" in registry.expose()


def test_a_family_without_labels_is_there_from_the_start() -> None:
    registry = Registry()
    registry.gauge("config_version", "Version.").labels().value = 7
    registry.counter("never_total", "Never.")
    found = samples(registry)
    assert found["config_version{}"] == 7
    assert found["never_total{}"] == 0


def test_the_same_labels_give_the_same_cell() -> None:
    family = Registry().counter("a_total", "A.", ("x",))
    assert family.labels("1") is family.labels("1")
    assert family.labels("1") is not family.labels("2")


def test_a_histogram_counts_a_value_on_its_bound_in_that_bucket() -> None:
    registry = Registry()
    cell = registry.histogram("took_seconds", "Took.", ("x",), bounds=(0.1, 1.0)).labels("a")
    for value in (0.05, 0.1, 0.5, 3.0):
        cell.observe(value)
    found = samples(registry)
    assert found["took_seconds_bucket{le=0.1,x=a}"] == 2
    assert found["took_seconds_bucket{le=1.0,x=a}"] == 3
    assert found["took_seconds_bucket{le=+Inf,x=a}"] == 4
    assert found["took_seconds_count{x=a}"] == cell.count == 4
    assert found["took_seconds_sum{x=a}"] == pytest.approx(3.65)


def test_asking_again_gives_the_family_that_exists() -> None:
    registry = Registry()
    assert registry.gauge("a", "A.", ("x",)) is registry.gauge("a", "A.", ("x",))


@pytest.mark.parametrize("again", ["counter", "labels", "bounds"])
def test_a_name_cannot_mean_two_things(again: str) -> None:
    registry = Registry()
    registry.histogram("a_total", "A.", ("x",), bounds=(1.0,))
    with pytest.raises(ValueError, match="exists already"):
        if again == "counter":
            registry.counter("a_total", "A.", ("x",))
        elif again == "labels":
            registry.histogram("a_total", "A.", ("y",), bounds=(1.0,))
        else:
            registry.histogram("a_total", "A.", ("x",), bounds=(2.0,))


def test_wrong_names_bounds_and_labels_are_refused() -> None:
    registry = Registry()
    for wrong in ("with space", "7up", "", "a\n"):
        with pytest.raises(ValueError, match="not a name"):
            registry.gauge(wrong, "")
    with pytest.raises(ValueError, match="_total"):
        registry.counter("calls", "")
    with pytest.raises(ValueError, match="ascend"):
        registry.histogram("h", "", bounds=(2.0, 1.0))
    with pytest.raises(ValueError, match="labels"):
        registry.gauge("g", "", ("x",)).labels("1", "2")


def test_series_beyond_the_limit_are_folded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MAX_SERIES", 3)
    registry = Registry()
    family = registry.counter("hosts_total", "By host.", ("host", "code"))
    for number in range(10):
        family.labels(f"host{number}", "200").value += 1
    found = samples(registry)
    assert found["hosts_total{code=other,host=other}"] == 7
    assert found["twisted_mesh_metrics_folded_total{family=hosts_total}"] == 7
    assert sum(value for name, value in found.items() if name.startswith("hosts_total")) == 10
    assert len(family) == 3
    assert MAX_SERIES == 1000


def test_what_is_gone_is_forgotten_and_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MAX_SERIES", 2)
    registry = Registry()
    family = registry.gauge("members", "Members.", ("cluster", "state"))
    family.labels("a", "healthy").value = 1
    kept = family.labels("b", "healthy")
    family.forget("cluster", {"a"})
    assert [values for values, _ in family.series()] == [("b", "healthy")]
    assert family.labels("b", "healthy") is kept
    family.labels("c", "healthy").value = 1
    assert family.folded == 0


def test_hooks_set_gauges_when_they_are_read_and_one_that_fails_spoils_nothing() -> None:
    registry = Registry()
    gauge = registry.gauge("active", "Active.")

    def fail() -> None:
        raise RuntimeError("broken")

    def set_it() -> None:
        gauge.labels().value += 1

    registry.on_collect(fail)
    undo = registry.on_collect(set_it)
    assert samples(registry)["active{}"] == 1
    assert samples(registry)["active{}"] == 2
    undo()
    undo()
    assert samples(registry)["active{}"] == 2


def test_label_values_are_escaped() -> None:
    registry = Registry()
    hostile = 'a"} 1\nfake_total 9\\'
    registry.counter("x_total", "X.", ("route",)).labels(hostile).value = 1
    assert samples(registry)[f"x_total{{route={hostile}}}"] == 1
    assert not any(line.startswith(b"fake_total") for line in registry.expose().splitlines())


class Keeper:
    def __init__(self) -> None:
        self.told = 0

    def forget_cells(self) -> None:
        self.told += 1


def test_who_keeps_cells_is_told_to_let_them_go_and_is_not_kept_alive() -> None:
    registry = Registry()
    family = registry.counter("a_total", "A.", ("route",))
    old = family.labels("api")
    keeper = Keeper()
    registry.on_forget(keeper)
    registry.on_forget(Keeper())
    registry.forget("route", "api")
    assert keeper.told == 1
    assert family.labels("api") is not old
    assert len(registry._keepers) == 1

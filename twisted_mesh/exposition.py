"""Our families as prometheus_client's, for its text formats.  Imported when somebody asks for metrics, not before."""

from __future__ import annotations

from typing import Sequence

from prometheus_client import Metric

from twisted_mesh.metrics import AnyFamily, Cell, HistogramCell


def as_metric(family: AnyFamily) -> Metric:
    """Return one family with the values of now."""
    # prometheus_client adds the suffix of a counter itself.
    name = family.name[: -len("_total")] if family.kind == "counter" else family.name
    metric = Metric(name, family.help, family.kind)
    names = family.label_names
    for values, cell in family.series():
        labels = dict(zip(names, values))
        if isinstance(cell, Cell):
            metric.add_sample(family.name, labels, cell.value)
        else:
            _add_histogram(metric, family.name, labels, cell)
    return metric


def _add_histogram(metric: Metric, name: str, labels: dict[str, str], cell: HistogramCell) -> None:
    below = 0
    for edge, count in zip(_edges(cell.bounds), cell.counts):
        below += count
        metric.add_sample(name + "_bucket", {**labels, "le": edge}, below)
    metric.add_sample(name + "_count", labels, below)
    metric.add_sample(name + "_sum", labels, cell.total)


_edge_names: dict[Sequence[float], list[str]] = {}


def _edges(bounds: Sequence[float]) -> list[str]:
    """Return what the ``le`` label says for each bound; a process has a handful of different bounds."""
    found = _edge_names.get(bounds)
    if found is None:
        found = _edge_names[bounds] = [*(str(float(each)) for each in bounds), "+Inf"]
    return found

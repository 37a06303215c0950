"""The text that Prometheus reads."""

from __future__ import annotations

import math

from prometheus_client.parser import text_string_to_metric_families

from twisted_mesh.exposition import SLICE, render
from twisted_mesh.metrics import Registry


def test_a_histogram_without_labels_is_read() -> None:
    registry = Registry()
    family = registry.histogram("took_seconds", "Took.", bounds=(0.1, 1))
    family.labels().observe(0.5)
    assert b"".join(render(family)).decode() == (
        "# HELP took_seconds Took.\n"
        "# TYPE took_seconds histogram\n"
        'took_seconds_bucket{le="0.1"} 0\n'
        'took_seconds_bucket{le="1.0"} 1\n'
        'took_seconds_bucket{le="+Inf"} 1\n'
        "took_seconds_sum 0.5\n"
        "took_seconds_count 1\n"
    )


def test_numbers_that_are_none_are_written_as_prometheus_wants_them() -> None:
    family = Registry().gauge("odd", "Odd.", ("x",))
    for value in (math.inf, -math.inf, math.nan, 2**60, 0.1):
        family.labels(str(value)).value = value
    (read,) = text_string_to_metric_families(b"".join(render(family)).decode())
    values = {each.labels["x"]: each.value for each in read.samples}
    assert values["inf"] == math.inf and values["-inf"] == -math.inf and math.isnan(values["nan"])
    assert values[str(2**60)] == 2**60 and values["0.1"] == 0.1


def test_help_of_several_lines_stays_one_line() -> None:
    family = Registry().gauge("g", "one\ntwo \\ three")
    assert b"".join(render(family)).startswith(b"# HELP g one\\ntwo \\\\ three\n# TYPE g gauge\n")


def test_a_family_without_series_says_nothing() -> None:
    assert list(render(Registry().gauge("g", "G.", ("x",)))) == []


def test_a_big_family_comes_in_slices_that_make_one_text() -> None:
    family = Registry().histogram("took_seconds", "Took.", ("route",))
    for number in range(500):
        family.labels(f"r{number}").observe(0.1)
    pieces = list(render(family))
    assert len(pieces) > 10
    assert max(piece.count(b"\n") for piece in pieces) <= SLICE + 60
    (read,) = text_string_to_metric_families(b"".join(pieces).decode())
    assert len(read.samples) == 500 * 19

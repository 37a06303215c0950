"""Durations, sizes and rates: what is read, what is written, what is refused and how."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from twisted_mesh.model.units import (
    LARGEST,
    LONGEST,
    Duration,
    Interval,
    Rate,
    Size,
    duration_text,
    parse_duration,
    parse_size,
    size_text,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("2s", 2.0),
        ("1.5s", 1.5),
        ("1m", 60.0),
        ("1h", 3600.0),
        ("1m30s", 90.0),
        ("1h1m1s1ms", 3661.001),
        ("0", 0.0),
        (0, 0.0),
        ("0s", 0.0),
    ],
)
def test_a_duration_is_a_sum_of_numbers_with_units(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 sec", 'expected a duration such as 250ms, 2s or 1m, got "2 sec"'),
        ("", 'expected a duration such as 250ms, 2s or 1m, got ""'),
        ("5", 'expected a duration such as 250ms, 2s or 1m, got "5"'),
        ("1s1h", 'expected a duration such as 250ms, 2s or 1m, got "1s1h"'),
        ("-1s", 'expected a duration such as 250ms, 2s or 1m, got "-1s"'),
        (5, "expected a duration with a unit, such as 5s or 5ms, got 5"),
        (True, "expected a duration such as 250ms, 2s or 1m, got true"),
        (None, "expected a duration such as 250ms, 2s or 1m, got nothing"),
        ("9999h", 'expected a duration of at most a year, got "9999h"'),
    ],
)
def test_anything_else_is_no_duration(text: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration(text)
    assert str(caught.value) == message


@settings(deadline=None)
@given(st.integers(0, int(LONGEST) * 1000))
def test_a_duration_reads_back_from_its_text(thousandths: int) -> None:
    seconds = thousandths / 1000
    assert parse_duration(duration_text(seconds)) == pytest.approx(seconds, abs=1e-6)


def test_a_bare_number_is_seconds_in_python_and_refused_in_files() -> None:
    adapter = TypeAdapter(Duration)
    assert adapter.validate_python(2.5) == 2.5
    assert adapter.dump_python(2.5, mode="json") == "2500ms"
    assert adapter.dump_python(2.5) == 2.5
    with pytest.raises(ValidationError):
        adapter.validate_python(2.5, context={})
    for wrong in (-1, float("nan"), float("inf"), True):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


def test_an_interval_is_not_zero() -> None:
    with pytest.raises(ValidationError, match="more than 0"):
        TypeAdapter(Interval).validate_python("0s")


@pytest.mark.parametrize(
    ("text", "size"),
    [("64KiB", 65536), ("1 MiB", 1 << 20), ("10MB", 10**7), ("2kB", 2000), ("7B", 7), ("7", 7), (7, 7), (0, 0)],
)
def test_a_size_is_bytes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["1.5MiB", "5kb", -1, "-1", True, None, "", "5iB", 1.5, [], "9999999999GiB"])
def test_anything_else_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="expected a size "):
        parse_size(text)


@settings(deadline=None)
@given(st.integers(0, LARGEST))
def test_a_size_reads_back_from_its_text(size: int) -> None:
    assert parse_size(size_text(size)) == size
    assert TypeAdapter(Size).validate_python(TypeAdapter(Size).dump_python(size, mode="json")) == size


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/s", Rate(100, 1.0)),
        ("10/m", Rate(10, 60.0)),
        ("5/10s", Rate(5, 10.0)),
        ("1/250ms", Rate(1, 0.25)),
        ("0/h", Rate(0, 3600.0)),
    ],
)
def test_a_rate_is_so_many_in_so_long(text: str, rate: Rate) -> None:
    assert Rate.parse(text) == rate
    assert str(rate) == text


@pytest.mark.parametrize("text", ["100", "x/s", "5/0s", "5/", "/s", 5, None, "-5/s", "1.5/s"])
def test_anything_else_is_no_rate(text: object) -> None:
    with pytest.raises(ValueError, match="expected a rate such as 100/s"):
        Rate.parse(text)


def test_settings_of_filters_may_use_them() -> None:
    @dataclass(frozen=True)
    class Settings:
        limit: Rate
        window: Duration = 1.0

    adapter = TypeAdapter(Settings)
    settings = adapter.validate_python({"window": "5s", "limit": "3/m"})
    assert settings == Settings(Rate(3, 60.0), 5.0)
    assert adapter.dump_python(settings, mode="json") == {"window": "5s", "limit": "3/m"}
    assert adapter.json_schema()["properties"]["limit"]["type"] == "string"

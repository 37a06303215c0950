"""How long a caller waits: read from what it says, written for the next hop."""

from __future__ import annotations

from typing import Optional

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from twisted_mesh.codec.deadline import LONGEST, OURS, STYLES, field_of, given, reduced
from twisted_mesh.codec.lines import DEADLINE, parse_field

GRPC, ENVOY = b"grpc-timeout", b"x-envoy-expected-rq-timeout-ms"


@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        # PROTOCOL-HTTP2 of gRPC: "Timeout".
        (GRPC, b"1H", 3600.0),
        (GRPC, b"2M", 120.0),
        (GRPC, b"3S", 3.0),
        (GRPC, b"250m", 0.25),
        (GRPC, b"1000u", 0.001),
        (GRPC, b"99999999n", 0.099999999),
        (GRPC, b"0m", 0.0),
        (GRPC, b"123456789m", None),
        (GRPC, b"10", None),
        (GRPC, b"-1S", None),
        (GRPC, b"1.5S", None),
        (GRPC, b"1s", None),
        (GRPC, b"", None),
        (OURS, b"250ms", 0.25),
        (OURS, b"2s", 2.0),
        (OURS, b"1.5s", 1.5),
        (OURS, b"0.5ms", 0.0005),
        (OURS, b"1m30s", 90.0),
        (OURS, b"1h", 3600.0),
        (OURS, b"0", 0.0),
        (OURS, b"0ms", 0.0),
        (OURS, b"250", None),
        (OURS, b"250 ms", None),
        (OURS, b"-1s", None),
        (OURS, b"soon", None),
        (OURS, b"", None),
        (OURS, b"999999h", LONGEST),
        (ENVOY, b"1500", 1.5),
        (ENVOY, b"1500ms", None),
        (ENVOY, b"-1", None),
    ],
)
def test_values(name: bytes, value: bytes, seconds: Optional[float]) -> None:
    read = STYLES[name].read(value)
    assert read == (seconds if seconds is None else pytest.approx(seconds))


def test_the_shortest_of_several_counts_and_what_is_malformed_is_told() -> None:
    lines = [b"x-mesh-timeout: 2s", b"Grpc-Timeout: 1S", b"accept: */*", b"x-mesh-timeout: soon"]
    assert given([parse_field(each) for each in lines]) == (1.0, 1)
    assert given([parse_field(b"accept: */*")]) == (None, 0)


def test_what_is_left_stands_in_the_place_of_what_was_given() -> None:
    lines = [b"Host: a", b"Grpc-Timeout: 5S", b"x-mesh-timeout: soon", b"X-Mesh-Timeout: 5s"]
    fields = [parse_field(each) for each in lines]
    assert [each[2] for each in reduced(fields, 1.2345)] == [
        b"Host: a",
        b"grpc-timeout: 1234500u",
        b"x-mesh-timeout: soon",
        b"x-mesh-timeout: 1234ms",
    ]
    assert [each[2] for each in fields] == lines


@pytest.mark.parametrize(
    ("seconds", "values"),
    [
        (0.0000001, {GRPC: b"1u", OURS: b"1ms", ENVOY: b"1"}),
        (0.0005, {GRPC: b"500u", OURS: b"1ms", ENVOY: b"1"}),
        (0.2509, {GRPC: b"250900u", OURS: b"250ms", ENVOY: b"250"}),
        (99.0, {GRPC: b"99000000u", OURS: b"99000ms"}),
        (3600.0, {GRPC: b"3600000m"}),
        (200_000.0, {GRPC: b"200000S"}),
        (1e9, {GRPC: b"99999999S"}),
    ],
)
def test_what_is_written(seconds: float, values: dict[bytes, bytes]) -> None:
    assert {name: field_of(name, seconds)[1] for name in values} == values


@given_any(st.floats(min_value=0.0011, max_value=90_000_000.0))
def test_what_is_written_is_read_as_no_more_and_hardly_less(seconds: float) -> None:
    for name in STYLES:
        made = field_of(name, seconds)
        assert made == parse_field(made[2]) and made[3] == DEADLINE
        read = STYLES[name].read(made[1])
        assert read is not None
        assert 0.999 * min(seconds, LONGEST) - 0.001 <= read <= seconds * (1 + 1e-12)

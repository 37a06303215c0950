"""Heads on their way out."""

from __future__ import annotations

from twisted_mesh.codec.lines import parse_field
from twisted_mesh.codec.write import REASONS, head, status_line


def test_a_status_line_has_the_standard_reason_unless_told() -> None:
    assert status_line(1, 200) == b"HTTP/1.1 200 OK"
    assert status_line(0, 404) == b"HTTP/1.0 404 Not Found"
    assert status_line(1, 200, b"Fine") == b"HTTP/1.1 200 Fine"
    assert status_line(1, 799) == b"HTTP/1.1 799 "
    assert REASONS[503] == b"Service Unavailable"


def test_status_lines_are_remembered_within_bounds() -> None:
    assert status_line(1, 200) is status_line(1, 200)
    for number in range(3000):
        assert status_line(1, 200, b"%d" % number) == b"HTTP/1.1 200 %d" % number
    assert status_line(1, 200) == b"HTTP/1.1 200 OK"


def test_a_head_is_its_lines() -> None:
    fields = [parse_field(b"A:  1 "), parse_field(b"b: 2")]
    assert head(b"GET / HTTP/1.1", fields, b"\r\n") == b"GET / HTTP/1.1\r\nA: 1\r\nb: 2\r\n\r\n"
    assert head(b"GET / HTTP/1.1", [], b"c: 3\r\n\r\n") == b"GET / HTTP/1.1\r\nc: 3\r\n\r\n"


def test_a_long_reason_is_not_remembered() -> None:
    """What an upstream makes up must not fill the memory."""
    long = b"x" * 10_000
    assert status_line(1, 200, long) == b"HTTP/1.1 200 " + long
    assert status_line(1, 200, long) is not status_line(1, 200, long)

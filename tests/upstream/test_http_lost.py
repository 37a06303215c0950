"""What a lost connection means for the call that was on it."""

from __future__ import annotations

import pytest

from tests.upstream.test_http1 import call
from twisted_mesh.errors import Kind, Origin
from twisted_mesh.stream import REPLAY_LIMIT, ByteStream
from twisted_mesh.upstream.http_lost import StaleConnection, why_lost


def outgrown() -> ByteStream:
    stream = ByteStream(replay=True)
    stream.write(b"x" * (REPLAY_LIMIT + 1))
    return stream


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize(
    ("operation", "body", "answering", "uses", "stale", "retryable"),
    [
        ("GET", b"", False, 1, False, True),
        ("POST", b"x", False, 1, False, False),
        ("POST", b"x", False, 2, True, True),
        ("POST", ByteStream(replay=True), False, 2, True, True),
        ("PUT", outgrown(), False, 2, False, False),
        ("GET", b"", True, 2, False, False),
    ],
)
def test_why(
    operation: str, body: bytes, answering: bool, uses: int, stale: bool, retryable: bool, clean: bool
) -> None:
    """Sent again only what can be, where no byte of a reply came: on a kept connection anything, else what is safe."""
    error = why_lost(call(operation, body), "10.0.0.1:80", clean=clean, answering=answering, uses=uses)
    assert isinstance(error, StaleConnection) is stale
    assert error.retryable is retryable
    assert error.kind is (Kind.CLOSED if clean else Kind.RESET) and error.origin is Origin.UPSTREAM
    assert "10.0.0.1:80" in error.detail

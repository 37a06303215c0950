"""How requests come in."""

from __future__ import annotations

import pytest

from tests.adapters.http_client import Client
from twisted_mesh.call import Call, Reply


@pytest.mark.parametrize(("sent", "made"), [(b"", True), (b"X-Request-Id:\r\n", True), (b"X-Request-Id: 7\r\n", False)])
def test_an_id_is_made_where_there_is_none(sent: bytes, made: bool) -> None:
    async def chain(call: Call) -> Reply:
        assert call.headers.get_all("x-request-id") == [call.id]
        return Reply(200, None, call.id.encode())

    client = Client(chain)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + sent + b"\r\n")
    _, _, body = client.heard.partition(b"\r\n\r\n")
    assert body == b"7" if not made else body.endswith(b"-1")

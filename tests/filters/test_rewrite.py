"""What endpoints are asked for in the place of what was asked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.filters.drive import Run, Script
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import compose
from twisted_mesh.filters.rewrite import Rewrite
from twisted_mesh.policy.rewrite import replace_path, replace_prefix
from twisted_mesh.testing import http_call


def rewritten(target: str, operation: str = "GET", **rewrite: Any) -> Call:
    call = http_call(operation, target, {"x-a": "1"})
    assert Run(compose([Rewrite(**rewrite)], Script(Reply(200))), call).reply.status == 200
    return call


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("/api/x?a=1&b", b"/v2/x?a=1&b"),
        ("/api", b"/v2"),
        ("/api?", b"/v2?"),
        ("/api/x?y=?/", b"/v2/x?y=?/"),
        ("/api/a%20b", b"/v2/a%20b"),
    ],
)
def test_the_query_stays_and_so_does_what_was_asked(target: str, sent: bytes) -> None:
    call = rewritten(target, change=replace_prefix("/api", "/v2"))
    assert call.target == sent
    assert call.resource == target.partition("?")[0]


def test_the_host() -> None:
    call = rewritten("/", host="inner.example:8080")
    assert [value for name, value in call.headers.items() if name == "host"] == ["inner.example:8080"]
    assert (call.host, call.authority, call.target) == ("shop.example", "shop.example", b"/")
    assert call.headers.get("x-a") == "1"


def test_a_target_that_is_no_path_stays() -> None:
    assert rewritten("*", "OPTIONS", change=replace_path("/new")).target == b"*"

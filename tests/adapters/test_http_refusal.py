"""What an HTTP client is told when the mesh itself answers."""

from __future__ import annotations

import json

import pytest

from twisted_mesh.adapters.http_refusal import STATUS, bad_request, refusal, status_of
from twisted_mesh.call import Call
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.headers import Headers


def call(accept: str = "") -> Call:
    made = Call("http", "edge", "GET", Headers.of([("Accept", accept)] if accept else []))
    made.id = "r-1"
    return made


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_status(kind: Kind) -> None:
    assert 400 <= STATUS[kind] < 600
    assert status_of(MeshError(kind)) == STATUS[kind]


def test_a_filter_may_wish_for_a_status() -> None:
    assert status_of(MeshError(Kind.DENIED, status=451)) == 451


def test_a_filter_may_add_fields() -> None:
    error = MeshError(Kind.RATE_LIMITED, headers=(("Retry-After", "3"),))
    assert refusal(call(), error).headers.get("retry-after") == "3"
    assert refusal(call(), MeshError(Kind.RATE_LIMITED)).headers.get("retry-after") is None


def test_short_text() -> None:
    """Status, what happened, the flag and the request id, on one line."""
    reply = refusal(call(), MeshError(Kind.NO_ENDPOINT, "cluster api: no endpoint"))
    assert reply.status == 503 and reply.local
    assert reply.body == b"503 no_endpoint: cluster api: no endpoint (flag UH, request r-1)\n"
    assert reply.headers.get("content-type") == "text/plain; charset=utf-8"
    assert reply.headers.get("x-request-id") == "r-1"


def test_json_where_the_client_accepts_it() -> None:
    reply = refusal(call("application/json"), MeshError(Kind.TIMEOUT, 'no "reply"\n'))
    assert isinstance(reply.body, bytes)
    told = json.loads(reply.body)
    assert told == {
        "status": 504,
        "error": "upstream_timeout",
        "detail": 'no "reply"\n',
        "flag": "UT",
        "request_id": "r-1",
    }
    assert reply.headers.get("content-type") == "application/json"


@pytest.mark.parametrize(
    ("accept", "accepted"),
    [
        ("application/json", True), ("text/html, application/problem+json; q=0.9", True), ("Application/JSON;q=1", True),
        ("application/json;v=2;q=0.01, */*", True), ("text/plain", False), ("*/*", False), ("application/jsonp", False),
        ("application/json;q=0, text/plain", False), ("application/json; v=2; q=0.000", False),
        ("application/json;q=0, application/problem+json", True),
    ],
)  # fmt: skip
def test_who_accepts_json(accept: str, accepted: bool) -> None:
    reply = refusal(call(accept), MeshError(Kind.TIMEOUT))
    assert (reply.headers.get("content-type") == "application/json") is accepted


def test_bytes_that_were_no_call() -> None:
    reply = bad_request(405, "CONNECT is not offered here", "r-2")
    assert reply.status == 405 and "GET" in (reply.headers.get("allow") or "")
    assert reply.body == b"405 bad_request: CONNECT is not offered here (flag DPE, request r-2)\n"

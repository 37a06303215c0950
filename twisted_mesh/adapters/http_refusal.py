"""What an HTTP client is told when the mesh itself answers: the one table from what happened to a status."""

from __future__ import annotations

import json
import re

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.headers import Headers, field

STATUS: dict[Kind, int] = {
    Kind.NO_ROUTE: 404,
    Kind.NO_CLUSTER: 503,
    Kind.NO_ENDPOINT: 503,
    Kind.CONNECT_FAILED: 503,
    Kind.CONNECT_TIMEOUT: 503,
    Kind.RESET: 502,
    Kind.CLOSED: 502,
    Kind.BAD_REPLY: 502,
    Kind.TIMEOUT: 504,
    Kind.TRY_TIMEOUT: 504,
    Kind.DEADLINE: 504,
    Kind.OVERFLOW: 503,
    Kind.OVERLOADED: 503,
    Kind.MAINTENANCE: 503,
    Kind.RETRY_LIMIT: 503,
    Kind.BAD_REQUEST: 400,
    Kind.TOO_LARGE: 413,
    Kind.REQUEST_TIMEOUT: 408,
    Kind.STREAM_IDLE: 408,
    Kind.MAX_DURATION: 504,
    Kind.CLIENT_GONE: 499,
    Kind.DENIED: 403,
    Kind.UNAUTHENTICATED: 401,
    Kind.RATE_LIMITED: 429,
    Kind.FAULT: 503,
    Kind.UPGRADE_REFUSED: 403,
    Kind.DRAINING: 503,
    Kind.INTERNAL: 500,
}

_TEXT = field("content-type", "text/plain; charset=utf-8")
_JSON = field("content-type", "application/json")


# A media range of JSON, or of what is built on it, whose quality is not 0.
_JSON_ACCEPTED = re.compile(rb"\bjson\b(?![^,]*;[ \t]*q=0(?:\.0*)?[ \t]*(?:[,;]|$))", re.IGNORECASE)


def status_of(error: MeshError) -> int:
    """Return the HTTP status for an error: the filter's own wish, else the table's."""
    return error.status or STATUS[error.kind]


def refusal(call: Call, error: MeshError) -> Reply:
    """Return the reply that tells a client of `error`: short text, or JSON where the client accepts it."""
    accept = call.headers.get_bytes(b"accept")
    as_json = accept is not None and _JSON_ACCEPTED.search(accept) is not None
    reply = _reply(status_of(error), error.kind, error.detail, error.flag, call.id, as_json)
    for each in error.headers:
        reply.headers.add(*each)
    return reply


def bad_request(status: int, detail: str, request_id: str) -> Reply:
    """Return the reply to bytes that did not become a call."""
    return _reply(status, Kind.BAD_REQUEST, detail, "DPE", request_id, False)


def _reply(status: int, kind: Kind, detail: str, flag: str, request_id: str, as_json: bool) -> Reply:
    if as_json:
        told = {"status": status, "error": kind.value, "detail": detail, "flag": flag, "request_id": request_id}
        body = json.dumps(told).encode("ascii") + b"\n"
    else:
        about = f": {detail}" if detail else ""
        text = f"{status} {kind.value}{about} (flag {flag}, request {request_id})\n"
        body = text.encode("utf-8", "replace")
    fields = [_JSON if as_json else _TEXT]
    if request_id:
        try:
            fields.append(field("x-request-id", request_id))
        except ValueError:
            # A filter has made it something that no header can hold; the body shows it all the same.
            pass
    if status == 405:
        fields.append(field("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))
    return Reply(status, Headers(fields), body, local=True)

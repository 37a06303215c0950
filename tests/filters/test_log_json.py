"""What a line of the access log says in JSON, whatever is in the call."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.filters.redis_calls import several
from tests.filters.test_log_format import HOSTILE, a_call
from twisted_mesh.call import Call
from twisted_mesh.filters.log_format import FIELDS
from twisted_mesh.filters.log_json import JsonFormat, Record
from twisted_mesh.headers import Headers
from twisted_mesh.redis_call import Overtook, RedisCall


def said(*calls: Call) -> list[dict[str, Any]]:
    format = JsonFormat()
    data = format.render([format.capture(each) for each in calls])
    assert data.endswith(b"\n")
    lines = data.decode().split("\n")[:-1]
    assert len(lines) == len(calls)
    return [json.loads(each) for each in lines]


def test_a_line_says_everything_that_is_known() -> None:
    call = a_call(details="refused", identity="spiffe://x", count=3)
    call.context["log"] = {"bucket": "free"}
    assert said(call) == [
        {
            "time": "1970-01-01T00:01:40.000Z",
            "protocol": "http",
            "listener": "edge",
            "method": "GET",
            "status": 200,
            "attempts": 2,
            "bytes_in": 3,
            "bytes_out": 4,
            "duration_ms": 20.5,
            "id": "abc-1",
            "peer": "127.0.0.1:5000",
            "route": "api",
            "host": "shop.example",
            "path": "/api/items",
            "query": "a=1",
            "version": "1.1",
            "flags": ["UF", "URX"],
            "details": "refused",
            "cluster": "web",
            "endpoint": "127.0.0.1:9001",
            "tried": ["127.0.0.1:9002"],
            "count": 3,
            "received_ms": 1.0,
            "connected_ms": 2.5,
            "head_ms": 10.0,
            "client": "10.0.0.1",
            "identity": "spiffe://x",
            "user_agent": "curl/8 (x)",
            "extra": {"bucket": "free"},
        }
    ]


def test_the_keys_are_the_fields_of_the_table() -> None:
    assert {*Record.__struct_fields__, "authority"} == {each.lower() for each in FIELDS} | {"extra"}


def test_what_is_empty_is_left_out_but_for_what_every_line_has() -> None:
    call = Call("tcp", "db", "CONNECT", Headers())
    (line,) = said(call)
    assert line == {
        "time": "1970-01-01T00:00:00.000Z",
        "protocol": "tcp",
        "listener": "db",
        "method": "CONNECT",
        "status": 0,
        "attempts": 0,
        "bytes_in": 0,
        "bytes_out": 0,
        "duration_ms": 0.0,
        "id": "",
        "peer": "",
        "version": "1.1",
    }


@pytest.mark.parametrize("hostile", [*HOSTILE, "".join(map(chr, range(256)))])
def test_hostile_text_comes_back_as_it_was(hostile: str) -> None:
    wire = hostile.encode("utf-8", "replace")
    call = a_call(resource=hostile, details=hostile)
    call.headers.fields[1] = (b"user-agent", wire, b"", 0)
    first, line = said(a_call(), call)
    assert first["path"] == "/api/items"
    assert line["path"] == hostile.encode("utf-8", "backslashreplace").decode()
    assert line["user_agent"].encode("latin-1") == wire


@given(st.text(), st.binary())
def test_any_text_and_any_bytes_make_one_valid_line(text: str, wire: bytes) -> None:
    call = a_call(resource=text, host=wire.decode("latin-1"))
    call.context["log"] = {text: wire}
    (line,) = said(call)
    assert line.get("path", "") == text
    assert line.get("host", "").encode("latin-1") == wire


def test_what_json_cannot_hold_is_shown_and_spoils_no_other_line() -> None:
    class Unspeakable:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    class Plain:
        def __repr__(self) -> str:
            return "<Plain>"

    endless: list[Any] = []
    endless.append(endless)
    calls = [a_call(id=str(number)) for number in range(5)]
    for call, left in zip(calls, [{"x": Plain()}, {(1, 2): 3}, endless, Unspeakable(), {"big": 2**70}], strict=True):
        call.context["log"] = left
    lines = said(*calls)
    assert [each["id"] for each in lines] == ["0", "1", "2", "3", "4"]
    assert [each["extra"] for each in lines] == [{"x": "<Plain>"}, {"(1, 2)": 3}, "[[...]]", "?", {"big": 2**70}]


def test_other_context_is_nobodys_business() -> None:
    call = a_call()
    call.context["ratelimit"] = {"secret": 1}
    (line,) = said(call)
    assert "extra" not in line


def test_a_line_of_a_redis_call_has_its_key_and_who_asked() -> None:
    call = several("GET a\xff")
    call.client = "10.0.0.1"
    (line,) = said(call)
    assert (line["method"], line["path"], line["client"], line["peer"]) == ("GET", call.resource, "10.0.0.1", call.peer)
    told = several("SET b c")
    told.caller, told._client = Asker(), None
    (line,) = said(told)
    assert (line["method"], line["path"], line["client"], line["peer"], line["id"]) == (
        "SET",
        "b",
        "10.0.0.2",
        "10.0.0.2:7",
        "c-1",
    )
    assert "user_agent" not in line


class Asker:
    """A client's connection, as far as a log line needs it."""

    peer = "10.0.0.2:7"
    client = "10.0.0.2"
    wrote_at = 0.0
    call_id = "c-1"

    placed = None
    crowded = False

    def repeats(self, call: RedisCall) -> bool:
        return True

    def waits_for(self, call: RedisCall) -> None:
        pass

    def overtook(self, call: RedisCall, keys: object) -> Overtook:
        return Overtook.NO

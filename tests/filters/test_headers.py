"""Changing header fields."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tests.filters.drive import FakeEnv, Run, Script, a_call
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import compose
from twisted_mesh.filters.headers import BothHeaders, HeadersSettings, RequestHeaders, plugin
from twisted_mesh.headers import Headers

READ: TypeAdapter[HeadersSettings] = TypeAdapter(HeadersSettings)


def run(settings: Any, call: Call, reply: Reply) -> Reply:
    built = plugin.build(READ.validate_python(settings), FakeEnv())  # type: ignore[arg-type]
    return Run(compose([built], Script(reply)), call).reply


def test_a_request_is_changed_in_order() -> None:
    """Remove, then set in the place of all of that name, then add beside."""
    call = a_call(x_gone="1", x_set="old", x_add="a")
    call.headers.add("X-Set", "older")
    changes = {"remove": ["X-GONE"], "set": {"X-Set": "new"}, "add": {"x-add": "b", "x-more": "c"}}
    run({"request": changes}, call, Reply(200))
    assert list(call.headers.items()) == [("x-add", "a"), ("x-set", "new"), ("x-add", "b"), ("x-more", "c")]


def test_names_go_out_as_they_were_written() -> None:
    call = a_call()
    run({"request": {"set": {"X-Team": "Red"}}}, call, Reply(200))
    assert call.headers.fields[-1][2] == b"X-Team: Red"


def test_an_answer_is_changed() -> None:
    reply = Reply(200, Headers.of([("server", "x"), ("a", "1")]))
    run({"response": {"remove": ["server"], "set": {"b": "2"}}}, a_call(), reply)
    assert list(reply.headers.items()) == [("a", "1"), ("b", "2")]


def test_both_are_changed() -> None:
    call, reply = a_call(a="1"), Reply(200)
    run({"request": {"remove": ["a"]}, "response": {"add": {"b": "2"}}}, call, reply)
    assert "a" not in call.headers
    assert reply.headers.get("b") == "2"


def test_values_come_from_the_call() -> None:
    call, reply = a_call(x_team="red", x_old="1"), Reply(200)
    call.id = "id-1"
    request = {"set": {"x-team": "%HEADER(x-team)%-%METHOD%", "x-old": "%IDENTITY%"}, "add": {"x-more": "%%"}}
    run({"request": request, "response": {"set": {"x-id": "%ID%"}}}, call, reply)
    assert list(call.headers.items()) == [("x-more", "%"), ("x-team", "red-GET")]
    assert reply.headers.get("x-id") == "id-1"


@pytest.mark.parametrize("value", ["%NONE%", "a\nb"])
def test_a_value_that_cannot_be_is_refused(value: str) -> None:
    with pytest.raises(ValidationError):
        READ.validate_python({"request": {"set": {"a": value}}})


def test_one_filter_serves_many_calls() -> None:
    built = plugin.build(READ.validate_python({"request": {"add": {"a": "1"}}}), FakeEnv())  # type: ignore[arg-type]
    calls = [a_call(), a_call()]
    for each in calls:
        Run(compose([built], Script(Reply(200))), each)
        each.headers.add("more", "x")
    assert [len(each.headers) for each in calls] == [2, 2]


def test_only_a_change_of_answers_needs_a_coroutine() -> None:
    def built(settings: Any) -> Any:
        return plugin.build(READ.validate_python(settings), FakeEnv())  # type: ignore[arg-type]

    assert isinstance(built({"request": {"set": {"a": "1"}}}), RequestHeaders)
    assert isinstance(built({}), RequestHeaders)
    assert isinstance(built({"response": {"set": {"a": "1"}}}), BothHeaders)


@pytest.mark.parametrize("verb", ["set", "add"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("content-length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("connection", "x"),
        ("bad name", "x"),
        ("", "x"),
        ("x", "a\r\nb: c"),
        ("x", "a\0b"),
        ("x", "snow \u2603"),
    ],
)
def test_what_would_break_a_message_is_refused(verb: str, name: str, value: str) -> None:
    with pytest.raises(ValidationError):
        READ.validate_python({"request": {verb: {name: value}}})


def test_what_frames_a_message_cannot_be_removed() -> None:
    with pytest.raises(ValidationError):
        READ.validate_python({"response": {"remove": ["Content-Length"]}})

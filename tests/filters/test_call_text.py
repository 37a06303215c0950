"""Texts with values of the call in them."""

from __future__ import annotations

import pytest

from twisted_mesh.call import Call
from twisted_mesh.filters.call_text import NAMES, call_text
from twisted_mesh.filters.route import Route
from twisted_mesh.policy.match import Conditions
from twisted_mesh.testing import http_call


async def nowhere(call: Call) -> None:
    raise AssertionError("not called")


def text_of(text: str, call: Call) -> str:
    made = call_text(text)
    assert not isinstance(made, str)
    return made(call)


def test_a_text_without_values_is_itself() -> None:
    assert call_text("plain") == "plain"
    assert call_text("100 %%") == "100 %"
    assert call_text("") == ""


def test_a_percent_sign_that_begins_no_name_is_itself() -> None:
    for text in ("50%", "50 % of 100 %", "/a%2Fb%3d", "%", "%client%"):
        assert call_text(text) == text
    assert text_of("50% for %METHOD%%2F", http_call("PUT")) == "50% for PUT%2F"


def test_values_of_the_call() -> None:
    call = http_call("PUT", "/users/7?a=1", {"x-team": "red"}, host="Shop.Example:80")
    call.route = Route("users", nowhere, conditions=Conditions(template="/users/{id}"))  # type: ignore[arg-type]
    call.attempts = 2
    assert (
        text_of("%METHOD% %HOST% %AUTHORITY% %PATH% %QUERY%", call) == "PUT shop.example Shop.Example:80 /users/7 a=1"
    )
    assert text_of("%CLIENT%|%ROUTE%|%LISTENER%|%ATTEMPTS%", call) == "127.0.0.1|users|test|2"
    assert text_of("%HEADER(X-Team)%%%%SEGMENT(id)%", call) == "red%7"


def test_every_name_can_be_asked_for() -> None:
    for name in NAMES:
        assert isinstance(text_of(f"%{name}%", http_call()), str)


def test_what_is_not_known_leaves_nothing() -> None:
    call = http_call()
    assert text_of("%ROUTE%%CLUSTER%%ENDPOINT%%IDENTITY%%HEADER(x)%%SEGMENT(id)%", call) == ""
    call.route = Route("r", nowhere)  # type: ignore[arg-type]
    assert text_of("%SEGMENT(id)%", call) == ""
    call.route = Route("r", nowhere, conditions=Conditions(template="/a/{b}"))  # type: ignore[arg-type]
    assert text_of("%SEGMENT(b)%", call) == ""


def test_nothing_breaks_out_of_a_header_field() -> None:
    call = http_call()
    call.identity = "a\r\nb: c\u20ac\xe9 "
    assert text_of("%IDENTITY%", call) == "a??b: c?\xe9"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("%CLIENTT%", "no value %CLIENTT% while a call runs (or not with an argument); did you mean %CLIENT%?"),
        ("%STATUS%", "no value %STATUS% while a call runs"),
        ("%X%", "; there are PROTOCOL, LISTENER"),
        ("%HEADER%", "%HEADER% wants a name: %HEADER(name)%"),
        ("%CLIENT(x)%", "no value %CLIENT%"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        call_text(text)
    assert message in str(raised.value)

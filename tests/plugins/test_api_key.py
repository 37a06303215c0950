"""The worked example that authorises; how a filter of your own is tested."""

from __future__ import annotations

from typing import Any

import pytest

from twisted_mesh.testing import Chain, Env, http_call

KEYS = {"mobile": "m-secret", "partner": "p-secret"}


def chain(**settings: Any) -> Chain:
    env = Env()
    return Chain([env.build("api_key", keys=KEYS, **settings)], env=env)


def test_a_known_key_names_the_caller_and_goes_no_further() -> None:
    one = chain()
    outcome = one.call(http_call(headers={"x-api-key": "p-secret"}))
    assert outcome.status == 200
    assert outcome.call.identity == "partner"
    assert "x-api-key" not in one.upstream.received[0].headers
    assert one.env.count("twisted_mesh_filter_api_key_total", "partner") == 1
    one.assert_idle()


def test_a_call_without_a_key_is_refused_before_the_upstream() -> None:
    one = chain()
    outcome = one.call(http_call())
    assert outcome.status == 401
    assert b"x-api-key" in outcome.body
    assert one.upstream.received == []
    assert one.env.count("twisted_mesh_filter_api_key_total", "none") == 1


def test_a_key_that_nobody_has_is_refused() -> None:
    one = chain()
    outcome = one.call(http_call(headers={"x-api-key": "P-secret"}))
    assert (outcome.status, outcome.call.identity) == (403, None)
    assert one.upstream.received == []
    assert one.env.count("twisted_mesh_filter_api_key_total", "unknown") == 1


def test_another_header_and_a_key_that_is_forwarded() -> None:
    one = chain(header="X-Key", forward=True)
    assert one.call(http_call(headers={"x-key": "m-secret"})).status == 200
    assert one.upstream.received[0].headers.get("x-key") == "m-secret"


def test_in_shadow_mode_nobody_is_refused() -> None:
    one = chain(mode="shadow")
    assert one.call(http_call()).status == 200
    assert one.env.count("twisted_mesh_filter_decisions_total", "api_key", "shadow", "refuse") == 1


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, "keys"),
        ({"keys": {}}, "at least one"),
        ({"keys": {"a": ""}}, "empty"),
        ({"keys": {"a": "k", "b": "k"}}, "same key"),
        ({"keys": {"a": "k"}, "header": "not a name"}, "header name"),
        ({"keys": {"a": "k"}, "heder": "x"}, "heder"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Env().build("api_key", **settings)

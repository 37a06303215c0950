"""Routes: forms, defaults, refusals."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from twisted_mesh.model.hashing import HashKey
from twisted_mesh.model.route import Backoff, Budget, Hedge, Retry, Route, Target, TargetHeaders


@pytest.mark.parametrize(
    ("to", "targets"),
    [
        ("web", (Target(cluster="web"),)),
        ({"web": 90, "new": 10}, (Target(cluster="web", weight=90), Target(cluster="new", weight=10))),
        (
            [{"cluster": "web"}, {"cluster": "new", "weight": 2, "headers": {"set": {"x-new": "1"}}}],
            (
                Target(cluster="web"),
                Target(cluster="new", weight=2, headers=TargetHeaders(set={"x-new": "1"})),
            ),
        ),
    ],
)
def test_targets_are_a_name_weights_or_a_list(to: Any, targets: tuple[Target, ...]) -> None:
    assert Route.model_validate({"to": to}).to == targets


def test_the_defaults_are_those_of_the_documentation() -> None:
    route = Route.model_validate({"to": "web"})
    assert route.timeout == 15.0
    assert route.retry == Retry(attempts=3, when=("connect_failed", "reset"), backoff=Backoff(base=0.025, max=0.25))
    assert (route.idle_timeout, route.max_duration, route.body_limit, route.upgrade) == (None, None, None, True)


def test_what_calls_are_alike_in_is_a_word_or_says_what() -> None:
    assert Route.model_validate({"to": "a", "sticky": "source"}).sticky == (HashKey(part="source"),)
    route = Route.model_validate({"to": "a", "sticky": [{"cookie": "user"}, "identity"]})
    assert route.sticky == (HashKey(cookie="user"), HashKey(part="identity"))


def test_timeout_and_retry_may_be_off() -> None:
    route = Route.model_validate({"to": "web", "timeout": "off", "retry": "off"}, context={})
    assert route.timeout is None
    assert route.retry is None
    assert Route.model_validate(route.model_dump(mode="json"), context={}) == route


def test_a_condition_is_a_word_or_a_status() -> None:
    assert Retry.model_validate({"when": "5xx"}).when == ("5xx",)
    assert Retry.model_validate({"budget": "off"}).budget is None
    assert Retry.model_validate({}).budget == Budget(percent=20, least=3, window=10.0)
    assert Retry.model_validate({"backoff": {"retry_after": "off"}}).backoff.retry_after is None
    assert Retry.model_validate({"hedge": "50ms"}).hedge == Hedge(after=0.05)
    assert Retry.model_validate({"hedge": {"percentile": 95}}).hedge == Hedge(percentile=95.0, most=1)
    assert Retry.model_validate({"when": ["reset", 429]}).when == ("reset", 429)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({}, "exactly one of to, redirect and reply"),
        ({"to": "a", "reply": {}}, "exactly one of to, redirect and reply"),
        ({"to": []}, "exactly one of to, redirect and reply"),
        ({"to": {"a": 0}}, "greater than or equal to 1"),
        ({"to": {"a b": 1}}, "expected a name"),
        ({"to": ["a"]}, "valid dictionary"),
        ({"to": "a", "name": "a b"}, "expected a name"),
        ({"to": "a", "max_duration": "0s"}, "more than 0"),
        ({"to": "a", "retry": {"attempts": 0}}, "greater than or equal to 1"),
        ({"to": "a", "retry": {"when": [200]}}, "or a status from 400 to 599"),
        ({"to": "a", "retry": {"when": ["timeout"]}}, "expected connect_failed, reset"),
        ({"to": "a", "retry": {"backoff": {"base": "1s"}}}, "expected max to be at least base"),
        ({"to": "a", "retry": {"hedge": {}}}, "expected after, percentile or both"),
        ({"to": "a", "retry": {"hedge": "soon"}}, "expected a duration"),
        ({"to": "a", "retry": {"hedge": {"percentile": 100}}}, "less than 100"),
        ({"to": "a", "retry": {"hedge": "1s", "attempts": 1}}, "expected 2 or more"),
        ({"to": "a", "retry": {"per_try_timeout": 0}}, "more than 0"),
        ({"to": "a", "deadline": "none"}, "'caller', 'always' or 'off'"),
        ({"redirect": {}}, "expected either url, or one or more of path, prefix, host and scheme"),
        ({"redirect": {"path": "/a", "prefix": "/b"}}, "expected either path or prefix"),
        ({"redirect": {"prefix": "/b"}}, "redirect: prefix needs a match whose path has a prefix"),
        ({"redirect": {"path": "/{id}"}}, "redirect: the match's template has no segment {id}"),
        ({"redirect": {"path": "/"}, "sticky": "source"}, "failover, rewrite, sticky and mirror are for routes"),
        ({"reply": {}, "failover": "a"}, "failover, rewrite, sticky and mirror are for routes with to"),
        ({"to": "a", "rewrite": {}}, "expected one or more of path, prefix and host"),
        ({"to": "a", "rewrite": {"path": "/a", "prefix": "/b"}}, "expected either path or prefix"),
        ({"to": "a", "rewrite": {"prefix": "/b"}}, "rewrite: prefix needs a match whose path has a prefix"),
        ({"to": "a", "rewrite": {"host": "a b"}}, "expected a host, with a port if need be"),
        (
            {"to": "a", "match": {"path": {"template": "/{x}"}}, "rewrite": {"path": "/{y}"}},
            "has no segment {y}; there are x",
        ),
        ({"to": "a", "sticky": {"cookie": "a", "query": "b"}}, "or one of header, cookie and query"),
        ({"redirect": {"url": "/a", "path": "/b"}}, "expected either url"),
        ({"redirect": {"path": "/b", "status": 200}}, "Input should be 301"),
        ({"reply": {"status": 100}}, "greater than or equal to 200"),
        ({"reply": {"headers": {"content-length": "1"}}}, "cannot be set"),
        ({"reply": {"headers": {"x": "a\nb"}}}, "expected a header value"),
        ({"reply": {}, "retry": {"attempts": 2}}, "retry is for routes with to"),
        ({"to": "a", "failover": "a"}, "failover: a is where the calls would have gone before"),
        ({"to": {"a": 1, "b": 1}, "failover": ["c", "c"]}, "failover: c is where the calls would have gone before"),
        (
            {"to": "a", "timeout": "1s", "retry": {"per_try_timeout": "2s"}},
            "retry.per_try_timeout: 2s is longer than the timeout, 1s, which comes first",
        ),
        ({"to": "a", "retry": {"per_try_timeout": "16s"}}, "16s is longer than the timeout, 15s"),
        (
            {"to": "a", "timeout": "1s", "retry": {"hedge": "1s"}},
            "retry.hedge: no try is begun after 1s, as the timeout",
        ),
        (
            {"to": "a", "retry": {"hedge": "1s", "per_try_timeout": "1s"}},
            "retry.hedge: no try is begun after 1s, as a try ends by the per_try_timeout of 1s",
        ),
        ({"to": "a", "timeout": "off", "deadline": "always"}, "deadline: always tells of the timeout, which is off"),
        (
            {"to": "a", "idle_timeout": "90s", "max_duration": "1m"},
            "idle_timeout: 90s is longer than the max_duration, 1m, which comes first",
        ),
    ],
)
def test_what_is_wrong_is_refused(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Route.model_validate(written)


@pytest.mark.parametrize(
    "written",
    [
        {"to": "a", "timeout": "1s", "retry": {"per_try_timeout": "1s"}},
        {"to": "a", "timeout": "off", "retry": {"per_try_timeout": "1h", "hedge": "30m"}},
        {"to": "a", "timeout": "1s", "retry": "off"},
        {"to": "a", "timeout": "10ms", "retry": {"hedge": {"percentile": 95}}},
        # Each stands in for the other, and what has one target today may have two tomorrow.
        {"to": {"a": 1, "b": 1}, "failover": ["a", "b"]},
        {"to": {"a": 100}, "sticky": "source"},
        {"to": "a", "idle_timeout": "1m"},
        {"reply": {}, "retry": "off", "timeout": "1ms"},
    ],
)
def test_what_may_have_an_effect_is_taken(written: dict[str, Any]) -> None:
    Route.model_validate(written, context={})

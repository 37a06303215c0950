"""Identical calls that become one."""

from __future__ import annotations

from typing import Any

import pytest

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.headers import Headers
from twisted_mesh.testing import HANG, After, Chain, Env, FakeUpstream, http_call


def chain(*steps: Any, **settings: Any) -> Chain:
    env = Env()
    return Chain([env.build("coalesce", **settings)], FakeUpstream(*steps), env)


def counted(made: Chain, result: str) -> float:
    return made.env.count("twisted_mesh_filter_coalesce_calls_total", "coalesce", result)


def test_identical_calls_are_sent_once_and_get_replies_of_their_own() -> None:
    made = chain(After(1.0, Reply(200, Headers.of([("x-a", "b")]), b"body")))
    calls = [made.call(http_call(headers={"x-request-id": str(each)})) for each in range(5)]
    made.advance(1.0)
    assert [each.body for each in calls] == [b"body"] * 5
    assert len(made.upstream.received) == 1
    assert (counted(made, "led"), counted(made, "joined")) == (1, 4)
    calls[0].headers.set("x-a", "changed")
    assert calls[1].headers.get("x-a") == "b"
    made.assert_idle()


@pytest.mark.parametrize(
    "other",
    [
        http_call("GET", "/else"),
        http_call(headers={"accept": "text/html"}),
        http_call("POST"),
        http_call(headers={"authorization": "Bearer x"}),
        http_call("HEAD"),
    ],
)
def test_what_is_not_identical_is_sent(other: Call) -> None:
    made = chain(After(1.0, Reply(200)))
    made.call(http_call())
    made.call(other)
    assert len(made.upstream.received) == 2
    made.advance(1.0)
    made.assert_idle()


@pytest.mark.parametrize(
    "headers", [[("set-cookie", "a=b")], [("cache-control", "private")], [("cache-control", "max-age=1, no-store")]]
)
def test_what_is_for_one_caller_is_not_shared(headers: list[tuple[str, str]]) -> None:
    made = chain(After(1.0, Reply(200, Headers.of(headers), b"mine")))
    calls = [made.call(http_call()) for _ in range(3)]
    made.advance(1.0)
    assert len(made.upstream.received) == 3
    made.advance(1.0)
    assert [each.status for each in calls] == [200] * 3
    assert counted(made, "alone") == 2
    made.assert_idle()


def test_the_next_one_is_sent_when_the_first_is_given_up() -> None:
    made = chain(HANG, After(1.0, Reply(200, body=b"second")))
    first, *others = [made.call(http_call()) for _ in range(4)]
    first.hang_up()
    assert len(made.upstream.received) == 2
    made.advance(1.0)
    assert [each.body for each in others] == [b"second"] * 3
    assert (counted(made, "led"), counted(made, "joined")) == (2, 2)
    made.assert_idle()


def test_the_next_one_is_sent_when_the_first_waits_no_longer() -> None:
    """One of them, and not each for itself: they may be many, and the upstream is slow already."""
    late = MeshError(Kind.DEADLINE, "the caller waits no longer", origin=Origin.CLIENT)
    made = chain(After(1.0, late), After(1.0, Reply(200, body=b"second")))
    first, *others = [made.call(http_call()) for _ in range(4)]
    made.advance(1.0)
    assert isinstance(first.error, MeshError)
    assert first.error.kind is Kind.DEADLINE
    made.advance(1.0)
    assert [each.body for each in others] == [b"second"] * 3
    assert len(made.upstream.received) == 2
    made.assert_idle()


@pytest.mark.parametrize("name", ["grpc-timeout", "x-mesh-timeout", "x-envoy-expected-rq-timeout-ms", "user-agent"])
def test_what_tells_callers_apart_does_not_tell_calls_apart(name: str) -> None:
    made = chain(After(1.0, Reply(200)))
    for value in ("100", "200"):
        made.call(http_call(headers={name: value}))
    assert len(made.upstream.received) == 1
    made.advance(1.0)
    made.assert_idle()


def test_one_that_waits_may_be_given_up() -> None:
    made = chain(After(1.0, Reply(200, body=b"x")))
    first, second, third = [made.call(http_call()) for _ in range(3)]
    second.hang_up()
    made.advance(1.0)
    assert (first.body, third.body) == (b"x", b"x")
    assert len(made.upstream.received) == 1
    made.assert_idle()


def test_errors_of_the_upstream_are_shared_and_others_are_not() -> None:
    made = chain(After(1.0, MeshError(Kind.RESET, "gone", origin=Origin.UPSTREAM)))
    calls = [made.call(http_call()) for _ in range(3)]
    made.advance(1.0)
    assert [each.error.kind for each in calls if isinstance(each.error, MeshError)] == [Kind.RESET] * 3
    assert len({id(each.error) for each in calls}) == 3
    assert len(made.upstream.received) == 1
    own = chain(After(1.0, MeshError(Kind.RATE_LIMITED, "you", origin=Origin.CLIENT)), Reply(200))
    calls = [own.call(http_call()) for _ in range(2)]
    own.advance(1.0)
    assert len(own.upstream.received) == 2
    assert calls[1].status == 200
    own.assert_idle()


def test_what_waits_is_bounded() -> None:
    made = chain(After(1.0, Reply(200)), waiting=1, most=1)
    for _ in range(3):
        made.call(http_call())
    made.call(http_call("GET", "/else"))
    assert len(made.upstream.received) == 3
    assert counted(made, "alone") == 2
    made.advance(1.0)
    made.assert_idle()


def test_large_bodies_are_not_shared() -> None:
    made = chain(After(1.0, Reply(200, body=b"x" * 100)), largest=99)
    calls = [made.call(http_call()) for _ in range(2)]
    made.advance(1.0)
    made.advance(1.0)
    assert len(made.upstream.received) == 2
    assert [len(each.body) for each in calls] == [100, 100]


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        Env().build("coalesce", waiting=0)


def test_explained() -> None:
    env = Env()
    each: Any = env.build("coalesce")
    made = Chain([each], FakeUpstream(HANG), env)
    assert each.explain(http_call()).verdict == "pass"
    made.call(http_call())
    assert each.explain(http_call()).verdict == "reply"
    assert each.explain(http_call("POST")).verdict == "pass"
    assert (len(made.upstream.received), counted(made, "led")) == (1, 1)

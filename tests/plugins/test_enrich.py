"""The worked example that asks a service: treq without a network, time without waiting."""

from __future__ import annotations

import json
from typing import Any, Optional

import pytest
from treq.testing import StubTreq
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from twisted_mesh.call import Reply
from twisted_mesh.headers import Headers
from twisted_mesh.testing import Chain, Env, FakeUpstream, Outcome, http_call


class Profiles(Resource):
    """The service: answers, fails or keeps its callers waiting."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.answer: bytes = json.dumps({"plan": "gold"}).encode()
        self.status = 200
        self.waiting = False

    def render_GET(self, request: Any) -> Any:
        self.asked.append(request.path.decode())
        if self.waiting:
            return NOT_DONE_YET
        request.setResponseCode(self.status)
        request.setHeader(b"content-length", b"%d" % len(self.answer))
        return self.answer


class World:
    def __init__(self, **settings: Any) -> None:
        self.profiles = Profiles()
        self.env = Env(http=StubTreq(self.profiles))
        enrich = self.env.build(
            "enrich", url="http://profiles.example/callers/", field="plan", header="x-plan", **settings
        )
        self.upstream = FakeUpstream(Reply(200, Headers.of([("server-timing", "db;dur=2.0")])))
        self.chain = Chain([enrich], self.upstream, self.env)

    def call(self, who: Optional[str] = "mobile", headers: Optional[dict[str, str]] = None) -> Outcome:
        call = http_call(headers=headers)
        call.identity = who
        return self.chain.call(call)

    def plans(self) -> list[Optional[str]]:
        return [each.headers.get("x-plan") for each in self.upstream.received]

    def count(self, outcome: str) -> float:
        return self.env.count("twisted_mesh_filter_enrich_total", outcome)


def test_the_upstream_is_told_and_the_reply_says_what_it_took() -> None:
    world = World()
    outcome = world.call()
    assert world.profiles.asked == ["/callers/mobile"]
    assert world.plans() == ["gold"]
    assert outcome.headers.get_all("server-timing") == ["db;dur=2.0", "enrich;dur=0.0"]
    world.chain.assert_idle()


def test_an_answer_is_kept_for_a_while() -> None:
    world = World(keep="1m")
    world.call()
    world.chain.advance(59)
    world.call()
    assert len(world.profiles.asked) == 1
    world.chain.advance(2)
    world.call()
    assert len(world.profiles.asked) == 2
    assert world.plans() == ["gold", "gold", "gold"]
    assert (world.count("asked"), world.count("kept")) == (2, 1)


def test_a_caller_that_nobody_knows_is_not_asked_about() -> None:
    world = World()
    assert world.call(who=None).status == 200
    assert world.profiles.asked == []


def test_nobody_else_may_set_the_header() -> None:
    world = World()
    world.call(who=None, headers={"x-plan": "platinum"})
    world.call(headers={"x-plan": "platinum"})
    assert world.plans() == [None, "gold"]


def test_a_name_cannot_lead_to_another_path() -> None:
    world = World()
    world.call(who="../admin?x=1")
    assert world.profiles.asked == ["/callers/..%2Fadmin%3Fx%3D1"]


@pytest.mark.parametrize(
    ("status", "answer"),
    [(500, b"{}"), (200, b"no json"), (200, b"{}"), (200, b"[]"), (200, b'{"plan": "' + b"x" * 70_000 + b'"}')],
)
def test_a_service_that_fails_costs_nobody_the_call(status: int, answer: bytes) -> None:
    world = World()
    world.profiles.status, world.profiles.answer = status, answer
    assert world.call().status == 200
    assert world.plans() == [None]
    assert world.count("failed") == 1
    assert len(world.env.logged) == 1


def test_a_plan_that_cannot_be_a_header_is_no_way_in() -> None:
    world = World()
    world.profiles.answer = json.dumps({"plan": "gold\r\nx-admin: 1"}).encode()
    assert world.call().status == 200
    assert world.plans() == [None]
    assert "x-admin" not in world.upstream.received[0].headers
    assert world.count("failed") == 1


def test_failures_are_logged_once_until_it_is_well_again() -> None:
    world = World(keep="0")
    world.profiles.status = 500
    world.call()
    world.call()
    world.profiles.status = 200
    world.call()
    world.profiles.status = 500
    world.call()
    assert len(world.env.logged) == 2
    assert world.count("failed") == 3


def test_a_slow_service_is_waited_for_no_longer_than_the_limit() -> None:
    world = World(limit="250ms")
    world.profiles.waiting = True
    outcome = world.call()
    assert outcome.waiting
    world.chain.advance(0.2)
    assert outcome.waiting
    world.chain.advance(0.1)
    assert outcome.status == 200
    assert world.plans() == [None]
    assert world.count("failed") == 1
    world.chain.assert_idle()


def test_a_client_that_goes_away_ends_the_question() -> None:
    world = World()
    world.profiles.waiting = True
    outcome = world.call()
    outcome.hang_up()
    assert world.upstream.received == []
    world.chain.assert_idle()


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twisted_mesh.filters.enrich.MOST_KEPT", 2)
    world = World()
    for who in ("a", "b", "a", "c", "a", "b"):
        world.call(who=who)
    assert world.profiles.asked == [f"/callers/{each}" for each in "abcb"]

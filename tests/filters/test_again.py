"""Whether there is another try, and when: by the rule, the attempts, the time, the budget and the cluster's places."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Optional

import pytest

from tests.filters.drive import FakeEnv, a_call
from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.filters.again import Again, note_tried, whole
from twisted_mesh.filters.retry import BackoffSettings, BudgetSettings, RetrySettings
from twisted_mesh.headers import Headers
from twisted_mesh.stream import REPLAY_LIMIT, ByteStream

REFUSED = MeshError(Kind.CONNECT_FAILED, retryable=True)
RESET = MeshError(Kind.RESET)


class World:
    def __init__(self, places: Optional[int] = None, **settings: Any) -> None:
        self.env = FakeEnv()
        self.env.random.random = lambda: 0.5  # type: ignore[method-assign]
        self.env.clock.advance(100.0)
        env: Any = self.env
        self.again = Again(RetrySettings(when=("connect_failed", "reset", 503, 429), **settings), env)
        self.free = places
        retries = SimpleNamespace(places=lambda priority: None if places is None else self)
        self.cluster: Any = SimpleNamespace(name="api", retries=retries)

    def take(self) -> bool:
        assert self.free is not None
        self.free -= 1
        return self.free >= 0 or bool(self.give())

    def give(self) -> None:
        assert self.free is not None
        self.free += 1

    def call(self, method: str = "GET", **more: Any) -> Call:
        call = a_call(method)
        call.cluster = self.cluster
        for name, value in more.items():
            setattr(call, name, value)
        return call

    def wait(self, outcome: Any, tries: int = 1, call: Optional[Call] = None) -> Optional[float]:
        permit = self.again.permit(call or self.call(), outcome, tries)
        return None if permit is None else permit.wait


def asks(text: str, status: int = 503) -> Reply:
    return Reply(status, Headers.of([("Retry-After", text)]))


@pytest.mark.parametrize(
    ("outcome", "wait"),
    [
        (Reply(503), 0.0125),
        (RESET, 0.0125),
        (asks("2"), 2.5),
        (asks("2", 429), 2.5),
        (asks("0"), 0.0125),
        (asks("soon"), 0.0125),
        (asks("300"), 375.0),
        (asks("301"), None),
        (asks("2", 404), None),
    ],
)
def test_how_long_to_wait(outcome: Any, wait: Optional[float]) -> None:
    """As long as the server asks for and up to half as much again, or by the back-off where it asks for nothing."""
    assert World().wait(outcome) == wait


def test_a_date_is_as_good_as_seconds() -> None:
    world = World()
    world.env.wall = lambda: 784111775.0  # type: ignore[method-assign]
    assert world.wait(asks("Sun, 06 Nov 1994 08:49:37 GMT")) == 2.5


@pytest.mark.parametrize(("longest", "wait"), [(None, 0.0125), (1.0, None), (2.0, 2.5)])
def test_the_longest_that_is_waited_for(longest: Optional[float], wait: Optional[float]) -> None:
    assert World(backoff=BackoffSettings(retry_after=longest)).wait(asks("2")) == wait


@pytest.mark.parametrize(("limits", "wait"), [({"timeout": 2.0, "received": 100.0}, None), ({"deadline": 103.0}, 2.5)])
def test_no_wait_is_begun_that_goes_beyond_the_calls_time(limits: Any, wait: Optional[float]) -> None:
    world = World()
    assert world.wait(asks("2"), call=world.call(**limits)) == wait
    assert world.env.count("upstream_retries_refused_total", "http", "api") == 0


def test_what_reached_nobody_is_not_of_the_budget() -> None:
    world = World(budget=BudgetSettings(percent=0, least=0.1))
    assert [world.wait(REFUSED) is not None for _ in range(5)] == [True] * 5
    assert [world.wait(RESET) is not None for _ in range(2)] == [True, False]
    assert world.wait(REFUSED) is not None
    assert world.env.count("upstream_retries_refused_total", "http", "api") == 1


def test_the_budget_is_there_unless_it_is_switched_off() -> None:
    world, free = World(), World(budget=None)
    assert [world.wait(RESET) is not None for _ in range(32)] == [True] * 30 + [False] * 2
    assert all(free.wait(RESET) is not None for _ in range(100))


def test_a_cluster_has_so_many_places_and_gets_them_back() -> None:
    world = World(places=2)
    one, two = (world.again.permit(world.call(), REFUSED, 1) for _ in range(2))
    assert one is not None and two is not None
    assert world.again.permit(world.call(), REFUSED, 1) is None
    one.end()
    one.end()
    assert world.free == 1
    two.end()
    assert world.wait(RESET) is not None


def test_a_place_that_the_budget_does_not_admit_is_given_back() -> None:
    world = World(places=1, budget=BudgetSettings(percent=0, least=0))
    assert world.wait(RESET) is None
    assert world.free == 1


def test_a_hedge_is_one_of_the_attempts_and_of_the_budget() -> None:
    world = World(attempts=2, budget=BudgetSettings(percent=0, least=0.1))
    assert world.again.hedge(world.call(), 2) is None
    permit = world.again.hedge(world.call(), 1)
    assert permit is not None and permit.wait == 0.0
    assert world.again.hedge(world.call(), 1) is None


@pytest.mark.parametrize(("replay", "size", "is_whole"), [(True, 10, True), (True, REPLAY_LIMIT + 1, False)])
def test_a_body_that_is_gone_cannot_be_sent_again(replay: bool, size: int, is_whole: bool) -> None:
    body = ByteStream(replay=replay)
    call = a_call("PUT", body)
    assert whole(call)
    body.attach(SimpleNamespace(body_data=lambda data: None))  # type: ignore[arg-type]
    body.write(b"x" * size)
    assert whole(call) is is_whole


def test_an_endpoint_is_noted_once() -> None:
    endpoint: Any = object()
    call = a_call()
    note_tried(call)
    call.endpoint = endpoint
    note_tried(call)
    note_tried(call)
    assert call.tried == (endpoint,)

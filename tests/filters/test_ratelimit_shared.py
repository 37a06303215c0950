"""Rate limits that sidecars share: what becomes of calls, whatever Redis does."""

from __future__ import annotations

import gc
from typing import Any, Iterable, Optional
from weakref import ref

import pytest
from twisted.internet.defer import Deferred

from tests.filters.drive import Run
from tests.filters.redis_calls import Echo, lines, several
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import compose
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.policy.gcra import Gcra, Grant
from twisted_mesh.policy.rate_lease import LIFE, Ask
from twisted_mesh.testing import Chain, Env, FakeUpstream, http_call


class Redis:
    """Answers as the script does, at once or when it is told to."""

    def __init__(self) -> None:
        self.name = "api"
        self.sidecars = 1
        self.connected = True
        self.holds = False
        self.asked: list[tuple[str, Ask]] = []
        self.back: list[tuple[str, int]] = []
        self.arrivals: dict[str, float] = {}
        self.waiting: list[tuple[Deferred[Grant], str, Gcra, Ask]] = []
        self.env: Any = None
        self.members: list[int] = []

    def limit(self, name: str) -> Redis:
        assert name == "api"
        return self

    def join(self, member: object) -> None:
        self.members.append(id(member))

    def leave(self, member: object) -> None:
        self.members.remove(id(member))

    def ask(self, key: str, gcra: Gcra, asked: Ask) -> Deferred[Grant]:
        self.asked.append((key, asked))
        answer: Deferred[Grant] = Deferred()
        self.waiting.append((answer, key, gcra, asked))
        if not self.holds:
            self.let()
        return answer

    def let(self) -> None:
        """Answer everything."""
        waiting, self.waiting = self.waiting, []
        for answer, key, gcra, asked in waiting:
            self.arrivals[key], grant = gcra.grant(self.arrivals.get(key, 0.0), self.env.now(), *asked)
            answer.callback(grant)

    def fail(self) -> None:
        """Answer nothing of it."""
        waiting, self.waiting = self.waiting, []
        for answer, *_ in waiting:
            answer.errback(RuntimeError("redis 127.0.0.1:6379: gone"))

    def give_back(self, gcra: Gcra, units: Iterable[tuple[str, int]]) -> None:
        self.back += units


class World:
    def __init__(self, **settings: Any) -> None:
        self.redis = Redis()
        self.env = self.redis.env = Env(limits=self.redis)
        self.env.advance(1000.0)
        made = self.env.build("ratelimit", **{"rate": "10/s", "shared": "api", **settings})
        self.filter: Any = made
        self.chain = Chain([made], FakeUpstream(Reply(200)), self.env)

    def ask(self, **headers: str) -> Any:
        return self.chain.call(http_call(headers=headers))

    def statuses(self, count: int) -> list[int]:
        return [self.ask().status for _ in range(count)]

    def advance(self, seconds: float) -> None:
        self.chain.advance(seconds)

    def count(self, name: str, *labels: str) -> float:
        return self.env.count(f"twisted_mesh_filter_ratelimit_{name}", "ratelimit", *labels)

    def calls(self) -> tuple[float, float]:
        admitted = self.count("calls_total", "admitted") + self.count("calls_total", "near")
        return admitted, self.count("calls_total", "refused")


def test_what_is_over_the_limit_is_refused() -> None:
    world = World()
    assert world.statuses(12) == [200] * 10 + [429] * 2
    assert world.calls() == (10, 2)
    assert repr(world.filter) == "<SharedRateLimit api 1 keys>"
    world.advance(1.0)
    assert world.statuses(12) == [200] * 10 + [429] * 2


def test_most_calls_ask_nobody() -> None:
    world = World(rate="1000/s")
    for _ in range(400):
        assert world.ask().status == 200
        world.advance(0.002)
    assert len(world.redis.asked) <= 20
    assert world.count("asked_total", "granted") == len(world.redis.asked)


def test_refused_calls_ask_nobody_either() -> None:
    world = World(rate="100/s")
    statuses = []
    for _ in range(1000):
        statuses.append(world.ask().status)
        world.advance(0.005)
    # 5 s, and the burst.
    assert abs(statuses.count(200) - 600) <= 12
    assert len(world.redis.asked) <= 100


def test_calls_that_come_meanwhile_wait_for_one_answer() -> None:
    world = World()
    world.redis.holds = True
    outcomes = [world.ask() for _ in range(12)]
    assert all(each.waiting for each in outcomes) and len(world.redis.asked) == 1
    world.redis.let()
    # The first question was for one call, the second is for all the others, as far as they ever can be admitted.
    assert [each.waiting for each in outcomes] == [False] + [True] * 11
    assert world.redis.asked[1] == ("all", Ask(10, 1, 0))
    world.redis.let()
    assert [each.status for each in outcomes] == [200] * 10 + [429] * 2
    world.chain.advance(LIFE)
    world.chain.assert_idle()


def test_a_call_that_is_cut_while_it_waits_takes_nothing() -> None:
    world = World()
    world.redis.holds = True
    first, second = world.ask(), world.ask()
    first.hang_up()
    world.redis.let()
    assert second.status == 200
    assert world.calls() == (1, 0)


def test_redis_has_twenty_milliseconds() -> None:
    world = World(rate="100/s")
    world.redis.sidecars = 4
    world.redis.holds = True
    outcome = world.ask()
    world.advance(0.019)
    assert outcome.waiting
    world.advance(0.001)
    assert outcome.status == 200
    # As long as it is late nobody waits, and a quarter is admitted here.
    assert world.statuses(25) == [200] * 24 + [429]
    world.advance(1.0)
    assert world.statuses(26) == [200] * 25 + [429]
    assert len(world.redis.asked) == 1
    assert world.count("alone_total") == 52
    assert world.count("asked_total", "late") == 1
    [line] = [each for each in world.env.logged if "Redis" in each]
    assert line == (
        "Redis did not answer within 0.02 s: of the shared limit api one part in 4 is admitted here until it answers"
    )


def test_the_whole_wait_is_the_budget_also_when_it_is_asked_twice() -> None:
    world = World()
    world.redis.holds = True
    outcomes = [world.ask(), world.ask()]
    world.advance(0.015)
    world.redis.let()
    world.advance(0.005)
    assert [each.status for each in outcomes] == [200, 200]
    assert world.count("alone_total") == 1


def test_the_budget_may_be_another() -> None:
    world = World(budget="100ms")
    world.redis.holds = True
    outcome = world.ask()
    world.advance(0.09)
    assert outcome.waiting
    world.advance(0.01)
    assert not outcome.waiting


def test_what_was_admitted_while_it_was_late_is_made_up_for() -> None:
    world = World()
    world.redis.holds = True
    outcome = world.ask()
    world.advance(0.02)
    assert outcome.status == 200
    assert world.statuses(4) == [200] * 4
    world.redis.holds = False
    world.redis.let()
    # One was granted and used, four are owed.
    assert world.ask().status == 200
    assert world.redis.asked[-1][1].debt == 4
    assert world.statuses(5).count(200) == 5 - 1


def test_while_it_is_away_a_share_is_admitted_at_once() -> None:
    world = World(rate="100/s")
    world.redis.sidecars = 4
    world.redis.connected = False
    assert world.statuses(30) == [200] * 25 + [429] * 5
    assert world.redis.asked == []
    assert world.env.logged[-1].startswith("Redis is away: of the shared limit api one part in 4")
    world.redis.connected = True
    world.advance(11.0)
    assert world.ask().status == 200
    assert world.env.logged[-1] == "the limit api is shared again"


def test_what_it_had_when_redis_went_is_used_first_and_no_new_burst_comes() -> None:
    world = World(rate="100/s", burst=20)
    world.redis.sidecars = 2
    for _ in range(10):
        world.advance(0.004)
        world.statuses(3)
    world.redis.connected = False
    before = world.calls()[0]
    for _ in range(100):
        world.advance(0.01)
        world.statuses(2)
    # Half of the rate for a second, and what was leased.
    assert 45 <= world.calls()[0] - before <= 50 + 9


def test_after_a_failure_it_is_left_alone_for_a_moment() -> None:
    world = World(rate="100/s")
    world.redis.holds = True
    outcome = world.ask()
    world.redis.fail()
    assert outcome.status == 200
    assert world.statuses(5) == [200] * 5
    assert len(world.redis.asked) == 1
    assert world.count("asked_total", "failed") == 1
    assert any("gone: of the shared limit" in each for each in world.env.logged)
    world.advance(1.0)
    world.redis.holds = False
    world.statuses(1)
    assert len(world.redis.asked) == 2


def test_units_that_nobody_used_go_back() -> None:
    world = World(rate="100/s")
    for _ in range(4):
        world.statuses(2)
        world.advance(0.02)
    world.advance(LIFE + 1.0)
    [(key, units)] = world.redis.back
    assert key == "all" and 0 < units <= 32
    world.chain.assert_idle()


def test_each_key_has_its_own() -> None:
    world = World(rate="1/s", key=["header:x-team"])
    assert [world.ask(**{"x-team": each}).status for each in ("red", "red", "blue")] == [200, 429, 200]
    names = {key for key, _ in world.redis.asked}
    assert len(names) == 2 and all(each.startswith("header:x-team=") for each in names)


def test_calls_may_cost_more() -> None:
    world = World(rate="10/s", cost=4)
    assert world.statuses(3) == [200, 200, 429]
    call = http_call()
    call.count = 3
    outcome = world.chain.call(call)
    assert isinstance(outcome.error, MeshError) and outcome.error.headers == ()


def commands(world: World, *texts: str) -> Any:
    upstream = Echo()
    return Run(compose([world.filter], upstream), several(*texts))


def test_of_several_commands_each_is_decided_and_all_is_asked_at_once() -> None:
    world = World(rate="3/h", key=["key"])
    world.redis.holds = True
    run = commands(world, "GET a", "GET b", "GET a", "GET a", "GET a", "GET b")
    assert world.redis.asked == [("key=a", Ask(3, 1, 0)), ("key=b", Ask(2, 1, 0))]
    assert run.result is None
    world.redis.let()
    assert [each[0] for each in lines(run.result)] == ["+", "+", "+", "+", "-", "+"]
    assert world.calls() == (5, 1)


def test_several_commands_wait_no_longer_than_the_budget() -> None:
    world = World(rate="8/h")
    world.redis.sidecars = 2
    world.redis.holds = True
    run = commands(world, *["GET a"] * 10)
    world.advance(0.02)
    assert [each[0] for each in lines(run.result)] == ["+"] * 4 + ["-"] * 6
    run = commands(world, *["GET a"] * 3)
    assert isinstance(run.result, MeshError)


def test_several_commands_of_a_client_that_goes_take_nothing() -> None:
    world = World(rate="8/h", key=["key"])
    world.redis.holds = True
    run = commands(world, "GET a", "GET b")
    run.driver.cancel(Cancelled(Kind.CLIENT_GONE))
    world.redis.let()
    assert world.calls() == (0, 0)


def test_replies_may_say_how_much_is_left() -> None:
    world = World(rate="2/s", headers=True)
    outcomes = [world.ask() for _ in range(3)]
    told = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")
    assert [outcomes[0].headers.get(each) for each in told] == ["2", "1", "1"]
    assert [outcomes[1].headers.get(each) for each in told] == ["2", "0", "1"]
    assert dict(outcomes[2].error.headers) == {
        "Retry-After": "1",
        "RateLimit-Limit": "2",
        "RateLimit-Remaining": "0",
        "RateLimit-Reset": "1",
    }


def test_calls_that_come_near_are_counted() -> None:
    world = World()
    world.statuses(10)
    assert (world.count("calls_total", "admitted"), world.count("calls_total", "near")) == (7, 3)


def test_keys_that_find_no_room_are_forgotten_and_counted() -> None:
    world = World(rate="1/h", key=["header:x-team"], max_keys=2)
    for each in "abcde":
        world.ask(**{"x-team": each})
    assert world.count("dropped_total") == 3
    # Redis knows them all the same.
    assert world.ask(**{"x-team": "a"}).status == 429


def test_it_goes_when_its_chain_does() -> None:
    """Without the garbage collector: until then this sidecar would count as one that shares the limit."""
    world = World()

    async def answered(call: Call) -> Reply:
        return Reply(200)

    made: Any = world.env.build("ratelimit", rate="10/s", shared="api")
    found = ref(made)
    gc.disable()
    try:
        for _ in range(3):
            with pytest.raises(StopIteration):
                made(http_call(), answered).send(None)
        del made
        assert found() is None
    finally:
        gc.enable()
    world.advance(LIFE + 1.0)
    assert world.env.events == []


def test_one_that_is_in_force_no_more_is_not_counted() -> None:
    world = World()
    assert world.redis.members == [id(world.filter)]
    world.filter.retire()
    assert world.redis.members == []
    # Calls that began before go on.
    assert world.ask().status == 200


@pytest.mark.parametrize("error", [None, "connection lost"])
def test_no_call_is_lost_when_redis_comes_and_goes(error: Optional[str]) -> None:
    world = World(rate="1000/s")
    outcomes = []
    for number in range(300):
        world.redis.connected = number % 7 != 0
        world.redis.holds = number % 5 == 0
        outcomes.append(world.ask())
        world.advance(0.003)
        if number % 3 == 0:
            world.redis.fail() if error else world.redis.let()
    world.redis.let()
    world.advance(1.0)
    assert not [each for each in outcomes if each.waiting]
    assert sum(world.calls()) == 300

"""The service registry, at a real server; and against a simple model of it."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.internet.task import Clock

from tests.bus.direct import Direct, result_of
from tests.servers import Conversation, Server
from twisted_mesh.bus.access import Access
from twisted_mesh.bus.instance import Instance
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.leases import Held
from twisted_mesh.bus.registry import ServiceRegistry
from twisted_mesh.bus.view import read_change
from twisted_mesh.metrics import Registry

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "redis.md"
LEASES = "mesh:{shop}:service:web:leases"


@pytest.fixture
def redis(server: Server) -> Iterator[Conversation]:  # type: ignore[override]
    with server.connect() as conversation:
        conversation("FLUSHALL")
        yield conversation


def registry_at(redis: Conversation, subscriber: Any = None, clock: Optional[Clock] = None) -> ServiceRegistry:
    direct: Any = Direct(redis)
    access = Access(direct, subscriber, Keys("shop"), clock or Clock(), random.Random(1), lambda: 0.0, Registry())
    return ServiceRegistry(access)


def web(id: str = "web-1", **fields: Any) -> Instance:
    made: dict[str, Any] = {"id": id, "service": "web", "address": "10.0.0.1", "ports": {"http": 80}, "lease": 600.0}
    return Instance(**{**made, **fields})


def test_an_instance_is_registered_and_gone_again(redis: Conversation) -> None:
    """It is listed with the end of its lease while it is there."""
    registry = registry_at(redis)
    assert result_of(registry.register(web())) is None
    (found,) = result_of(registry.instances("web")).instances
    assert found.expires > 0
    assert [(each.name, each.leased) for each in result_of(registry.services())] == [("web", 1)]
    assert result_of(registry.deregister("web", "web-1")) is True
    assert result_of(registry.deregister("web", "web-1")) is False
    assert result_of(registry.instances("web")).instances == ()


def test_a_status_changes(redis: Conversation) -> None:
    """Of an instance that is there, to one that there is."""
    registry = registry_at(redis)
    result_of(registry.register(web(labels={"a": "b"})))
    assert result_of(registry.set_status("web", "web-1", "draining")) is True
    (found,) = result_of(registry.instances("web")).instances
    assert (found.status, found.labels, found.lease) == ("draining", {"a": "b"}, 600.0)
    assert result_of(registry.set_status("web", "nobody", "up")) is False
    with pytest.raises(ValueError, match="status: expected starting, up, draining or down"):
        registry.set_status("web", "web-1", "fine")


def test_what_can_never_be_right_is_refused_before_redis_hears_of_it(redis: Conversation) -> None:
    """At once, as a ValueError."""
    with pytest.raises(ValueError, match="address: expected"):
        registry_at(redis).register(web(address="a b"))


def test_two_owners_of_one_id(redis: Conversation) -> None:
    """The second learns of the first, and the first does not take away what is the second's."""
    registry = registry_at(redis)
    result_of(registry.register(web(owner="one")))
    other = result_of(registry.register(web(owner="two", address="10.0.0.2")))
    assert (other.owner, other.address) == ("one", "10.0.0.1")
    assert result_of(registry.deregister("web", "web-1", "one")) is False
    assert result_of(registry.deregister("web", "web-1", "two")) is True


def test_records_that_are_wrong_are_passed_over(redis: Conversation) -> None:
    """Another program's mistake hides no other instance, and is said."""
    registry = registry_at(redis)
    for id in ("a", "b", "c"):
        result_of(registry.register(web(id)))
    redis("HSET", "mesh:{shop}:service:web:records", "b", "{}")
    redis(
        "HSET", "mesh:{shop}:service:web:records", "c", '{"id":"x","service":"web","address":"::1","ports":{"http":1}}'
    )
    view = result_of(registry.instances("web"))
    assert [each.id for each in view.instances] == ["a"]
    assert view.refused["c"] == "it says that it is web/x"


def test_what_the_documentation_says_to_other_programs(redis: Conversation) -> None:
    """Its script registers an instance, and its way to renew one is a renewal."""
    [script] = re.findall(r"```lua\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    registry, record = registry_at(redis), '{"id":"web-1","service":"web","address":"10.0.0.1","ports":{"http":80}}'
    for version, port in (1, "80"), (2, "81"), (3, "81"):
        redis("EVAL", script, 1, "mesh:{shop}:", "web", "web-1", record.replace("80", port), 15_000)
        view = result_of(registry.instances("web"))
        [found] = view.instances
        assert (found.id, found.ports, found.status) == ("web-1", {"http": int(port)}, "up")
        born = int(redis("HGET", "mesh:{shop}:services", ":born"))
        assert view.version == born + version
        assert read_change(redis("LRANGE", "mesh:{shop}:service:web:changes", -1, -1)[0]).v == view.version
    now = int(redis("TIME")[0]) * 1000
    assert redis("ZADD", "mesh:{shop}:service:web:leases", "XX", "CH", now + 60_000, "web-1") == 1
    [found] = result_of(registry.instances("web")).instances
    assert found.expires == now + 60_000
    assert result_of(registry.deregister("web", "web-1"))


def test_what_is_recalled_is_there_before_redis_is(redis: Conversation) -> None:
    """A view begins with what an earlier life knew."""

    class Silent:
        connected = False
        on_up: list[Any] = []
        on_down: list[Any] = []

        async def subscribe(self, channel: str, heard: Any) -> None:
            from twisted.internet.defer import Deferred

            await Deferred()

        def unsubscribe(self, channel: str) -> None:
            pass

    registry = registry_at(redis, Silent())
    registry._recall = lambda service: {"web-1": web()}
    seen: list[Any] = []
    registry.follow("web", lambda view: seen.append((view.instances, view.known, view.synced)))
    assert seen == [((web(),), False, False)]


# --- a model

IDS = st.sampled_from([f"i{number}" for number in range(6)])
WEIGHTS = st.integers(1, 3)


class AgainstModel(RuleBasedStateMachine):
    """Any sequence of what can happen to a service, beside a dictionary that says what must be so then.

    Time does not pass: leases are long, and `run_out` ends some.  A follower that hears only what it reads keeps up.
    """

    redis: Conversation

    def __init__(self) -> None:
        super().__init__()
        self.redis("FLUSHALL")
        self.registry = registry_at(self.redis)
        self.weights: dict[str, int] = {}
        self.suspects: set[str] = set()
        self.version = 0
        self.leases = self.registry._leases
        from twisted_mesh.bus.followed import Followed, FollowerCells
        from twisted_mesh.bus.registry import ServiceView
        from twisted_mesh.families import Families

        self.view = ServiceView("web")
        self.followed = Followed(self.view, "service", FollowerCells(Families(Registry()), "service"), [])

    @rule(id=IDS, weight=WEIGHTS)
    def register(self, id: str, weight: int) -> None:
        result_of(self.registry.register(web(id, weight=weight)))
        self.weights[id] = weight
        self.suspects.discard(id)

    @rule(ids=st.sets(IDS))
    def renew(self, ids: set[str]) -> None:
        unknown = result_of(self.registry.renew([Held("web", id, 600.0) for id in ids]))
        assert {id for _, id in unknown} == ids - self.weights.keys()
        self.suspects -= ids

    @rule(id=IDS)
    def deregister(self, id: str) -> None:
        assert result_of(self.registry.deregister("web", id)) is (id in self.weights)
        self.weights.pop(id, None)
        self.suspects.discard(id)

    @rule(id=IDS)
    def refuse(self, id: str) -> None:
        assert result_of(self.registry.refused("web", id)) is (id in self.suspects)
        if id in self.suspects:
            self.suspects.discard(id)
            del self.weights[id]

    @rule(ids=st.sets(IDS, min_size=1))
    def run_out(self, ids: set[str]) -> None:
        """Leases end, and somebody looks."""
        over = ids & self.weights.keys() - self.suspects
        for id in over:
            self.redis("ZADD", LEASES, "XX", 1, id)
        result_of(self.leases.poll(["web"]))
        doubtful = len(over | self.suspects)
        if over and doubtful > 1 and doubtful * 2 > len(self.weights):
            self.suspects |= over
        else:
            for id in over:
                del self.weights[id]

    @rule()
    def suspicion_ends(self) -> None:
        for id in self.suspects:
            self.redis("ZADD", "mesh:{shop}:service:web:suspects", "XX", 1, id)
            del self.weights[id]
        self.suspects = set()
        result_of(self.leases.poll(["web"]))

    @rule()
    def restart_empty(self) -> None:
        self.redis("FLUSHALL")
        self.weights = {}
        self.suspects = set()

    @rule()
    def keep_up(self) -> None:
        """The follower reads what it has missed, as after a poll."""
        if self.followed.got(result_of(self.leases.read("web", self.view.version, self.view.born)), True):
            self.followed.got(result_of(self.leases.read("web")), True)
        assert {each.id: each.weight for each in self.view.instances} == self.weights
        assert self.view.suspects.keys() == self.suspects

    @invariant()
    def redis_is_as_the_model(self) -> None:
        view = result_of(self.registry.instances("web"))
        assert {each.id: each.weight for each in view.instances} == self.weights
        assert view.suspects.keys() == self.suspects
        assert view.version >= self.version or not self.weights
        self.version = view.version


def test_any_history_of_a_service(server: Server) -> None:
    """Register, renew, run out, refuse, deregister, restart, in any order: Redis and the follower are as the model."""
    from hypothesis.stateful import run_state_machine_as_test

    with server.connect() as redis:
        AgainstModel.redis = redis
        examples = settings.default.max_examples if settings.default is not None else 60
        run_state_machine_as_test(
            AgainstModel, settings=settings(max_examples=min(examples, 1000), stateful_step_count=30, deadline=None)
        )

"""A sidecar's own instance: there while the application answers, gone first at the end."""

from __future__ import annotations

from typing import Any, Optional

from twisted.internet.defer import Deferred, fail, succeed

from tests.upstream.fakes import FakeConnector, FakeEnv
from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.instance import Instance
from twisted_mesh.model import Address, HealthCheck
from twisted_mesh.server.registration import LEAVING, Registration

APP = "127.0.0.1:9000"
INSTANCE = Instance(id="web-1", service="web", address="10.0.0.1", ports={"http": 80}, owner="me")


class FakeRedis:
    def __init__(self) -> None:
        self.on_up: list[Any] = []
        self.connected = True

    def up(self) -> None:
        self.connected = True
        for each in list(self.on_up):
            each()


class FakeRegistry:
    """Holds what is registered; `error` is what every command ends with, `stuck` has them never end."""

    def __init__(self) -> None:
        self.held: dict[str, Instance] = {}
        self.did: list[str] = []
        self.error: Optional[Exception] = None
        self.stuck = False

    def _answer(self, value: Any) -> Deferred[Any]:
        if self.stuck:
            return Deferred()
        return fail(self.error) if self.error else succeed(value)

    def register(self, instance: Instance) -> Deferred[Any]:
        self.did.append("register")
        other = self.held.get(instance.id)
        if not self.error and not self.stuck:
            self.held[instance.id] = instance
        return self._answer(other if other is not None and other.owner != instance.owner else None)

    def renew(self, held: Any) -> Deferred[Any]:
        self.did.append("renew")
        return self._answer([(each.name, each.id) for each in held if each.id not in self.held])

    def deregister(self, service: str, id: str, owner: str = "", why: str = "") -> Deferred[Any]:
        self.did.append(f"deregister: {why}")
        if not self.error and not self.stuck:
            self.held.pop(id, None)
        return self._answer(True)


class Subject:
    def __init__(self, **check: Any) -> None:
        self.env = FakeEnv()
        self.connector = FakeConnector()
        self.redis = FakeRedis()
        self.registry = FakeRegistry()
        made: Any = Registration(
            INSTANCE,
            Address.parse(APP),
            HealthCheck(**{"tcp": True, "unhealthy": 2, "healthy": 1, **check}),
            self.registry,
            self.redis,
            self.env,  # type: ignore[arg-type]
            self.connector,  # type: ignore[arg-type]
        )
        self.registration: Registration = made

    def start(self, well: bool = True) -> Subject:
        self.app(well)
        self.registration.start()
        self.pass_time(0.01)
        return self

    def app(self, well: bool) -> None:
        self.connector.answer[APP] = "accept" if well else "refuse"

    def pass_time(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds / 0.05))):
            self.env.clock.advance(0.05)


def test_it_is_registered_when_the_application_answers() -> None:
    """Not before, and then within a quarter of a second."""
    subject = Subject().start(well=False)
    subject.pass_time(3)
    assert subject.registry.did == []
    assert subject.registration.state == f"not registered: {APP}: connection refused"
    subject.app(True)
    subject.pass_time(0.4)
    assert subject.registry.held == {"web-1": INSTANCE}
    assert subject.registration.state == "registered"
    assert subject.env.count("registration_registered") == 1


def test_the_lease_is_renewed() -> None:
    """Once every heartbeat, or a little sooner."""
    subject = Subject().start()
    subject.pass_time(60)
    assert subject.registry.did[0] == "register"
    assert 12 <= subject.registry.did.count("renew") <= 14
    assert subject.env.count("registration_heartbeats_total", "renewed") == subject.registry.did.count("renew")


def test_it_goes_when_the_application_does_not_answer_any_more() -> None:
    """With the reason, after as many failures as the check says; and comes back with it."""
    subject = Subject().start()
    subject.app(False)
    subject.pass_time(15)
    assert subject.registry.held == {}
    assert f"deregister: {APP}: connection refused" in subject.registry.did
    assert not subject.registration.registered
    subject.app(True)
    subject.pass_time(1)
    assert "web-1" in subject.registry.held


def test_a_registry_that_has_forgotten_it_is_told_again() -> None:
    """Redis came back empty: at the next heartbeat, or as soon as it is back."""
    subject = Subject().start()
    subject.registry.held.clear()
    subject.pass_time(6)
    assert "web-1" in subject.registry.held
    assert subject.env.count("registration_heartbeats_total", "unknown") == 1
    subject.registry.held.clear()
    subject.redis.up()
    subject.pass_time(0.6)
    assert "web-1" in subject.registry.held


def test_a_registry_that_fails_is_asked_again() -> None:
    """The trouble is shown and said once."""
    subject = Subject()
    subject.registry.error = BusError("refused", "OOM command not allowed", code="OOM")
    subject.start()
    subject.pass_time(20)
    assert subject.registration.state == "not registered: OOM command not allowed"
    assert subject.env.count("registration_heartbeats_total", "failed") >= 3
    subject.registry.error = None
    subject.pass_time(6)
    assert "web-1" in subject.registry.held
    assert subject.registration.trouble == ""


def test_without_a_connection_nothing_is_asked() -> None:
    """It is registered when Redis is there."""
    subject = Subject()
    subject.redis.connected = False
    subject.start()
    subject.pass_time(10)
    assert subject.registry.did == []
    subject.redis.up()
    subject.pass_time(0.6)
    assert subject.registry.did == ["register"]


def test_it_leaves_first_and_does_not_come_back() -> None:
    """Whatever comes after: no heartbeat, no check."""
    subject = Subject().start()
    fired: list[Any] = []
    subject.registration.leave().addCallback(fired.append)
    assert fired == [None]
    assert subject.registry.held == {}
    assert subject.registry.did[-1] == "deregister: its sidecar ends"
    assert not subject.env.clock.getDelayedCalls()
    subject.redis.up()
    subject.pass_time(10)
    assert subject.registry.held == {}


def test_leaving_does_not_wait_for_a_redis_that_does_not_answer() -> None:
    """The lease ends by itself; the drain goes on."""
    subject = Subject().start()
    subject.registry.stuck = True
    fired: list[Any] = []
    subject.registration.leave().addCallback(fired.append)
    assert not fired
    subject.env.clock.advance(LEAVING)
    assert fired == [None]


def test_leaving_while_it_is_being_registered() -> None:
    """Redis may have it although no answer came: it is taken away all the same."""
    subject = Subject()
    subject.registry.error = BusError("timeout", "no answer", sent=True)
    subject.start()
    assert not subject.registration.registered
    subject.registry.error = None
    subject.registration.leave()
    assert subject.registry.did[-1] == "deregister: its sidecar ends"


def test_leaving_where_nothing_is_registered() -> None:
    """Nobody is asked anything."""
    subject = Subject().start(well=False)
    fired: list[Any] = []
    subject.registration.leave().addCallback(fired.append)
    assert fired == [None]
    assert subject.registry.did == []


# --- what a configuration says

"""Clusters whose endpoints are the instances of a service."""

from __future__ import annotations

import errno
from typing import Any, Callable, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed

from tests.upstream.fakes import FakeConnector, FakeEnv, FakeResolver, a_call, cluster_config
from twisted_mesh.bus.instance import Instance
from twisted_mesh.bus.registry import ServiceView
from twisted_mesh.bus.view import Suspect
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.families import Families
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.discovered import COMING_BACK, FIRST_VIEW
from twisted_mesh.upstream.resolve import Answer


class Following:
    def __init__(self, stop: Callable[[], None]) -> None:
        self.stop = stop


class FakeServices:
    """A registry that knows what it is told; `told` are the suspects that it was told of."""

    def __init__(self) -> None:
        self.view = ServiceView("web")
        self.listeners: list[Any] = []
        self.told: list[tuple[str, str]] = []
        self.error: Optional[Exception] = None

    def follow(self, service: str, changed: Any) -> Following:
        assert service == "web"
        self.listeners.append(changed)
        if self.view.known:
            changed(self.view)
        return Following(lambda: self.listeners.remove(changed))

    def refused(self, service: str, id: str) -> Deferred[bool]:
        self.told.append((service, id))
        return fail(self.error) if self.error else succeed(True)

    def say(self, *instances: Instance, suspects: tuple[str, ...] = (), lost: bool = False) -> None:
        view = self.view
        before, doubted = view.records, view.suspects
        view.known = view.synced = True
        view.records = {each.id: each for each in instances}
        view.suspects = {id: Suspect(60.0, "2 of 3 together") for id in suspects}
        view.touched = frozenset(
            id
            for id in before.keys() | view.records.keys()
            if before.get(id) != view.records.get(id) or doubted.get(id) != view.suspects.get(id)
        )
        view.vanished = frozenset(before.keys() - view.records.keys()) if lost else frozenset()
        for each in list(self.listeners):
            each(self.view)


def web(id: int, **fields: Any) -> Instance:
    made: dict[str, Any] = {"id": f"web-{id}", "service": "web", "address": "10.0.0.1", "ports": {"http": id}}
    return Instance(**{**made, **fields})


class Subject:
    """A cluster of the service ``web``."""

    def __init__(self, start: bool = True, services: Optional[FakeServices] = None, **options: Any) -> None:
        self.env = FakeEnv()
        self.cells = Families(self.env.metrics).upstream("http", "api")
        self.services = services or FakeServices()
        self.resolver = options.pop("resolver", None)
        self.cluster = self.another(**options)
        if start:
            self.begun = self.cluster.start()

    def another(self, **options: Any) -> Cluster:
        return Cluster(
            "api",
            cluster_config(service="web", **options),
            self.env,
            FakeConnector(),  # type: ignore[arg-type]
            self.resolver,
            services=self.services,
        )

    @property
    def addresses(self) -> list[str]:
        return [each.address for each in self.cluster.usable]

    def refuse(self, address: str) -> None:
        """A connection to this endpoint is refused."""
        error = MeshError(Kind.CONNECT_FAILED, "refused")
        error.__cause__ = OSError(errno.ECONNREFUSED, "refused")
        for each in self.cluster.endpoints:
            if each.address == address:
                each.not_connected(error, self.cells)


def test_instances_are_endpoints() -> None:
    """With their address, weight, zone and labels; those that are added, changed and removed take effect at once."""
    subject = Subject()
    subject.services.say(web(1, weight=3, zone="a", labels={"x": "y"}), web(2))
    first = subject.cluster.endpoints[0]
    assert (first.address, first.weight, first.zone, first.labels, first.instance) == (
        "10.0.0.1:1", 3, "a", {"x": "y"}, "web-1",
    )  # fmt: skip
    first.active, first.successes = 2, 7
    subject.services.say(web(1, weight=5), web(3))
    assert subject.addresses == ["10.0.0.1:1", "10.0.0.1:3"]
    # It is the same endpoint, with its state.
    assert subject.cluster.endpoints[0] is first
    assert (first.weight, first.active, first.successes) == (5, 2, 7)


def test_removed_instances_drain() -> None:
    """Calls in flight go on, and the connections close when they come back."""
    subject = Subject()
    subject.services.say(web(1), web(2))
    gone = subject.cluster.endpoints[1]
    subject.services.say(web(1))
    assert gone.draining


def test_a_subset_has_all_the_labels() -> None:
    """Version, zone and id count as labels."""
    subject = Subject(subset={"version": "v1", "tier": "a"})
    subject.services.say(
        web(1, version="v1", labels={"tier": "a"}), web(2, version="v2", labels={"tier": "a"}), web(3, version="v1")
    )
    assert subject.addresses == ["10.0.0.1:1"]


def test_the_port_that_is_wanted() -> None:
    """An instance without it is passed over, which is said once."""
    subject = Subject(port="tcp")
    for _ in range(2):
        subject.services.say(
            web(1), web(2, ports={"tcp": 22, "http": 80}), web(3, address="localhost", ports={"tcp": 3})
        )
    assert subject.addresses == ["10.0.0.1:22", "127.0.0.1:3"]
    assert sum("web-1 has no port for tcp and is passed over" in each for each in subject.env.said) == 1


@pytest.mark.parametrize("status", ["starting", "down", "draining"])
def test_only_those_that_are_up_take_calls(status: str) -> None:
    """The others are shown, with their status."""
    subject = Subject()
    subject.services.say(web(1), web(2, status=status))
    assert subject.addresses == ["10.0.0.1:1"]
    assert subject.cluster.endpoints[1].out == status


def test_what_is_about_to_end_is_better_than_nothing() -> None:
    """Draining instances still serve; those that are down do not."""
    subject = Subject()
    subject.services.say(web(1, status="draining"), web(2, status="down"))
    assert subject.addresses == ["10.0.0.1:1"]
    subject.services.say(web(1, status="down"), web(2, status="starting"))
    with pytest.raises(MeshError, match="all of 2 endpoints are out: down"):
        subject.cluster.pick(a_call())


def test_an_empty_answer_keeps_the_last_good_ones_for_a_while() -> None:
    """And says so, in the log, the metrics and the admin; then they are gone."""
    subject = Subject(keep_last_good=30.0)
    subject.services.say(web(1), web(2))
    subject.services.say()
    assert subject.addresses == ["10.0.0.1:1", "10.0.0.1:2"]
    assert subject.env.count("cluster_kept_endpoints", "api") == 2
    assert any("its last 2 endpoints are kept for 30 s" in each for each in subject.env.said)
    assert subject.cluster.endpoints[0].doubt.startswith("kept")
    assert subject.cluster.describe()["registry"]["kept_until"] == subject.env.wall() + 30  # type: ignore[index]
    subject.services.say()
    subject.env.clock.advance(30)
    assert subject.addresses == []
    assert subject.env.count("cluster_kept_endpoints", "api") == 0
    with pytest.raises(MeshError, match="service web has no instance"):
        subject.cluster.pick(a_call())


def test_what_is_kept_goes_when_others_come() -> None:
    """The registry is believed again as soon as it knows one."""
    subject = Subject()
    subject.services.say(web(1), web(2))
    subject.services.say()
    subject.services.say(web(3))
    assert subject.addresses == ["10.0.0.1:3"]
    assert not subject.cluster.endpoints[0].doubt
    subject.env.clock.advance(100)
    assert subject.addresses == ["10.0.0.1:3"]


def test_keeping_can_be_switched_off() -> None:
    """Zero believes an empty answer at once."""
    subject = Subject(keep_last_good=0.0)
    subject.services.say(web(1))
    subject.services.say()
    assert subject.addresses == []


def test_a_kept_endpoint_that_refuses_is_gone() -> None:
    """It was only kept in case that the registry is wrong."""
    subject = Subject()
    subject.services.say(web(1), web(2))
    subject.services.say()
    subject.refuse("10.0.0.1:1")
    assert subject.addresses == ["10.0.0.1:2"]
    subject.refuse("10.0.0.1:2")
    assert subject.addresses == []
    assert subject.env.count("cluster_kept_endpoints", "api") == 0


def test_suspects_take_calls_until_one_is_refused() -> None:
    """Then it is gone here at once, and the registry is told for all others."""
    subject = Subject()
    subject.services.say(web(1), web(2), web(3), suspects=("web-1", "web-2"))
    assert len(subject.addresses) == 3
    assert subject.env.count("cluster_suspects", "api") == 2
    assert subject.cluster.endpoints[0].doubt == "a suspect: 2 of 3 together"
    shown: Any = subject.cluster.describe()["registry"]
    assert shown["suspects"]["web-1"] == {"until": 60.0, "reason": "2 of 3 together"}
    subject.refuse("10.0.0.1:1")
    subject.refuse("10.0.0.1:3")
    assert subject.addresses == ["10.0.0.1:2", "10.0.0.1:3"]
    assert subject.services.told == [("web", "web-1")]
    # It renews its lease after all.
    subject.services.say(web(1), web(2), web(3))
    assert len(subject.addresses) == 3


def test_other_failures_to_connect_prove_nothing() -> None:
    """A timeout may be the network's, which is what the guard is for."""
    subject = Subject()
    subject.services.say(web(1), web(2), suspects=("web-1", "web-2"))
    subject.cluster.endpoints[0].not_connected(MeshError(Kind.CONNECT_TIMEOUT, "slow"), subject.cells)
    assert len(subject.addresses) == 2
    assert (subject.cells.connect_timeouts.value, subject.cells.connect_failures.value) == (1, 0)


def test_a_service_whose_last_suspect_refuses_is_empty() -> None:
    """What was proven gone is not kept, although the answer is empty now."""
    subject = Subject()
    subject.services.say(web(1), web(2), suspects=("web-1", "web-2"))
    subject.refuse("10.0.0.1:1")
    subject.refuse("10.0.0.1:2")
    assert subject.addresses == []
    subject.services.say()
    assert subject.addresses == []


def test_a_registry_that_cannot_be_told_is_no_reason_to_keep_it() -> None:
    """It is gone here, and the log says that others may not know."""
    subject = Subject()
    subject.services.error = RuntimeError("redis is down")
    subject.services.say(web(1), web(2), suspects=("web-1", "web-2"))
    subject.refuse("10.0.0.1:1")
    assert subject.addresses == ["10.0.0.1:2"]
    assert any("could not be told that web/web-1 is gone: redis is down" in each for each in subject.env.said)


def test_a_reload_keeps_endpoints_and_their_state() -> None:
    """The next cluster has them before it has heard anything, by its own subset."""
    subject = Subject()
    subject.services.say(web(1, version="v1"), web(2, version="v2"))
    old = subject.cluster.endpoints[0]
    fresh = subject.another(subset={"version": "v1"})
    fresh.adopt(subject.cluster)
    assert fresh.endpoints == (old,)
    fresh.start()
    subject.cluster.stop()
    assert not old.draining
    assert fresh.endpoints == (old,)
    assert len(subject.services.listeners) == 1


def test_a_start_waits_for_the_first_view_but_not_for_ever() -> None:
    """So that the first calls find an endpoint; without Redis they have their error after a moment."""
    subject = Subject()
    fired: list[Any] = []
    subject.begun.addCallback(fired.append)
    assert not fired
    subject.services.say(web(1))
    assert fired
    slow = Subject()
    slow.begun.addCallback(fired.append)
    with pytest.raises(MeshError, match="nothing is known of service web yet"):
        slow.cluster.pick(a_call())
    slow.env.clock.advance(FIRST_VIEW)
    assert len(fired) == 2


def test_nothing_is_left_when_it_stops() -> None:
    """No timer, nobody who follows."""
    subject = Subject()
    subject.services.say(web(1))
    subject.services.say()
    subject.cluster.stop()
    assert not subject.env.clock.getDelayedCalls()
    assert not subject.services.listeners


# --- a Redis that has lost what it had


def test_those_that_are_not_back_yet_are_kept_too() -> None:
    """Redis came back empty, and instances are registered again one after the other: each keeps its state."""
    subject = Subject()
    subject.services.say(web(1), web(2), web(3))
    endpoints = subject.cluster.endpoints
    subject.services.say(lost=True)
    assert subject.cluster.endpoints == endpoints
    subject.services.say(web(1))
    assert len(subject.addresses) == 3
    assert not endpoints[0].doubt
    assert endpoints[1].doubt == "kept: the registry has lost what it knew"
    assert subject.env.count("cluster_kept_endpoints", "api") == 2
    subject.services.say(web(1), web(2), web(3))
    assert set(subject.cluster.endpoints) == set(endpoints)
    assert not any(each.doubt or each.draining for each in endpoints)
    assert subject.cluster.describe()["registry"]["kept_until"] is None  # type: ignore[index]


def test_those_that_do_not_come_back_go() -> None:
    """Some time after the first are back; at once where a connection is refused."""
    subject = Subject()
    subject.services.say(web(1), web(2), web(3))
    subject.services.say(web(1), lost=True)
    assert len(subject.addresses) == 3
    subject.refuse("10.0.0.1:3")
    assert subject.addresses == ["10.0.0.1:1", "10.0.0.1:2"]
    subject.env.clock.advance(COMING_BACK + 0.1)
    assert subject.addresses == ["10.0.0.1:1"]
    assert not subject.env.clock.getDelayedCalls()


def test_what_was_taken_away_is_not_kept() -> None:
    """While others are there, somebody who deregisters means it."""
    subject = Subject()
    subject.services.say(web(1), web(2))
    subject.services.say(web(1))
    assert subject.addresses == ["10.0.0.1:1"]


# --- names


def test_instances_with_names_are_looked_up() -> None:
    """All the addresses of a name are endpoints of the instance, and follow what the name stands for."""
    resolver = FakeResolver(**{"db.example": Answer(("10.0.0.8", "10.0.0.9"))})
    subject = Subject(resolver=resolver)
    subject.services.say(web(1, address="db.example", weight=3), web(2))
    assert sorted(subject.addresses) == ["10.0.0.1:2", "10.0.0.8:1", "10.0.0.9:1"]
    first = next(each for each in subject.cluster.endpoints if each.address == "10.0.0.8:1")
    assert (first.name, first.instance, first.weight) == ("db.example:1", "web-1", 3)
    resolver.names["db.example"] = Answer(("10.0.0.9",))
    subject.env.clock.advance(60)
    assert sorted(subject.addresses) == ["10.0.0.1:2", "10.0.0.9:1"]
    subject.services.say(web(2))
    assert subject.addresses == ["10.0.0.1:2"]
    asked = len(resolver.asked)
    subject.env.clock.advance(600)
    assert len(resolver.asked) == asked
    subject.cluster.stop()
    assert not subject.env.clock.getDelayedCalls()


def test_a_name_that_cannot_be_resolved_is_the_reason() -> None:
    """Calls fail with it, where there is nothing else."""
    subject = Subject(resolver=FakeResolver(**{"db.example": "db.example: no such name"}))
    subject.services.say(web(1, address="db.example"))
    with pytest.raises(MeshError, match=r"db\.example: no such name"):
        subject.cluster.pick(a_call())


# --- few of many


@given(
    st.lists(
        st.dictionaries(
            st.integers(1, 30),
            st.tuples(st.integers(1, 12), st.integers(1, 3), st.sampled_from(["up", "down", "draining"])),
            max_size=3,
        ),
        max_size=12,
    ),
    st.sets(st.integers(1, 30), max_size=5),
)
def test_a_change_of_few_comes_to_the_same_as_taking_all(changes: Any, gone: set[int]) -> None:
    """Whatever changes, addresses that move between instances and are doubled included."""
    subject = Subject()
    instances = {number: web(number, ports={"http": 100 + number}) for number in range(1, 25)}
    subject.services.say(*instances.values())
    for change in changes:
        for number, (port, weight, status) in change.items():
            instances[number] = web(number, ports={"http": 100 + port}, weight=weight, status=status)
        subject.services.say(*instances.values())
    for number in gone:
        instances.pop(number, None)
        subject.services.say(*instances.values())
    other = Subject()
    other.services.say(*instances.values())

    def state(cluster: Cluster) -> Any:
        return {each.address: (each.instance, each.weight, each.out, each.held) for each in cluster.endpoints}

    assert state(subject.cluster) == state(other.cluster)
    assert {each.address for each in subject.cluster.usable} == {each.address for each in other.cluster.usable}

"""Keeping the addresses of a name up to date, on a Clock."""

from __future__ import annotations

import socket
from typing import Any, Callable

import pytest

from tests.upstream.fakes import FakeConnector, FakeEnv, FakeResolver, answer
from twisted_mesh.model import Address, Dns
from twisted_mesh.upstream.names import NameWatch, at


class Watched:
    """A name watch with everything round it."""

    def __init__(self, name: str = "web:80", *, failures: Callable[[str], int] = lambda address: 0, **dns: Any) -> None:
        self.env = FakeEnv()
        self.connector = FakeConnector()
        self.resolver = FakeResolver()
        self.found: list[tuple[str, ...]] = []
        self.watch = NameWatch(
            "api",
            Address.parse(name),
            Dns.model_validate(dns),
            self.env,
            self.connector,  # type: ignore[arg-type]
            self.resolver,
            lambda watch: self.found.append(watch.addresses),
            failures,
        )

    @property
    def looked(self) -> int:
        return len(self.resolver.asked)

    @property
    def next(self) -> float:
        """The seconds until the next thing happens."""
        [timer] = self.env.clock.getDelayedCalls()
        return float(timer.getTime() - self.env.now())


def test_the_ttl_says_when_to_look_again() -> None:
    world = Watched()
    world.resolver.names["web"] = answer("10.0.0.1", ttl=7)
    world.watch.start()
    assert world.found == [("10.0.0.1",)]
    assert world.next == 7
    world.env.clock.advance(7)
    assert world.looked == 2
    assert world.found == [("10.0.0.1",)]
    assert world.env.count("cluster_resolves_total", "api", "success") == 2
    assert repr(world.watch) == "<NameWatch web:80 10.0.0.1>"


@pytest.mark.parametrize(("ttl", "wait"), [(None, 30), (0, 1), (3600, 30)])
def test_the_ttl_is_bounded(ttl: float, wait: float) -> None:
    world = Watched()
    world.resolver.names["web"] = answer("10.0.0.1", ttl=ttl)
    world.watch.start()
    assert world.next == wait


def test_an_answer_in_another_order_is_no_change() -> None:
    world = Watched()
    world.resolver.names["web"] = answer("10.0.0.1", "10.0.0.2", ttl=1)
    world.watch.start()
    world.resolver.names["web"] = answer("10.0.0.2", "10.0.0.1", ttl=1)
    world.env.clock.advance(1)
    assert world.found == [("10.0.0.1", "10.0.0.2")]


def test_the_family_is_asked_for() -> None:
    world = Watched(family="ipv6")
    world.watch.start()
    assert world.resolver.asked == [("web", "ipv6")]


def test_a_failure_keeps_what_there_is_and_is_said_once() -> None:
    world = Watched()
    world.resolver.names["web"] = answer("10.0.0.1", ttl=5)
    world.watch.start()
    world.resolver.names["web"] = "web: no name server answers"
    world.env.clock.advance(5)
    waits = []
    for _ in range(12):
        waits.append(world.next)
        world.env.clock.advance(world.next + 1e-6)
    assert world.watch.addresses == ("10.0.0.1",)
    assert world.watch.problem == "web: no name server answers"
    assert repr(world.watch) == "<NameWatch web:80 10.0.0.1 (web: no name server answers)>"
    assert all(0.249 < each < 30.001 for each in waits)
    assert max(waits) > 10
    world.resolver.names["web"] = answer("10.0.0.1", ttl=5)
    world.env.clock.advance(world.next + 1e-6)
    assert world.watch.problem == ""
    assert world.env.said == [
        "warn cluster api: cannot resolve web:80, keeping 1 addresses: web: no name server answers",
        "info cluster api: web:80 can be resolved again",
    ]
    assert world.env.count("cluster_resolves_total", "api", "failure") == 13
    assert world.found == [("10.0.0.1",)]


def test_a_family_that_failed_keeps_its_addresses() -> None:
    world = Watched()
    world.resolver.names["web"] = answer("10.0.0.1", "fd00::1", ttl=5)
    world.watch.start()
    world.resolver.names["web"] = answer("10.0.0.2", ttl=5, failed=(socket.AF_INET6,))
    world.env.clock.advance(5)
    assert world.found[-1] == ("10.0.0.2", "fd00::1")


def test_start_tells_of_the_first_lookup_only() -> None:
    world = Watched()
    world.resolver.names["web"] = None
    told: list[object] = []
    world.watch.start().addCallback(told.append)
    assert told == []
    world.resolver.pending.pop().callback(answer("10.0.0.1"))
    assert told == [None]


def test_a_mistake_in_the_resolver_ends_nothing() -> None:
    world = Watched()
    world.resolver.names["web"] = None
    world.watch.start()
    world.resolver.pending.pop().errback(ZeroDivisionError("oops"))
    assert world.watch.problem == "oops"
    assert world.next == 30
    assert world.env.said == ["critical looking up web:80 failed"]


@pytest.mark.parametrize("when", ["waiting", "looking"])
def test_stop_leaves_nothing_behind(when: str) -> None:
    world = Watched()
    world.resolver.names["web"] = answer("10.0.0.1") if when == "waiting" else None
    world.watch.start()
    world.watch.stop()
    assert world.env.clock.getDelayedCalls() == []
    assert world.env.said == []


def test_an_answer_after_stop_is_dropped() -> None:
    world = Watched()
    world.resolver.names["web"] = None
    world.watch.start()
    [pending] = world.resolver.pending
    pending._canceller = lambda deferred: deferred.callback(answer("10.0.0.1"))
    world.watch.stop()
    assert world.found == []
    assert world.env.clock.getDelayedCalls() == []


# --- localhost

BOTH = answer("127.0.0.1", "::1")


def test_of_two_loopback_addresses_the_one_that_accepts_is_used() -> None:
    world = Watched("localhost:5432")
    world.resolver.names["localhost"] = BOTH
    world.connector.answer["127.0.0.1:5432"] = "refuse"
    world.watch.start()
    assert world.found == [("::1",)]
    assert world.connector.asked == ["127.0.0.1:5432", "[::1]:5432"]
    assert all(each.closed for each in world.connector.sockets)
    assert world.next == 30


def test_it_is_not_asked_again_while_all_is_well() -> None:
    world = Watched("localhost:5432")
    world.resolver.names["localhost"] = BOTH
    world.watch.start()
    world.env.clock.advance(30)
    assert world.looked == 2
    assert world.connector.asked == ["127.0.0.1:5432", "[::1]:5432"]
    assert world.found == [("127.0.0.1", "::1")]


def test_one_that_accepts_later_is_used_from_then_on() -> None:
    world = Watched("localhost:5432")
    world.resolver.names["localhost"] = BOTH
    world.connector.answer["[::1]:5432"] = "refuse"
    world.watch.start()
    del world.connector.answer["[::1]:5432"]
    world.env.clock.advance(30)
    assert world.found == [("127.0.0.1",), ("127.0.0.1", "::1")]


@pytest.mark.parametrize(
    "addresses", [("127.0.0.1", "127.0.0.2"), ("127.0.0.1", "::1", "127.0.0.2"), ("::1", "10.1.1.1")]
)
def test_others_are_all_used(addresses: tuple[str, ...]) -> None:
    world = Watched("web:80")
    world.resolver.names["web"] = answer(*addresses)
    world.watch.start()
    assert world.connector.asked == []
    assert world.found == [addresses]


def test_while_nothing_listens_it_looks_every_second() -> None:
    world = Watched("localhost:5432")
    world.resolver.names["localhost"] = BOTH
    world.connector.answer.update({"127.0.0.1:5432": "refuse", "[::1]:5432": "refuse"})
    world.watch.start()
    assert world.found == [("127.0.0.1",)]
    assert world.next == 1
    del world.connector.answer["[::1]:5432"]
    world.env.clock.advance(1)
    assert world.found == [("127.0.0.1",), ("::1",)]
    assert world.next == 30


def test_failures_make_it_choose_anew() -> None:
    failures = {"127.0.0.1:5432": 0}
    world = Watched("localhost:5432", failures=lambda address: failures.get(address, 0))
    world.resolver.names["localhost"] = BOTH
    world.watch.start()
    world.connector.answer["127.0.0.1:5432"] = "refuse"
    world.env.clock.advance(30)
    assert world.found == [("127.0.0.1", "::1")]
    failures["127.0.0.1:5432"] = 3
    world.env.clock.advance(30)
    assert world.found == [("127.0.0.1", "::1"), ("::1",)]


def test_stop_ends_a_choice_that_is_being_made() -> None:
    world = Watched("localhost:5432")
    world.resolver.names["localhost"] = BOTH
    world.connector.answer["127.0.0.1:5432"] = "later"
    world.watch.start()
    world.watch.stop()
    world.connector.let()
    assert world.env.clock.getDelayedCalls() == []
    assert (world.found, world.env.said) == ([], [])


def test_one_loopback_address_is_not_asked() -> None:
    world = Watched("localhost:5432")
    world.resolver.names["localhost"] = answer("127.0.0.1")
    world.watch.start()
    assert world.connector.asked == []


def test_the_port_stays() -> None:
    assert str(at(Address.parse("web:80"), "fd00::1")) == "[fd00::1]:80"

"""Checks at intervals, and what follows from them."""

from __future__ import annotations

from typing import Any

from tests.upstream.fakes import FakeConnector, FakeEnv
from twisted_mesh.model import Address, HealthCheck
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.health import CHECKS_AT_ONCE, HealthChecks

A, B = "127.0.0.1:1", "127.0.0.1:2"


def an_endpoint(text: str = A, name: str = "") -> Endpoint:
    return Endpoint(Address.parse(text), name=name)


class World:
    def __init__(self, **config: Any) -> None:
        self.env = FakeEnv()
        self.connector = FakeConnector()
        self.changed: list[str] = []
        config = config or {"tcp": True}
        self.checks = HealthChecks(
            "api",
            HealthCheck.model_validate({"jitter": 0, **config}),
            self.env,
            self.connector,  # type: ignore[arg-type]
            lambda endpoint: self.changed.append(f"{endpoint.address} {endpoint.state}"),
        )

    def watch(self, *endpoints: Endpoint) -> None:
        self.checks.watch(endpoints)

    def rounds(self, count: int) -> None:
        for _ in range(count):
            self.env.clock.advance(5)


def test_the_first_check_comes_at_once_and_decides() -> None:
    world = World()
    up, down = an_endpoint(A), an_endpoint(B)
    world.connector.answer[B] = "refuse"
    world.watch(up, down)
    assert world.changed == [f"{A} healthy", f"{B} unhealthy"]
    assert (up.health_reason, down.health_reason) == ("connected", f"{B}: connection refused")
    assert up.health_since == 1_700_000_000.0
    assert world.env.said == [
        f"info cluster api: endpoint {A} is healthy: connected",
        f"warn cluster api: endpoint {B} is unhealthy: {B}: connection refused",
    ]


def test_thresholds_count_from_then_on() -> None:
    world = World()
    endpoint = an_endpoint()
    world.watch(endpoint)
    world.connector.answer[A] = "refuse"
    world.rounds(2)
    assert endpoint.healthy
    world.rounds(1)
    assert not endpoint.healthy
    assert endpoint.health_reason == f"{A}: connection refused"
    assert endpoint.health_since == 1_700_000_015.0
    world.connector.answer[A] = "accept"
    world.rounds(1)
    assert not endpoint.healthy
    world.rounds(1)
    assert endpoint.healthy
    assert world.env.said[1:] == [
        f"warn cluster api: endpoint {A} is unhealthy: {A}: connection refused, 3 times in a row",
        f"info cluster api: endpoint {A} is healthy: connected, 2 times in a row",
    ]
    assert world.env.count("cluster_health_checks_total", "api", "success") == 3
    assert world.env.count("cluster_health_checks_total", "api", "failure") == 3
    assert world.env.count("cluster_health_changes_total", "api", "unhealthy") == 1
    assert world.env.count("cluster_health_changes_total", "api", "healthy") == 2


def test_a_check_waits_for_the_one_before() -> None:
    """The interval begins when a check ends, so a slow endpoint never has two at once."""
    world = World()
    world.connector.answer[A] = "hang"
    world.watch(an_endpoint())
    world.env.clock.advance(1)
    assert world.env.count("cluster_health_checks_total", "api", "timeout") == 1
    world.env.clock.advance(4.9)
    assert len(world.connector.asked) == 1
    world.env.clock.advance(0.1)
    assert len(world.connector.asked) == 2


def test_the_jitter_makes_an_interval_longer_by_its_share() -> None:
    world = World(tcp=True, jitter=0.5)
    world.watch(*[an_endpoint(f"10.0.0.{at}:80") for at in range(1, 51)])
    waits = sorted(each.getTime() for each in world.env.clock.getDelayedCalls())
    assert 5.0 <= waits[0] < 5.5
    assert 7.0 < waits[-1] <= 7.5


def test_an_http_check_asks_for_the_path_and_the_configured_host() -> None:
    world = World(http="/up", host="shop.example", expect=["200", "404"])
    endpoint = an_endpoint()
    world.watch(endpoint)
    [protocol] = world.connector.protocols
    assert protocol.transport.value().startswith(b"GET /up HTTP/1.1\r\nhost: shop.example\r\n")
    protocol.dataReceived(b"HTTP/1.1 404 Not Found\r\n\r\n")
    assert endpoint.state == "healthy"


def test_without_a_configured_host_it_is_the_name_or_the_address() -> None:
    world = World(http="/up")
    world.watch(an_endpoint(A), an_endpoint(B, name="web:80"), an_endpoint("unix:/run/app.sock"))
    hosts = [each.transport.value().split(b"\r\n")[1] for each in world.connector.protocols]
    assert hosts == [b"host: 127.0.0.1:1", b"host: web:80", b"host: localhost"]


def test_an_answer_still_coming_is_cut_by_the_next_check() -> None:
    world = World(http="/up", interval=1.0, timeout=60.0)
    world.watch(an_endpoint())
    first = world.connector.protocols[0]
    first.dataReceived(b"HTTP/1.1 200 OK\r\n\r\nand so on")
    world.env.clock.advance(1)
    assert first.transport is None
    assert len(world.connector.protocols) == 2


def test_only_so_many_run_at_once() -> None:
    world = World()
    endpoints = [an_endpoint(f"10.0.0.1:{port}") for port in range(1, CHECKS_AT_ONCE + 11)]
    for each in endpoints:
        world.connector.answer[each.address] = "later"
    world.watch(*endpoints)
    assert world.connector.waiting == CHECKS_AT_ONCE
    assert repr(world.checks) == f"<HealthChecks api of {CHECKS_AT_ONCE + 10} running={CHECKS_AT_ONCE} due=10>"
    world.connector.let()
    assert world.connector.waiting == 10
    world.connector.let()
    assert all(each.state == "healthy" for each in endpoints)


def test_what_is_known_is_not_asked_at_once_and_keeps_its_state() -> None:
    world = World()
    endpoint = an_endpoint()
    endpoint.checked, endpoint.healthy = True, False
    world.watch(endpoint)
    assert world.connector.asked == []
    world.env.clock.advance(5)
    assert len(world.connector.asked) == 1
    assert endpoint.state == "unhealthy"
    world.env.clock.advance(5)
    assert endpoint.state == "healthy"


def test_one_that_is_gone_is_checked_no_more() -> None:
    world = World()
    stays, goes = an_endpoint(A), an_endpoint(B)
    world.watch(stays, goes)
    world.watch(stays)
    world.rounds(2)
    assert world.connector.asked == [A, B, A, A]


def test_stopping_leaves_nothing_behind_and_makes_room() -> None:
    world = World()
    endpoints = [an_endpoint(f"10.0.0.1:{port}") for port in range(1, CHECKS_AT_ONCE + 11)]
    for each in endpoints:
        world.connector.answer[each.address] = "later"
    world.watch(*endpoints)
    world.watch(endpoints[-1])
    assert world.connector.waiting == CHECKS_AT_ONCE + 1
    world.connector.let()
    assert [each.state for each in endpoints] == ["unchecked"] * (CHECKS_AT_ONCE + 9) + ["healthy"]
    world.checks.stop()
    assert world.env.clock.getDelayedCalls() == []

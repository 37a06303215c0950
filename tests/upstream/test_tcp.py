"""The innermost layer of a TCP chain, without a network."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from tests.upstream.fakes import FakeConnector, FakeEnv, a_call, cluster_config
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver, compose
from twisted_mesh.errors import Cancelled, Kind, MeshError, Origin
from twisted_mesh.filters.retry import Retry, RetrySettings
from twisted_mesh.net.side import OnDemand, Side
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.tcp import TcpForward


class World:
    """A cluster of two endpoints, and one call to it."""

    def __init__(self, *filters: Any, **options: Any) -> None:
        self.env = FakeEnv()
        self.connector = FakeConnector()
        # The loop is only needed when somebody reads.
        self.connector.loop = None  # type: ignore[attr-defined]
        config = cluster_config("10.0.0.1:1", "10.0.0.2:1", balance="round_robin", **options)
        self.cluster = Cluster("db", config, self.env, self.connector)  # type: ignore[arg-type]
        self.forward = TcpForward(self.cluster, self.connector, self.env)  # type: ignore[arg-type]
        self.chain = compose([each(self) if callable(each) else each for each in filters], self.forward)
        self.call = a_call(protocol="tcp", method="CONNECT")
        self.call.cluster = self.cluster
        self.outcomes: list[Any] = []

    def run(self) -> Driver:
        """Begin the call."""
        driver = Driver(self.call, self._done)
        driver.start(self.chain)
        return driver

    def _done(self, call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        self.outcomes.append(error or reply)

    def complete(self) -> None:
        """The connection has ended."""
        self.call.complete(self.env.now(), lambda completion: None)

    def count(self, name: str, *labels: str) -> float:
        """A counter of this cluster."""
        return self.env.count(f"upstream_{name}", "tcp", "db", *labels)

    @property
    def active(self) -> list[int]:
        """Calls in flight by endpoint."""
        return [each.active for each in self.cluster.endpoints]


def retrying(world: World) -> Retry:
    """The retry filter, as a route has it."""
    return Retry(RetrySettings(), world.env)  # type: ignore[arg-type]


def test_connects() -> None:
    """The reply hands the connection over; the endpoint has a call until the call completes."""
    world = World()
    world.env.clock.advance(5.0)
    world.run()
    (reply,) = world.outcomes
    tunnel = reply.tunnel
    assert isinstance(tunnel, Side) and tunnel.whole
    assert tunnel.socket is world.connector.sockets[0]
    assert isinstance(reply.body, OnDemand) and reply.body.side is tunnel and reply.status == 0
    assert (tunnel.kind, tunnel.name) == (Kind.RESET, "10.0.0.1:1")
    endpoint = world.call.endpoint
    assert endpoint is world.cluster.endpoints[0]
    assert (world.call.attempts, world.call.connected) == (1, 5.0)
    assert (world.active, endpoint.successes, endpoint.failures) == ([1, 0], 1, 0)
    assert world.count("connects_total") == 1 and world.count("connections", "active") == 1
    assert world.count("calls_total", "-", "-") == 1
    world.complete()
    assert world.active == [0, 0] and world.count("connections", "active") == 0
    assert "to <Cluster db" in repr(world.forward)
    world.forward.stop()


def test_a_tunnel_that_is_given_up() -> None:
    """An aborted tunnel frees its endpoint at once, and the call's end not a second time."""
    world = World()
    world.run()
    world.outcomes[0].discard()
    assert world.connector.sockets[0].closed
    assert world.active == [0, 0]
    world.complete()
    assert world.active == [0, 0] and world.count("connections", "active") == 0


def test_refused() -> None:
    """A failed connect is the endpoint's, is counted and can be tried again."""
    world = World()
    world.connector.answer = {"10.0.0.1:1": "refuse"}
    world.run()
    (error,) = world.outcomes
    assert isinstance(error, MeshError) and error.kind is Kind.CONNECT_FAILED and error.retryable
    endpoint = world.cluster.endpoints[0]
    assert (world.active, endpoint.successes, endpoint.failures) == ([0, 0], 0, 1)
    assert world.count("connect_failures_total") == 1 and world.count("calls_total", "-", "UF") == 1
    assert world.count("connections", "active") == 0


@pytest.mark.parametrize(
    "kind,origin,failures,counter",
    [
        (Kind.CONNECT_TIMEOUT, Origin.UPSTREAM, 1, "connect_timeouts_total"),
        (Kind.CONNECT_FAILED, Origin.MESH, 0, "connect_failures_total"),
    ],
)
def test_other_failures(kind: Kind, origin: Origin, failures: int, counter: str) -> None:
    """A timeout has a counter of its own; what is our own trouble is not held against the endpoint."""
    world = World()
    world.connector.answer = {"10.0.0.1:1": "later"}
    world.run()
    assert world.active == [1, 0]
    world.connector._later[0][0].fail(MeshError(kind, "no", origin=origin, retryable=True))
    assert world.outcomes[0].kind is kind
    assert world.cluster.endpoints[0].failures == failures
    assert world.count(counter) == 1
    assert world.active == [0, 0]


def test_retried_on_another_endpoint() -> None:
    """The retry filter goes to the other endpoint, whose connection the client gets."""
    world = World(retrying)
    world.connector.answer = {"10.0.0.1:1": "refuse"}
    world.run()
    assert len(world.env.slept) == 1
    world.env.clock.advance(1.0)
    (reply,) = world.outcomes
    assert isinstance(reply.tunnel, Side)
    assert world.call.attempts == 2 and world.call.endpoint is world.cluster.endpoints[1]
    assert world.active == [0, 1]
    world.complete()
    assert world.active == [0, 0]


def test_cancelled_while_connecting() -> None:
    """The endpoint is freed, and a connection that comes too late is nobody's."""
    world = World()
    world.connector.answer = {"10.0.0.1:1": "later"}
    driver = world.run()
    assert world.active == [1, 0]
    driver.cancel(Cancelled(Kind.CLIENT_GONE))
    assert isinstance(world.outcomes[0], Cancelled)
    assert world.active == [0, 0]
    world.connector.let()
    assert world.connector.sockets == []
    assert world.cluster.endpoints[0].failures == 0


def test_no_endpoint() -> None:
    """A cluster without endpoints is told by the cluster."""
    world = World()
    world.cluster.picks.use([], [], [], False)
    world.run()
    assert world.outcomes[0].kind is Kind.NO_ENDPOINT
    assert world.call.attempts == 0


def test_connections_of_a_priority_may_have_a_limit_of_their_own() -> None:
    limits = {"connections": 1, "priorities": {"high": {"connections": 1}}}
    world = World(limits=limits)
    calls = []
    for priority in (0, 1, 0, 1):
        world.call = a_call(protocol="tcp", method="CONNECT")
        world.call.priority = priority
        world.run()
        calls.append(world.call)
    assert [each.tunnel is not None for each in world.outcomes] == [True, True]
    assert world.env.count("cluster_priority_connections", "db", "high") == 1
    about: Any = world.cluster.describe()["connections"]
    assert (about["open"], about["waiting"], about["priorities"]["high"]["waiting"]) == (1, 1, 1)
    # Who waits gets the place of its own kind.
    world.call = calls[1]
    world.complete()
    assert len(world.outcomes) == 3 and calls[3].endpoint is not None and calls[2].endpoint is None
    world.forward.stop()

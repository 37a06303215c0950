"""One Redis server that is none: a test reads what is sent to it, and says what it answers."""

from __future__ import annotations

from typing import Any, Callable, Optional

from tests.filters.redis_calls import several
from tests.upstream.fakes import FakeConnector, FakeEnv, Transport
from twisted_mesh import model
from twisted_mesh.errors import MeshError
from twisted_mesh.redis_call import RedisCall, RedisReply
from twisted_mesh.redis_pending import Pending
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.redis import RedisForward
from twisted_mesh.upstream.redis_pool import RedisPool
from twisted_mesh.upstream.redis_server import RedisServer

ADDRESS = "10.0.0.1:6379"


class RedisTransport(Transport):
    """A transport whose reading can be paused."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """It is."""


class Loop:
    def __init__(self) -> None:
        self.soon: list[Callable[[], Any]] = []

    def call_soon(self, what: Callable[[], Any]) -> None:
        self.soon.append(what)


class RedisConnector(FakeConnector):
    """Connects as it is told, and has a loop whose turns a test takes."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop()


class Upstream:
    """A cluster of one server, and what is in front of it."""

    def __init__(self, limits: Any = None, endpoints: int = 1, balance: str = "least_request", **redis: Any) -> None:
        self.env = FakeEnv()
        # At 0 nothing would have happened yet.
        self.env.clock.advance(1000.0)
        self.connector = RedisConnector()
        self._endpoints = [ADDRESS.replace(".1:", f".{at + 1}:") for at in range(endpoints)]
        self.cluster = self._made(limits=limits, balance=balance, **({"redis": redis} if redis else {}))
        self.cluster.start()
        self.forward = RedisForward(self.cluster, self.connector, self.env)  # type: ignore[arg-type]
        self.endpoint = self.cluster.endpoints[0]

    def _made(self, **options: Any) -> Cluster:
        config = model.Cluster.model_validate({"endpoints": self._endpoints, **options})
        return Cluster("main", config, self.env, self.connector)  # type: ignore[arg-type]

    def other(self, **options: Any) -> Cluster:
        """Have another configuration take over; returns the cluster as that has it."""
        before, self.cluster = self.cluster, self._made(**options)
        self.cluster.adopt(before)
        self.cluster.start()
        self.forward = RedisForward(self.cluster, self.connector, self.env)  # type: ignore[arg-type]
        self.forward.start()
        before.stop()
        return self.cluster

    @property
    def pool(self) -> RedisPool:
        pool = self.endpoint.pools["redis"]
        assert isinstance(pool, RedisPool)
        return pool

    def send(self, *texts: str, write: bool = False, timeout: Optional[float] = 15.0, **fields: Any) -> Pending:
        """Send one call of these commands."""
        call = several(*texts)
        call.write = write
        call.timeout, call.received = timeout, self.env.now()
        for name, value in fields.items():
            setattr(call, name, value)
        return self.give(call)

    def give(self, call: RedisCall) -> Pending:
        """Send this call, and let a turn of the loop go by."""
        pending = self.forward(call)
        self.turn()
        return pending

    def turn(self) -> None:
        while self.connector.loop.soon:
            self.connector.loop.soon.pop(0)()

    def server(self, number: int = 0) -> RedisServer:
        """One of the connections."""
        made = self.connector.protocols[number]
        assert isinstance(made, RedisServer)
        return made

    def seen(self, number: int = 0) -> bytes:
        """What was sent on a connection since this was asked last."""
        transport = self.server(number)._transport
        data: bytes = transport.value()
        transport.clear()
        return data

    def say(self, data: bytes, number: int = 0) -> None:
        """The server says something."""
        self.server(number).dataReceived(data)
        self.turn()

    def introduced(self, number: int = 0) -> bytes:
        """Answer what a connection says first; returns what that was."""
        said = self.seen(number)
        self.say(b"+OK\r\n" * said.count(b"*"), number)
        return said


def body(pending: Pending) -> Any:
    """What a call was answered."""
    assert pending.done, "no reply yet"
    assert pending.error is None, pending.error
    assert isinstance(pending.value, RedisReply)
    return pending.value.body


def failure(pending: Pending) -> MeshError:
    """What a call failed with."""
    assert isinstance(pending.error, MeshError)
    return pending.error

"""A cluster of Redis servers that are not there: what is sent to each is kept, and answered by hand."""

from __future__ import annotations

from typing import Any, Optional, Sequence

from tests.upstream.fakes import FakeConnector, FakeEnv
from twisted_mesh import model
from twisted_mesh.codec.commands import find
from twisted_mesh.codec.resp import arguments, array, bulk, integer, pack
from twisted_mesh.codec.resp_reply import ReplyReader
from twisted_mesh.codec.resp_request import RequestReader
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.park import Parked
from twisted_mesh.redis_call import RedisCall, RedisReply, errors_in
from twisted_mesh.redis_pending import Pending
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.redis import topology_of
from twisted_mesh.upstream.redis_scatter import Scatter

HOST = "10.0.0.{}"
OK = b"+OK\r\n"
LOST = MeshError(Kind.RESET, "it was lost", origin=Origin.UPSTREAM)
# What a replica of server 1 says to ROLE.
REPLICA = array([bulk(b"slave"), bulk(b"10.0.0.1"), integer(6379), bulk(b"connected"), integer(1)])


def address(number: int) -> str:
    """The address of a server by its number."""
    return f"{HOST.format(number)}:6379"


class Sent:
    """A call that one server got."""

    def __init__(self, call: RedisCall, endpoint: Endpoint, pending: Pending) -> None:
        self.call = call
        self.number = int(endpoint.target.host.rpartition(".")[2])
        self.pending = pending

    @property
    def text(self) -> str:
        """Its commands, as one writes them."""
        assert isinstance(self.call.body, bytes)
        reader = RequestReader()
        found = reader.feed(self.call.body)
        return "; ".join(b" ".join(arguments(reader.data[start:end])).decode() for *_, start, end in found)

    def reply(self, *replies: bytes) -> None:
        """Answer all of them."""
        body = b"".join(replies)
        answers = ReplyReader().feed(body)
        assert len(answers) == self.call.count
        self.pending.fire(RedisReply(body, len(answers), errors=errors_in(answers)))

    def fail(self, error: MeshError) -> None:
        self.pending.fail(error)


class Connector(FakeConnector):
    """One that remembers who was connected with what."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[model.Address, Any]] = []

    def connect(self, address: model.Address, protocol: Any, timeout: float) -> Parked[None]:
        self.pairs.append((address, protocol))
        return super().connect(address, protocol, timeout)


class RedisWorld:
    """The topology of a cluster's configuration, and what it sends.  `servers` have numbers from 1 on."""

    def __init__(self, servers: int, more: Sequence[Any] = (), **redis: Any) -> None:
        self.env = FakeEnv()
        self.connector = Connector()
        endpoints = [*(address(each + 1) for each in range(servers)), *more]
        config = model.Cluster.model_validate({"endpoints": endpoints, "redis": redis})
        self.cluster = Cluster("redis", config, self.env, self.connector)  # type: ignore[arg-type]
        self.cluster.start()
        assert config.redis is not None
        topology = topology_of(self.cluster, config.redis, lambda: "", self.connector)  # type: ignore[arg-type]
        assert topology is not None
        self.topology = topology
        self.sent: list[Sent] = []
        self.scatter = Scatter(self.topology, self._send, lambda: 0.0)

    def _send(self, call: RedisCall, endpoint: Endpoint) -> Pending:
        pending = Pending(call)
        pending.began = self.env.now()
        self.sent.append(Sent(call, endpoint, pending))
        return pending

    def start(self) -> None:
        """Begin to ask; nothing is asked before time goes by."""
        self.topology.start()
        self.env.clock.advance(0)

    # --- clients

    def call(self, *lines: str, **fields: Any) -> Pending:
        """Send commands, of one class each."""
        packed = [pack(line.split()) for line in lines]
        reader = RequestReader()
        found = reader.feed(b"".join(packed))
        command = find(found[0][0], found[0][1])
        assert command is not None
        call = RedisCall("cache", command, found, reader.data, reader.data)
        call.key = found[0][1] or b""
        call.write = command.write
        call.count = len(found)
        for name, value in fields.items():
            setattr(call, name, value)
        return self.scatter(call)

    def take(self) -> list[Sent]:
        """What was sent since the last time."""
        sent, self.sent = self.sent, []
        return sent

    def texts(self) -> list[tuple[int, str]]:
        """The same for looking at: to which server, and what."""
        return [(each.number, each.text) for each in self.sent]

    # --- what is asked beside them

    def asked(self) -> list[tuple[int, Any]]:
        """The questions that are open: which server, and its connection."""
        return [
            (int(target.host.rpartition(".")[2]), protocol)
            for target, protocol in self.connector.pairs
            if protocol.transport is not None
        ]

    def tell(self, reply: bytes, number: Optional[int] = None) -> None:
        """Answer an open question: the one to this server, or the only one."""
        for at, protocol in self.asked():
            if number in (None, at):
                protocol.dataReceived(reply)
                return
        raise AssertionError(f"server {number} was not asked anything")


def slots_reply(*groups: tuple[int, int, int]) -> bytes:
    """A reply to CLUSTER SLOTS: first slot, last slot, number of the primary."""
    return array(
        array([integer(first), integer(last), array([bulk(HOST.format(primary).encode()), integer(6379), bulk(b"id")])])
        for first, last, primary in groups
    )


def body(pending: Pending) -> bytes:
    """The reply; what failed is raised."""
    assert pending.done
    if pending.error is not None:
        raise pending.error
    return bytes(pending.value.body)


def shards_world() -> RedisWorld:
    """Three shards."""
    return RedisWorld(3, topology="sharded", shards={"hash": "md5"})


def slots_world() -> RedisWorld:
    """A Redis Cluster: server 1 has the slots of `a` and `b`, server 2 the last one."""
    world = RedisWorld(1, topology="cluster")
    world.start()
    world.tell(slots_reply((0, 16382, 1), (16383, 16383, 2)))
    return world

"""A server in memory, behind a connector: each connection to it is a `Link` that a test speaks and closes through."""

from __future__ import annotations

from typing import Any, Optional, Union

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.upstream.fakes import FakeEnv, cluster_config
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.headers import Headers
from twisted_mesh.interfaces import Proceed
from twisted_mesh.park import Parked
from twisted_mesh.stream import ByteStream, Trailers
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.http_forward import HttpForward
from twisted_mesh.upstream.pool import HttpPool


class Link(StringTransport):
    """One connection, as its server sees it.

    It ends as the loop's transports do: in the next turn of the clock, exactly once, its producer told first.
    """

    def __init__(self, clock: Clock, protocol: Any) -> None:
        super().__init__()
        self._clock = clock
        self._protocol = protocol
        self.ended = ""
        self.lost = False
        self.full = False

    def write(self, data: bytes) -> None:
        if not self.ended:
            super().write(data)

    def loseConnection(self) -> None:
        self._end("closed", ConnectionDone())

    def abortConnection(self) -> None:
        self._end("reset", ConnectionAborted())

    def loseWriteConnection(self) -> None:
        self.ended = "half closed"

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        if self.full:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        self.producer = None

    def _end(self, how: str, reason: Exception) -> None:
        if self.ended in ("", "half closed"):
            self.ended = how
            self._clock.callLater(0, self._lose, reason)

    def _lose(self, reason: Exception) -> None:
        if not self.lost:
            self.lost = True
            self.ended = self.ended or "by the server"
            if self.producer is not None:
                self.producer.stopProducing()
            self._protocol.connectionLost(Failure(reason))

    # --- what the server does

    def take(self) -> bytes:
        """What came since the server last looked."""
        came = self.value()
        self.clear()
        return came

    def say(self, *pieces: bytes) -> None:
        """Send; while the other side does not read, nothing arrives."""
        for each in pieces:
            assert self.reading, "nobody reads from the server"
            if not self.ended:
                self._protocol.dataReceived(each)

    def close(self) -> None:
        """Send a FIN.  The other side closes too, and hears so."""
        if not self.lost:
            self._protocol.readConnectionLost()
            self._clock.advance(0)

    def close_late(self) -> None:
        """Send a FIN of which the other side only hears with the clock's next turn."""
        self._clock.callLater(0, self.close)

    def reset(self) -> None:
        self._lose(ConnectionLost())

    @property
    def reading(self) -> bool:
        """Whether the other side reads."""
        return bool(self.producerState == "producing")


class Server:
    """The connector's interface: `links` are the connections made.

    `answer` says what becomes of a connect: ``accept``, ``refuse``, or ``wait`` until `let` or `refuse`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.answer = "accept"
        self.links: list[Link] = []
        self.waiting: list[tuple[Parked[None], Any]] = []

    def connect(self, address: Any, protocol: Any, timeout: float) -> Parked[None]:
        parked: Parked[None] = Parked()
        if self.answer == "accept":
            self._make(protocol)
            parked.fire(None)
        elif self.answer == "refuse":
            parked.fail(refused(address))
        else:
            self.waiting.append((parked, protocol))
        return parked

    def let(self) -> None:
        """Accept those that wait; one that nobody waits for any more is closed unseen."""
        waiting, self.waiting = self.waiting, []
        for parked, protocol in waiting:
            if parked.resume is not None:
                self._make(protocol)
                parked.fire(None)

    def refuse(self) -> None:
        """Refuse those that wait."""
        waiting, self.waiting = self.waiting, []
        for parked, _ in waiting:
            if parked.resume is not None:
                parked.fail(refused("them"))

    def _make(self, protocol: Any) -> None:
        link = Link(self._clock, protocol)
        self.links.append(link)
        protocol.makeConnection(link)

    @property
    def last(self) -> Link:
        return self.links[-1]

    @property
    def open(self) -> int:
        """Connections that have not ended."""
        return sum(not each.ended for each in self.links)


def refused(address: Any) -> MeshError:
    return MeshError(Kind.CONNECT_FAILED, f"{address}: refused", origin=Origin.UPSTREAM, retryable=True)


class Sent:
    """A call on its way, or what became of it."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.outcome: Optional[Union[Reply, BaseException]] = None
        self.driver = Driver(call, self._done)

    def _done(self, call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        self.outcome = error or reply

    @property
    def waiting(self) -> bool:
        return self.outcome is None

    @property
    def reply(self) -> Reply:
        assert isinstance(self.outcome, Reply), self.outcome
        return self.outcome

    @property
    def error(self) -> MeshError:
        assert isinstance(self.outcome, MeshError), self.outcome
        return self.outcome

    @property
    def body(self) -> ByteStream:
        assert isinstance(self.reply.body, ByteStream), self.reply
        return self.reply.body


class Ear:
    """Receives a body; `told` is how it ended: its trailers, or the error."""

    def __init__(self, stream: ByteStream) -> None:
        self.heard = b""
        self.told: list[Any] = []
        self.stream = stream
        stream.attach(self)

    def body_data(self, data: bytes) -> None:
        assert not self.told
        self.heard += data

    def body_ended(self, trailers: Trailers) -> None:
        self.told.append(list(trailers))

    def body_failed(self, error: BaseException) -> None:
        self.told.append(error)


class World:
    """A cluster of one endpoint, and the calls that are sent to it."""

    def __init__(self, **pool: Any) -> None:
        self.env = FakeEnv()
        self.env.clock.advance(1000)
        self.server = Server(self.env.clock)
        env: Any = self.env
        connector: Any = self.server
        self.cluster = Cluster("api", cluster_config("10.0.0.1:80", pool=pool), env, connector)
        self.forward = HttpForward(self.cluster, connector, env)
        self.sent: list[Sent] = []

    def send(
        self,
        operation: str = "GET",
        body: Union[bytes, ByteStream] = b"",
        proceed: Optional[Proceed] = None,
        **more: Any,
    ) -> Sent:
        """Send a call as far as it goes."""
        call = Call("http", "edge", operation, Headers.of([("Host", "a")]))
        call.target, call.authority, call.body = b"/", "a", body
        for name, value in more.items():
            setattr(call, name, value)
        self.sent.append(Sent(call))
        self.sent[-1].driver.start(self.forward if proceed is None else proceed)
        return self.sent[-1]

    def advance(self, seconds: float = 0.0) -> None:
        self.env.clock.advance(seconds)

    @property
    def endpoint(self) -> Any:
        return self.cluster.endpoints[0]

    @property
    def pool(self) -> HttpPool:
        pool = self.endpoint.pools["http"]
        assert isinstance(pool, HttpPool)
        return pool

    @property
    def link(self) -> Link:
        """The connection made last."""
        return self.server.last

    def check_over(self) -> None:
        """Check that nothing is left once all calls are complete and all connections drained."""
        for each in self.sent:
            assert not each.waiting
            each.call.complete(self.env.now(), _completion_failed)
        self.advance()
        assert self.endpoint.active == 0
        assert not self.pool.waiting
        assert self.pool.open == self.server.open
        self.pool.drain()
        self.advance()
        assert (self.pool.open, self.server.open, self.pool.idle) == (0, 0, [])
        self.forward.stop()
        assert self.env.clock.getDelayedCalls() == []


def _completion_failed(completion: Any) -> None:
    raise  # noqa: PLE0704  # called inside the except

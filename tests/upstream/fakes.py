"""What stands in for the world in tests of the upstream: clock, connector and resolver do as they are told."""

from __future__ import annotations

from random import Random
from typing import Any, Awaitable, Callable, Optional, Union

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import Logger, formatEvent
from twisted.python.failure import Failure

from twisted_mesh import model
from twisted_mesh.call import Call
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.headers import Headers
from twisted_mesh.metrics import Registry
from twisted_mesh.park import Parked
from twisted_mesh.upstream.resolve import Answer, NotResolved


class FakeEnv:
    """An Env on a Clock; `said` holds what was logged, as text, and `slept` the waits."""

    def __init__(self, seed: int = 1) -> None:
        self.clock = Clock()
        self.random = Random(seed)
        self.metrics = Registry()
        self.name = "test"
        self.said: list[str] = []
        self.slept: list[float] = []
        self.log = Logger("test", observer=self._hear)
        self.http = self.redis = None

    def now(self) -> float:
        return float(self.clock.seconds())

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        parked: Parked[None] = Parked()
        timer = self.clock.callLater(seconds, parked.fire, None)
        try:
            await parked
        finally:
            if timer.active():
                timer.cancel()

    def asyncio(self, coroutine: Awaitable[Any]) -> Awaitable[Any]:
        raise AssertionError("no loop runs here")

    def _hear(self, event: Any) -> None:
        self.said.append(f"{event['log_level'].name} {formatEvent(event)}")

    def count(self, name: str, *labels: str) -> float:
        """The value of one series."""
        family = self.metrics.family(f"twisted_mesh_{name}")
        assert family is not None
        return family.labels(*labels).value  # type: ignore[union-attr]


class Socket:
    """A connected socket."""

    closed = False

    def setsockopt(self, *arguments: Any) -> None:
        """Whatever is set is fine."""

    def close(self) -> None:
        self.closed = True


class Transport(StringTransport):
    """A transport that tells its protocol of its own abort."""

    def abortConnection(self) -> None:
        super().abortConnection()
        self.protocol.connectionLost(Failure(ConnectionError("aborted")))


class FakeConnector:
    """Connects at once, or as `answer` says by address: ``refuse``, ``hang`` or ``later`` (see `let`)."""

    def __init__(self) -> None:
        self.answer: dict[str, str] = {}
        self.asked: list[str] = []
        self.sockets: list[Socket] = []
        self.protocols: list[Any] = []
        self._later: list[tuple[Parked[Any], Callable[[], Any]]] = []

    def connect(self, address: model.Address, protocol: Any, timeout: float) -> Parked[None]:
        def made() -> None:
            transport = Transport()
            transport.protocol = protocol
            self.protocols.append(protocol)
            protocol.makeConnection(transport)

        return self._connect(address, made)

    def connect_socket(self, address: model.Address, timeout: float) -> Parked[Any]:
        def made() -> Socket:
            self.sockets.append(Socket())
            return self.sockets[-1]

        return self._connect(address, made)

    def _connect(self, address: model.Address, made: Callable[[], Any]) -> Parked[Any]:
        text = str(address)
        self.asked.append(text)
        parked: Parked[Any] = Parked()
        answer = self.answer.get(text, "accept")
        if answer == "refuse":
            detail = f"{text}: connection refused"
            parked.fail(MeshError(Kind.CONNECT_FAILED, detail, origin=Origin.UPSTREAM, retryable=True))
        elif answer == "accept":
            parked.fire(made())
        elif answer == "later":
            self._later.append((parked, made))
        return parked

    def let(self) -> None:
        """Make the connections that were to be made later, if anybody still waits."""
        waiting, self._later = self._later, []
        for parked, made in waiting:
            if parked.resume is not None:
                parked.fire(made())

    @property
    def waiting(self) -> int:
        """How many connections are to be made later."""
        return len(self._later)


class FakeResolver:
    """Answers from `names`: an `Answer`, an error's text, or None to answer later (see `pending`)."""

    def __init__(self, **names: Union[Answer, str, None]) -> None:
        self.names: dict[str, Union[Answer, str, None]] = dict(names)
        self.asked: list[tuple[str, str]] = []
        self.pending: list[Deferred[Answer]] = []

    def resolve(self, host: str, family: str) -> Deferred[Answer]:
        self.asked.append((host, family))
        answer = self.names.get(host)
        deferred: Deferred[Answer] = Deferred()
        if isinstance(answer, str):
            deferred.errback(NotResolved(answer))
        elif answer is not None:
            deferred.callback(answer)
        else:
            self.pending.append(deferred)
        return deferred


def cluster_config(*endpoints: Any, **options: Any) -> model.Cluster:
    """The model of a cluster, as a configuration would give it."""
    return model.Cluster.model_validate({"endpoints": list(endpoints), **options})


def a_call(tried: tuple[Any, ...] = (), protocol: str = "http", method: str = "GET") -> Call:
    call = Call(protocol, "edge", method, Headers())
    call.tried = tried
    return call


def answer(*addresses: str, ttl: Optional[float] = None, failed: tuple[int, ...] = ()) -> Answer:
    return Answer(addresses, ttl, failed)

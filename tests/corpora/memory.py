"""The real HTTP adapter and the real upstream side, back to back in memory: no socket, no clock but a fake one.

`Wire` is one client connection.  What the sidecar sends upstream is collected byte for byte, and a fake endpoint
answers every request that the strict judge can read.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Sequence

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import Logger
from twisted.python.failure import Failure

from tests.corpora.strict import NotClean, read_requests
from twisted_mesh.adapters.http import HttpAdapter
from twisted_mesh.adapters.http_connection import HttpConnection
from twisted_mesh.metrics import Registry
from twisted_mesh.model import Cluster as ClusterConfig
from twisted_mesh.model import HttpOptions
from twisted_mesh.park import Parked
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.http_forward import HttpForward

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Pipe(StringTransport):
    """A transport that tells what is written to it, and that closes as a real one does: later, but at once here."""

    def __init__(self, protocol: Any, written: Callable[[bytes], None]) -> None:
        super().__init__()
        self._protocol = protocol
        self._written = written
        self.closed = False
        self.aborted = False
        self.sock = None

    def write(self, data: bytes) -> None:
        if not self.closed:
            super().write(data)
            self._written(data)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def finish(self) -> None:
        self.loseConnection()

    def loseConnection(self) -> None:
        self._close(ConnectionDone())

    def abortConnection(self) -> None:
        self.aborted = True
        self._close(ConnectionAborted())

    def deliver(self, data: bytes) -> None:
        """The other side has sent something."""
        self._protocol.dataReceived(data)

    def end(self) -> None:
        """The other side has closed."""
        if not self.closed:
            self._protocol.readConnectionLost()

    def _close(self, reason: Exception) -> None:
        if not self.closed:
            self.closed = True
            self._protocol.connectionLost(Failure(reason))


@dataclass
class Upstream:
    """One connection to the fake endpoint, and the bytes that came over it."""

    received: bytes = b""
    answered: int = 0
    dirty: NotClean | None = None
    pipe: Any = None


@dataclass
class Endpoint:
    """Accepts connections from the forward, and says `answer`, in pieces, to each complete request.

    With `close` it then closes.
    """

    clock: Clock
    answer: Sequence[bytes] = (OK,)
    close: bool = False
    links: list[Upstream] = field(default_factory=list)

    def connect(self, address: Any, protocol: Any, timeout: float) -> Parked[None]:
        """The connector's interface."""
        link = Upstream()
        self.links.append(link)
        link.pipe = Pipe(protocol, lambda data: self._got(link, data))
        protocol.makeConnection(link.pipe)
        parked: Parked[None] = Parked()
        parked.fire(None)
        return parked

    def _got(self, link: Upstream, data: bytes) -> None:
        link.received += data
        try:
            complete, _ = read_requests(link.received)
        except NotClean as error:
            link.dirty = error
            return
        while link.answered < len(complete):
            link.answered += 1
            self.clock.callLater(0, self._say, link)

    def _say(self, link: Upstream) -> None:
        for piece in self.answer:
            if not link.pipe.closed:
                link.pipe.deliver(piece)
        if self.close:
            link.pipe.end()

    @property
    def complete(self) -> int:
        """Requests that arrived whole."""
        return sum(link.answered for link in self.links)

    def check(self) -> None:
        """Raise what the strict judge found wrong, if anything reached us that it cannot read."""
        for link in self.links:
            if link.dirty is not None:
                raise link.dirty


class _World:
    """The little that adapter, cluster and forward want of an Env."""

    name = "tests"
    log = Logger("tests")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.now = self.wall = clock.seconds
        self.random = random.Random(1)
        self.metrics = Registry()


class Wire:
    """One client connection to a listener with one route, to one endpoint."""

    def __init__(
        self, options: HttpOptions | None = None, answer: Sequence[bytes] = (OK,), close: bool = False
    ) -> None:
        self.clock = Clock()
        env: Any = _World(self.clock)
        self.endpoint = Endpoint(self.clock, answer, close)
        connector: Any = self.endpoint
        cluster = Cluster("only", ClusterConfig.model_validate({"endpoints": ["127.0.0.1:1"]}), env, connector)
        adapter = HttpAdapter("edge", options or HttpOptions(), env)
        adapter.chain = HttpForward(cluster, connector, env)
        connection = HttpConnection(adapter, "127.0.0.1:2", "127.0.0.1")
        self.pipe = Pipe(connection, lambda data: None)
        self._connection = connection
        connection.makeConnection(self.pipe)

    def send(self, *pieces: bytes) -> Wire:
        """Have the client send these pieces, and everything happen that follows from each."""
        for piece in pieces:
            if not self.pipe.closed:
                self._connection.dataReceived(piece)
            self.clock.pump([0.0] * 8)
        return self

    def end(self) -> Wire:
        """Have the client close its side."""
        self.pipe.end()
        self.clock.pump([0.0] * 8)
        return self

    @property
    def answers(self) -> bytes:
        """What the client was told."""
        return self.pipe.value()

    @property
    def statuses(self) -> list[int]:
        """The statuses of the answers, in order; each must be whole.  The bodies of answers to HEAD are not there."""
        found, rest = [], self.answers
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            found.append(int(head.split(b" ", 2)[1]))
            length = re.search(rb"\r\ncontent-length: *([0-9]+)", head, re.IGNORECASE)
            size = int(length[1]) if length and rest else 0
            assert len(rest) >= size, self.answers
            rest = rest[size:]
        return found

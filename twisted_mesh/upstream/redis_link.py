"""A connection to a Redis server: how it begins, and how it ends."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Optional, Protocol

from twisted.internet.error import ConnectionDone

from twisted_mesh.codec.resp import pack
from twisted_mesh.codec.resp_kinds import ERROR, PUSH
from twisted_mesh.codec.resp_reply import ReplyReader
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.park import Parked

if TYPE_CHECKING:
    from twisted_mesh.cells import UpstreamCells
    from twisted_mesh.net.connect import Connector
    from twisted_mesh.upstream.endpoint import Endpoint


class LinkPool(Protocol):
    """What a connection asks of the pool that it belongs to."""

    endpoint: Endpoint
    connector: Connector
    connect_timeout: float
    cells: UpstreamCells

    def greeting(self, db: int, resp: int) -> list[tuple[list[str], bool]]:
        """Return what a new connection says first, and whether it is of no use if that is refused."""

    def not_connected(self, error: MeshError) -> None:
        """A connection could not be made."""


class RedisLink:
    """One connection; a Twisted protocol.

    It is of use once what it says first is answered: `_begin` is called then, and `_give_up` when it has ended.

    :param db: the database, and
    :param resp: the version of the protocol that it is for.
    """

    __slots__ = ("_connecting", "_reader", "_setup", "_transport", "db", "lost", "pool", "resp")

    def __init__(self, pool: LinkPool, db: int, resp: int, reader: ReplyReader) -> None:
        self.pool = pool
        self.db = db
        self.resp = resp
        self.lost = False
        # What the replies to come answer, before anything else: (whether an error is fatal, what it was).
        self._setup: deque[tuple[bool, str]] = deque()
        self._transport: Any = None
        self._connecting: Optional[Parked[None]] = None
        self._reader = reader

    def connect(self) -> None:
        """Begin to connect; what is sent meanwhile waits."""
        pool = self.pool
        parked: Parked[None] = pool.connector.connect(pool.endpoint.target, self, pool.connect_timeout)
        if parked.done:
            self._connected(parked)
        else:
            self._connecting = parked
            parked.resume = lambda: self._connected(parked)

    def _connected(self, parked: Parked[None]) -> None:
        self._connecting = None
        if parked.error is not None:
            error, parked.error = parked.error, None
            assert isinstance(error, MeshError)
            self.pool.not_connected(error)
            self._give_up(error)

    def makeConnection(self, transport: Any) -> None:
        """The connection is there: introduce ourselves."""
        self._transport = transport
        self.pool.cells.connects.value += 1
        commands = self.pool.greeting(self.db, self.resp)
        self._setup.extend((fatal, words[0]) for words, fatal in commands)
        transport.write(b"".join([pack(words) for words, _ in commands]))
        if not commands:
            self._begin()

    def _introduced(self, kind: int, reply: bytes) -> None:
        """Take a reply to what was said first."""
        if kind == PUSH:
            return
        fatal, name = self._setup.popleft()
        if kind == ERROR and fatal:
            said = reply[1:-2].decode("utf-8", "replace")
            detail = f"{self.pool.endpoint.address}: {name} was refused: {said}"
            # A database that the client has chosen and the server does not have says nothing of the server.
            odd = name == "SELECT" and self.db > 0 and said.startswith("ERR ")
            origin = Origin.CLIENT if odd else Origin.UPSTREAM
            error = MeshError(Kind.CONNECT_FAILED, detail, origin=origin, retryable=True)
            self.pool.not_connected(error)
            self.fail(error)
        elif not self._setup:
            self._begin()

    def connectionLost(self, reason: Any) -> None:
        """The server has closed, or the connection broke."""
        if not self.lost:
            done = reason.check(ConnectionDone)
            kind, how = (Kind.CLOSED, "closed the connection") if done else (Kind.RESET, "was lost")
            self._give_up(MeshError(kind, f"{self.pool.endpoint.address} {how}", origin=Origin.UPSTREAM))

    def bad_reply(self, what: str) -> None:
        """What the server has sent cannot be: end the connection."""
        self.fail(MeshError(Kind.BAD_REPLY, f"{self.pool.endpoint.address}{what}", origin=Origin.UPSTREAM))

    def fail(self, error: MeshError) -> None:
        """End the connection for this reason."""
        if not self.lost:
            # Known to be lost before the transport says so.
            self._give_up(error)
            connecting, self._connecting = self._connecting, None
            if self._transport is not None:
                self._transport.abortConnection()
            elif connecting is not None:
                # It is closed if it is made after all.
                connecting.forget()

    # --- what becomes of what waits

    def _begin(self) -> None:
        """Send what waits for that."""
        raise NotImplementedError

    def _give_up(self, error: MeshError) -> None:
        """Fail what waits for replies."""
        raise NotImplementedError

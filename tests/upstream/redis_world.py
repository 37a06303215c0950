"""A cluster with one Redis server that the test plays itself, byte by byte."""

from __future__ import annotations

from typing import Any, Optional

from tests.upstream.fakes import FakeConnector, FakeEnv, cluster_config
from twisted_mesh.codec.commands import find
from twisted_mesh.codec.resp import pack
from twisted_mesh.families import Families
from twisted_mesh.redis_call import RedisCall
from twisted_mesh.redis_pending import Pending
from twisted_mesh.redis_session import Session
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.redis_lanes import LanePool
from twisted_mesh.upstream.redis_sessions import Sessions


def command(text: str, session: Optional[Session] = None) -> RedisCall:
    """One command as a call: ``command("SET a 1")``."""
    words = text.encode().split()
    data = pack(words)
    row = find(words[0], words[1] if len(words) > 1 else None)
    assert row is not None
    call = RedisCall(
        "cache", row, [(words[0], words[1] if len(words) > 1 else None, len(words), 0, len(data))], data, data
    )
    call.session = session
    return call


# What the server calls every connection.
NUMBER = 7


class World:
    """Lanes to one server; `told` is what the client was told between replies, `lost` why it was dropped."""

    def __init__(self, **pool: Any) -> None:
        self.env = FakeEnv()
        self.connector = FakeConnector()
        self.connector.loop = None  # type: ignore[attr-defined]
        config = cluster_config("10.0.0.1:6379", **({"pool": pool} if pool else {}))
        self.cluster = Cluster("redis", config, self.env, self.connector)  # type: ignore[arg-type]
        self.endpoint: Endpoint = self.cluster.endpoints[0]
        self.moved = 0
        self.asked: list[tuple[str, Pending]] = []
        cells = Families(self.env.metrics).upstream("redis", "redis")
        self.pool = LanePool(
            self.endpoint,
            self.cluster,
            self.env,
            self.connector,
            cells,
            self.greeting,
            self._moved,  # type: ignore[arg-type]
            self._ask,
        )
        self.sessions = Sessions(self.cluster, None, lambda endpoint, priority: self.pool)
        self.told: list[bytes] = []
        self.lost: list[str] = []

    def greeting(self, db: int, resp: int) -> list[tuple[list[str], bool]]:
        return [(["SELECT", str(db)], True)] if db else []

    def _ask(self, call: RedisCall, endpoint: Endpoint) -> Pending:
        """What is asked over a connection that all share."""
        self.asked.append((b" ".join(call.words()).decode(), Pending(call)))
        return self.asked[-1][1]

    def _moved(self) -> None:
        self.moved += 1

    def session(self) -> Session:
        """A client's session."""
        return Session(self.told.append, self.lost.append)

    def send(self, session: Session, text: str) -> Pending:
        """Send one command of a session."""
        return self.sessions(command(text, session))

    # --- the server's side

    def heard(self, which: int = -1) -> str:
        """What a connection has sent since the last look, commands in one line."""
        transport = self.connector.protocols[which]._transport
        data = transport.value()
        transport.clear()
        words = [part for part in data.split(b"\r\n") if part and part[:1] not in b"*$"]
        return b" ".join(words).decode().replace("CLIENT ID ", "")

    def say(self, data: bytes, which: int = -1) -> None:
        """Have a connection say something; behind what it has been asked about itself."""
        lane: Any = self.connector.protocols[which]
        if not lane._setup and lane._queue and lane._queue[0] is lane._asked:
            lane.dataReceived(b":%d\r\n" % NUMBER)
        lane.dataReceived(data)


def body(pending: Pending) -> Any:
    """What a pending has fired with; raises what it failed with; None if nothing has come."""
    if not pending.done:
        return None
    if pending.error is not None:
        raise pending.error
    return pending.value.body

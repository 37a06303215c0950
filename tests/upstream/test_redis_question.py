"""What a Redis server is asked beside the commands of clients, against transports in memory."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.python.failure import Failure

from tests.upstream.fakes import FakeConnector, FakeEnv
from twisted_mesh.model import Address
from twisted_mesh.upstream.redis_question import RedisProbe

TARGET = Address.parse("127.0.0.1:80")


class World:
    def __init__(self) -> None:
        self.env = FakeEnv()
        self.connector = FakeConnector()
        self.verdicts: list[tuple[str, str]] = []

    def tell(self, result: str, reason: str) -> None:
        self.verdicts.append((result, reason))

    def redis(self) -> RedisProbe:
        return RedisProbe(self.env.clock, self.connector, TARGET, 1.0, self.tell)  # type: ignore[arg-type]

    @property
    def protocol(self) -> Any:
        return self.connector.protocols[-1]

    def receive(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def lose(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionError("closed")))

    def over(self) -> bool:
        """Whether nothing is left that waits."""
        return self.env.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        (b"+PONG\r\n", ("success", "PING answered +PONG")),
        (b"-NOAUTH Authentication required.\r\n", ("success", "PING answered -NOAUTH Authentication required.")),
        (b"-LOADING the dataset\r\n", ("failure", "PING answered -LOADING the dataset")),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ("failure", "PING answered HTTP/1.1 400 Bad Request")),
    ],
)
def test_the_answer_to_a_ping(line: bytes, verdict: tuple[str, str]) -> None:
    """A server that answers is well unless it says that it is not; one that wants a password first is, too."""
    world = World()
    world.redis()
    assert world.protocol.transport.value() == b"*1\r\n$4\r\nPING\r\n"
    for at in range(len(line)):
        if world.protocol.transport is not None:
            world.receive(line[at : at + 1])
    assert world.verdicts == [verdict]
    assert world.protocol.transport is None
    assert world.over()


def test_a_redis_that_says_nothing() -> None:
    """A timeout, a closed connection and a line without end are failures."""
    world = World()
    world.redis()
    world.env.clock.advance(1)
    assert world.verdicts == [("timeout", "no answer within 1 s")]
    world = World()
    world.redis()
    world.lose()
    assert world.verdicts == [("failure", "the connection was closed before an answer")]
    world = World()
    world.redis()
    world.receive(b"x" * 2000)
    assert world.verdicts[0][0] == "failure"
    assert world.over()


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (b"+PONG\r\n:0\r\n*3\r\n$6\r\nmaster\r\n:1\r\n*0\r\n", ("success", "PING answered +PONG")),
        (b"+PONG\r\n:1\r\n*3\r\n$6\r\nmaster\r\n:1\r\n*0\r\n", ("failure", "maintenance: EXISTS out answered 1")),
        (b"+PONG\r\n-NOPERM no\r\n*0\r\n", ("failure", "EXISTS out answered -NOPERM no")),
        (
            b"+PONG\r\n:0\r\n*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:1\r\n",
            ("failure", "it is a replica and no primary"),
        ),
        (b"+PONG\r\n:0\r\n-NOPERM no\r\n", ("failure", "ROLE answered -NOPERM no")),
        (b"-LOADING wait\r\n-LOADING wait\r\n-LOADING wait\r\n", ("failure", "PING answered -LOADING wait")),
    ],
)
def test_a_key_and_the_role(answer: bytes, verdict: tuple[str, str]) -> None:
    """The key must not be there, and the server must be what is wanted."""
    world = World()
    RedisProbe(
        world.env.clock,
        world.connector,
        TARGET,
        1.0,
        world.tell,
        key="out",
        role="primary",  # type: ignore[arg-type]
    )
    assert world.protocol.transport.value().count(b"*") == 3
    world.receive(answer)
    assert world.verdicts == [verdict]
    assert world.over()


def test_a_replica_that_does_not_follow() -> None:
    world = World()
    RedisProbe(world.env.clock, world.connector, TARGET, 1.0, world.tell, role="replica")  # type: ignore[arg-type]
    world.receive(b"+PONG\r\n*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$7\r\nconnect\r\n:-1\r\n")
    assert world.verdicts == [("failure", "it is a replica that does not follow its primary now")]


def test_a_login_comes_first() -> None:
    world = World()
    RedisProbe(world.env.clock, world.connector, TARGET, 1.0, world.tell, login=("mesh", "x"))  # type: ignore[arg-type]
    assert world.protocol.transport.value().startswith(b"*3\r\n$4\r\nAUTH\r\n$4\r\nmesh\r\n$1\r\nx\r\n")
    world.receive(b"-WRONGPASS invalid\r\n-NOAUTH no\r\n")
    assert world.verdicts == [("failure", "AUTH answered WRONGPASS invalid")]

"""One health check of each kind, against transports in memory."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.python.failure import Failure

from tests.upstream.fakes import FakeConnector, FakeEnv
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.model import Address
from twisted_mesh.park import Parked
from twisted_mesh.upstream.probe import ANSWER_LIMIT, HttpProbe, TcpProbe

TARGET = Address.parse("127.0.0.1:80")


class World:
    def __init__(self, answer: str = "accept") -> None:
        self.env = FakeEnv()
        self.connector = FakeConnector()
        self.connector.answer[str(TARGET)] = answer
        self.verdicts: list[tuple[str, str]] = []

    def tell(self, result: str, reason: str) -> None:
        self.verdicts.append((result, reason))

    def tcp(self) -> TcpProbe:
        return TcpProbe(self.env.clock, self.connector, TARGET, 1.0, self.tell)  # type: ignore[arg-type]

    def http(self, *expect: tuple[int, int]) -> HttpProbe:
        return HttpProbe(
            self.env.clock,
            self.connector,  # type: ignore[arg-type]
            TARGET,
            1.0,
            self.tell,
            path="/healthz",
            host="web:80",
            expect=expect or ((200, 299),),
        )

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


# --- TCP


def test_a_connection_is_a_success_and_is_closed() -> None:
    world = World()
    world.tcp()
    assert world.verdicts == [("success", "connected")]
    assert world.connector.sockets[0].closed
    assert world.over()


def test_a_refusal_is_a_failure() -> None:
    world = World("refuse")
    world.tcp()
    assert world.verdicts == [("failure", "127.0.0.1:80: connection refused")]
    assert world.over()


def test_a_connection_that_takes_too_long_is_let_go() -> None:
    world = World("later")
    world.tcp()
    world.env.clock.advance(1)
    world.connector.let()
    assert world.verdicts == [("timeout", "no connection within 1 s")]
    assert world.connector.sockets == []


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (MeshError(Kind.CONNECT_TIMEOUT, "too slow"), ("timeout", "too slow")),
        (ZeroDivisionError("oops"), ("failure", "ZeroDivisionError('oops')")),
    ],
)
def test_what_the_connector_says_is_the_reason(error: Exception, verdict: tuple[str, str]) -> None:
    world = World()
    parked: Parked[Any] = Parked()
    parked.fail(error)
    world.connector._connect = lambda address, made: parked  # type: ignore[method-assign]
    world.tcp()
    assert world.verdicts == [verdict]


def test_a_cancelled_check_gives_no_verdict() -> None:
    world = World("later")
    world.tcp().cancel()
    world.connector.let()
    assert world.verdicts == []
    assert world.connector.sockets == []
    assert world.over()


# --- HTTP


def test_it_asks_as_a_client_would() -> None:
    world = World()
    world.http()
    assert world.protocol.transport.value() == (
        b"GET /healthz HTTP/1.1\r\nhost: web:80\r\nuser-agent: twisted_mesh-health\r\n"
        b"accept: */*\r\nconnection: close\r\n\r\n"
    )


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 204\r\n", b"HTTP/1.1 200 \n"])
def test_an_expected_status_is_a_success(answer: bytes) -> None:
    world = World()
    world.http()
    for at in range(len(answer)):
        assert world.verdicts == []
        world.receive(answer[at : at + 1])
    assert world.verdicts == [("success", f"GET /healthz answered {answer[9:12].decode()}")]
    world.receive(b"content-length: 2\r\n\r\nok")
    world.lose()
    assert world.over()
    assert len(world.verdicts) == 1


def test_another_status_is_a_failure() -> None:
    world = World()
    world.http((200, 299), (401, 401))
    world.receive(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
    assert world.verdicts == [("failure", "GET /healthz answered 503")]
    world.http((200, 299), (401, 401))
    world.receive(b"HTTP/1.1 401 Unauthorized\r\n\r\n")
    assert world.verdicts[1][0] == "success"


def test_interim_answers_are_skipped() -> None:
    world = World()
    world.http()
    world.receive(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n")
    world.receive(b"\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert world.verdicts == [("success", "GET /healthz answered 200")]


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/2.0 200 OK\r\n", b"HTTP/1.1 20 OK\r\n", b"\n"])
def test_something_else_than_http_is_a_failure(answer: bytes) -> None:
    world = World()
    world.http()
    world.receive(answer)
    assert world.verdicts == [("failure", "the answer is not HTTP/1.1")]
    assert world.protocol.transport is None
    assert world.over()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 2"])
def test_a_close_before_the_status_is_a_failure(answer: bytes) -> None:
    world = World()
    world.http()
    world.receive(answer)
    world.lose()
    assert world.verdicts == [("failure", "the connection was closed before an answer")]
    assert world.over()


def test_no_answer_in_time_is_a_timeout() -> None:
    world = World()
    world.http()
    world.env.clock.advance(1)
    assert world.verdicts == [("timeout", "no answer within 1 s")]
    assert world.protocol.transport is None
    assert world.over()


def test_a_long_answer_is_cut_and_still_a_success() -> None:
    world = World()
    world.http()
    world.receive(b"HTTP/1.1 200 OK\r\n\r\n")
    world.receive(b"x" * ANSWER_LIMIT)
    assert world.verdicts == [("success", "GET /healthz answered 200")]
    assert world.protocol.transport is None
    assert world.over()


def test_a_line_without_end_is_bounded() -> None:
    world = World()
    world.http()
    world.receive(b"x" * (ANSWER_LIMIT + 1))
    assert world.verdicts == [("failure", "the answer has no end")]


def test_an_answer_that_never_ends_is_cut_when_the_time_is_up() -> None:
    world = World()
    world.http()
    world.receive(b"HTTP/1.1 200 OK\r\n\r\n")
    world.env.clock.advance(1)
    assert world.verdicts == [("success", "GET /healthz answered 200")]
    assert world.protocol.transport is None


def test_a_cancelled_request_is_aborted() -> None:
    world = World()
    world.http().cancel()
    assert world.protocol.transport is None
    assert world.verdicts == []
    assert world.over()


def test_a_connection_lost_at_once_is_a_failure() -> None:
    world = World("later")
    world.http()
    [(parked, made)] = world.connector._later
    made()
    world.lose()
    parked.fire(None)
    assert world.verdicts == [("failure", "the connection was closed before an answer")]
    assert world.over()

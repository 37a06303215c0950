"""The corpora again, over real sockets through `twistd mesh`: refused, closed, and nothing at the upstream."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Iterator

import pytest

from tests.corpora import malformed, malformed_answers
from tests.corpora.cases import desync, llhttp
from tests.corpora.strict import read_requests
from tests.corpora.test_requests import FORWARDED_ALTHOUGH_REJECTED
from tests.e2e.support import Edge, start_edge
from tests.support import PATIENCE, RawClient, TcpUpstream, until


class Recording:
    """An upstream that keeps every byte, and answers each request the strict judge can read."""

    def __init__(self) -> None:
        self.streams: list[bytearray] = []
        self.upstream = TcpUpstream(self._talk)

    def _talk(self, link: RawClient) -> None:
        stream = bytearray()
        self.streams.append(stream)
        answered = 0
        while data := link.sock.recv(262144):
            stream += data
            complete, _ = read_requests(bytes(stream))
            for _ in complete[answered:]:
                link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            answered = len(complete)

    @property
    def complete(self) -> int:
        """Requests that came whole; what cannot be read by the strict judge raises."""
        return sum(len(read_requests(bytes(each))[0]) for each in self.streams)


@pytest.fixture(scope="module")
def recording() -> Iterator[Recording]:
    """The upstream."""
    one = Recording()
    yield one
    one.upstream.stop()


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, recording: Recording) -> Iterator[Edge]:
    """The sidecar."""
    one = start_edge(
        tmp_path_factory.mktemp("edge"),
        {"upstream": [recording.upstream.address]},
        http={"timeouts": {"header": "2s"}},
    )
    yield one
    one.mesh.stop()


def send(edge: Edge, data: bytes, end: bool = False) -> bytes:
    """Send bytes on a connection of their own and return all that comes until it is closed."""
    with RawClient(edge.port) as client:
        try:
            client.send(data)
            if end:
                client.half_close()
            return client.read_to_end()
        except (ConnectionResetError, BrokenPipeError):
            return client.buffer


def send_all(edge: Edge, requests: list[bytes], end: bool = False) -> list[bytes]:
    """The same for many, several at a time."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda data: send(edge, data, end), requests))


def test_our_own_table(edge: Edge, recording: Recording) -> None:
    """Every malformed head is refused with its status, and none reaches the upstream."""
    before = len(recording.streams)
    answers = send_all(edge, [bad.data for bad in malformed.REFUSED])
    wrong = [
        (bad.name, answer[:100])
        for bad, answer in zip(malformed.REFUSED, answers)
        if not any(answer.startswith(b"HTTP/1.1 %d " % status) for status in bad.statuses)
    ]
    assert wrong == []
    assert len(recording.streams) == before


def test_our_own_table_of_bodies(edge: Edge, recording: Recording) -> None:
    """Every malformed body is refused, and none reaches the upstream as a whole request."""
    before = recording.complete
    answers = send_all(edge, [bad.data for bad in malformed.CUT])
    assert [bad.name for bad, answer in zip(malformed.CUT, answers) if not answer.startswith(b"HTTP/1.1 4")] == []
    assert recording.complete == before


def test_desync_guardian(edge: Edge, recording: Recording) -> None:
    """The 58 Severe are answered with 400 and a close."""
    severe = [case for case in desync() if case.severity == "severe"]
    assert len(severe) == 58
    before = len(recording.streams)
    answers = send_all(edge, [case.with_host().data for case in severe])
    assert [case.name for case, answer in zip(severe, answers) if not answer.startswith(b"HTTP/1.1 400 ")] == []
    assert len(recording.streams) == before


def test_llhttp(edge: Edge, recording: Recording) -> None:
    """Of the 56 that llhttp rejects, none arrives but what stands whole before the error, and two new methods."""
    rejected = [case.with_host() for case in llhttp() if case.severity == "rejected"]
    assert len(rejected) == 56
    before = recording.complete
    send_all(edge, [case.data + b"\r\n\r\n" for case in rejected], end=True)
    allowed = sum(case.whole for case in rejected) + len(FORWARDED_ALTHOUGH_REJECTED)
    assert recording.complete - before <= allowed


def test_malformed_answers(edge: Edge, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every malformed answer is a 502, every malformed body a cut, over real sockets."""
    cases = [*malformed_answers.REFUSED, *malformed_answers.CUT]
    lock = threading.Lock()

    def say(link: RawClient) -> None:
        head = link.read_until(b"\r\n\r\n")
        number = int(head.split(b" ")[1][1:])
        link.send(cases[number].data)

    upstream = TcpUpstream(say)
    other = start_edge(tmp_path_factory.mktemp("answers"), {"bad": {"endpoints": [upstream.address]}})
    wrong: list[object] = []

    def ask(number: int) -> None:
        request = b"GET /%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % number
        with RawClient(other.port) as client:
            client.send(request)
            try:
                answer = client.read_to_end()
                cut = False
            except ConnectionResetError:
                answer, cut = client.buffer, True
        body = number >= len(malformed_answers.REFUSED)
        while answer.startswith(b"HTTP/1.1 10"):
            answer = answer.partition(b"\r\n\r\n")[2]
        if not answer.startswith(b"HTTP/1.1 502 ") and not (body and cut):
            with lock:
                wrong.append((cases[number].name, answer[:80], cut))

    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(len(cases))))
    finally:
        other.mesh.stop()
        upstream.stop()
    assert wrong == []


def test_nothing_is_left(edge: Edge) -> None:
    """After all that nothing is held: no connection, no call."""
    for name in ("connections_active", "calls_active"):
        until(
            lambda name=name: edge.mesh.metric(f"twisted_mesh_downstream_{name}", listener="edge") == 0, name, PATIENCE
        )

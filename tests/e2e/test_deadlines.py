"""How long callers and routes wait: callers' deadlines, the time of a try, and what lives inside of them."""

from __future__ import annotations

import re
import socket
from typing import Any, Iterator, Optional

import pytest

from tests.support import Answer, HttpUpstream, Seen, request, until

LONG = "30s"


class Slow:
    """An upstream that answers as it is told, or not before it is let go."""

    def __init__(self, name: str = "slow", hang: bool = False) -> None:
        self.server = HttpUpstream(name, self.respond)
        self.address = self.server.address
        self.statuses: list[int] = []
        if hang:
            self.server.hold.clear()

    def respond(self, seen: Seen) -> Answer:
        return Answer(self.statuses.pop(0) if self.statuses else 200, [], self.server.name.encode())

    def told(self, name: str = "x-mesh-timeout") -> list[Optional[str]]:
        """What its calls were told of the time."""
        return [each.header(name) for each in self.server.seen]


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow(hang=True)
    yield made
    made.server.stop()


@pytest.fixture
def quick() -> Iterator[Slow]:
    made = Slow("quick")
    yield made
    made.server.stop()


def milliseconds(text: Optional[str]) -> int:
    found = re.fullmatch(r"(\d+)ms", text or "")
    assert found is not None, text
    return int(found[1])


@pytest.mark.parametrize(
    "header", ["x-mesh-timeout: 250ms", "grpc-timeout: 250m", "x-envoy-expected-rq-timeout-ms: 250"]
)
def test_a_caller_waits_no_longer_than_it_said(new_edge: Any, slow: Slow, header: str) -> None:
    running = new_edge({"api": [slow.address]}, [{"to": "api", "timeout": LONG}])
    name, value = header.split(": ")
    answer = request(running.port, "/hurry", headers={name: value})
    assert answer.status == 504
    assert "the caller waits no longer than 0.25 s (flag DE" in answer.text
    line = running.line("/hurry")
    assert (line["flags"], line["status"]) == (["DE"], 504)
    [told] = slow.told(name)
    assert told is not None
    amount = int(re.sub(r"\D", "", told)) / (1000 if told.endswith("u") else 1)
    assert 0 < amount <= 250
    assert running.mesh.metric("twisted_mesh_downstream_deadlines_total", listener="edge", result="heeded") == 1


def test_the_routes_timeout_is_the_most(new_edge: Any, slow: Slow) -> None:
    running = new_edge({"api": [slow.address]}, [{"to": "api", "timeout": "300ms"}])
    answer = request(running.port, headers={"x-mesh-timeout": "1h"})
    assert (answer.status, "no reply within 0.3 s (flag UT" in answer.text) == (504, True)
    assert 0 < milliseconds(slow.told()[0]) <= 300


def test_what_is_left_is_told_to_each_try(new_edge: Any, quick: Slow) -> None:
    """The back-off is inside: the second try is told of less than the first."""
    quick.statuses = [503, 503]
    retry = {"when": ["5xx"], "backoff": {"base": "200ms", "max": "200ms"}}
    running = new_edge({"api": [quick.address]}, [{"to": "api", "timeout": LONG, "retry": retry}])
    assert request(running.port, headers={"x-mesh-timeout": "20s"}).status == 200
    told = [milliseconds(each) for each in quick.told()]
    assert len(told) == 3
    assert 20_000 >= told[0] >= told[1] >= told[2] > 0


def test_a_retry_that_would_come_too_late_is_not_begun(new_edge: Any, quick: Slow) -> None:
    quick.statuses = [503] * 9
    retry = {"when": ["5xx"], "attempts": 9, "backoff": {"base": "100s", "max": "100s"}}
    running = new_edge({"api": [quick.address]}, [{"to": "api", "timeout": "off", "retry": retry}])
    # The wait is drawn from 100 s: one in a thousand is short enough for another try.
    assert request(running.port, headers={"x-mesh-timeout": "100ms"}).status == 503
    assert len(quick.server.seen) <= 2


def test_a_route_may_leave_deadlines_alone_or_tell_of_its_timeout(new_edge: Any, quick: Slow) -> None:
    routes = [
        {"match": {"path": "/off"}, "to": "api", "deadline": "off"},
        {"match": {"path": "/always"}, "to": "api", "deadline": "always", "timeout": "5s"},
        {"to": "api"},
    ]
    running = new_edge({"api": [quick.address]}, routes)
    request(running.port, "/off", headers={"x-mesh-timeout": "2s"})
    request(running.port, "/always")
    request(running.port, "/")
    request(running.port, "/always", headers={"grpc-timeout": "1S"})
    told = quick.told()
    assert (told[0], told[2], told[3]) == ("2s", None, None)
    assert 0 < milliseconds(told[1]) <= 5000
    assert quick.told("grpc-timeout")[3] != "1S"


def test_what_says_nothing_is_counted_logged_and_passed_on(new_edge: Any, quick: Slow) -> None:
    running = new_edge({"api": [quick.address]})
    assert request(running.port, headers={"x-mesh-timeout": "soon"}).status == 200
    assert quick.told() == ["soon"]
    assert running.mesh.metric("twisted_mesh_downstream_deadlines_total", listener="edge", result="malformed") == 1
    until(lambda: "malformed, and was not heeded: x-mesh-timeout: soon" in running.mesh.output())


def test_a_deadline_that_has_passed_reaches_nobody(new_edge: Any, quick: Slow) -> None:
    running = new_edge({"api": [quick.address]})
    assert request(running.port, headers={"grpc-timeout": "0m"}).status == 504
    assert quick.server.seen == []


def test_callers_in_a_hurry_open_no_breaker(new_edge: Any, slow: Slow) -> None:
    cluster = {"endpoints": [slow.address], "breaker": {"failures": 2}}
    running = new_edge({"api": cluster}, [{"to": "api", "timeout": LONG}])
    for _ in range(4):
        assert request(running.port, headers={"x-mesh-timeout": "30ms"}).status == 504
    assert running.mesh.metric("twisted_mesh_cluster_ejections_total", cluster="api", kind="breaker") == 0


@pytest.fixture
def full() -> Iterator[str]:
    """An address whose backlog is full: connecting to it takes for ever."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = []
        try:
            for _ in range(8):
                each = socket.socket()
                each.setblocking(False)
                each.connect_ex(listening.getsockname())
                waiting.append(each)
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            for each in waiting:
                each.close()


def test_connecting_lives_inside_the_deadline(new_edge: Any, full: str) -> None:
    cluster = {"endpoints": [full], "connect_timeout": LONG}
    running = new_edge({"api": cluster}, [{"to": "api", "timeout": LONG}])
    answer = request(running.port, headers={"x-mesh-timeout": "200ms"})
    assert (answer.status, "flag DE" in answer.text) == (504, True)


def test_a_try_that_hangs_is_given_up_for_another(new_edge: Any, slow: Slow, quick: Slow) -> None:
    cluster = {"endpoints": [slow.address, quick.address], "balance": "round_robin"}
    running = new_edge({"api": cluster}, [{"to": "api", "timeout": LONG, "retry": {"per_try_timeout": "200ms"}}])
    for _ in range(2):
        assert request(running.port, "/tries").text == "quick"
    assert len(slow.server.seen) >= 1
    assert {each["attempts"] for each in running.lines()} <= {1, 2}
    assert running.mesh.metric("twisted_mesh_upstream_calls_total", cluster="api", flag="UT") == len(slow.server.seen)


def test_a_try_that_hangs_while_connecting_is_given_up_whatever_the_method(
    new_edge: Any, full: str, quick: Slow
) -> None:
    cluster = {"endpoints": [full, quick.address], "balance": "round_robin", "connect_timeout": LONG}
    running = new_edge({"api": cluster}, [{"to": "api", "timeout": LONG, "retry": {"per_try_timeout": "200ms"}}])
    for _ in range(2):
        assert request(running.port, method="POST", body=b"x").text == "quick"


def test_what_may_not_be_sent_twice_has_one_try_and_its_time(new_edge: Any, slow: Slow) -> None:
    routes = [{"to": "api", "timeout": LONG, "retry": {"per_try_timeout": "200ms", "attempts": 2}}]
    running = new_edge({"api": [slow.address]}, routes)
    answer = request(running.port, "/once", method="POST", body=b"x")
    assert (answer.status, "no reply within the 0.2 s of a try (flag UT" in answer.text) == (504, True)
    assert len(slow.server.seen) == 1
    assert request(running.port, "/twice").status == 504
    assert len(slow.server.seen) == 3
    assert running.line("/twice")["flags"] == ["UT", "URX"]


def test_the_total_holds_for_all_tries(new_edge: Any, slow: Slow) -> None:
    routes = [{"to": "api", "timeout": "500ms", "retry": {"per_try_timeout": "200ms", "attempts": 50, "budget": "off"}}]
    running = new_edge({"api": [slow.address]}, routes)
    assert request(running.port).status == 504
    assert 1 <= len(slow.server.seen) <= 3

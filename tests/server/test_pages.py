"""What each page of the admin says, to whom, and in which form."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.task import Clock
from twisted.logger import LogPublisher

from twisted_mesh.call import Call, Reply
from twisted_mesh.headers import Headers
from twisted_mesh.metrics import Registry
from twisted_mesh.model import Config
from twisted_mesh.server.levels import Levels
from twisted_mesh.server.pages import Pages
from twisted_mesh.server.secrets import Secrets
from twisted_mesh.stream import ByteStream

ENDPOINT = {
    "out": "",
    "doubt": "",
    "declared": {"weight": 2, "instance": "", "status": "up"},
    "override": None,
    "address": "127.0.0.1:9001",
    "name": "web.example:9001",
    "state": "unhealthy",
    "reason": "503 from /healthz",
    "since": 1.5,
    "weight": 2,
    "zone": "a",
    "labels": {"version": "v1"},
    "active": 3,
    "successes": 40,
    "failures": 5,
    "connections": {"http": "<HttpPool 1 open, 0 idle, 0 waiting>"},
}
CLUSTER = {
    "name": "api",
    "balance": "least_request",
    "ready": False,
    "panicking": True,
    "trouble": "none is healthy",
    "usable": ["127.0.0.1:9001"],
    "endpoints": [ENDPOINT],
    "names": {"web.example:9001": {"addresses": ["127.0.0.1"], "problem": "server failure"}},
    "registry": None,
}
LISTENER = {
    "name": "edge",
    "protocol": "http",
    "addresses": ["127.0.0.1:8080"],
    "accepting": True,
    "connections": 7,
    "active_calls": 2,
}


class Process:
    """A process that is shown."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.secrets = Secrets("/no/such/mesh.yaml", {"SOME_TOKEN": "hunter2hunter2"})
        self.refused = ""
        self.state = (True, "ready")
        self.drained: list[str] = []
        listener = SimpleNamespace(describe=lambda: LISTENER)
        self.world: Any = SimpleNamespace(
            version=3,
            config=Config(admin="127.0.0.1:9901"),  # type: ignore[arg-type]
            clusters={"api": SimpleNamespace(describe=lambda: CLUSTER)},
            everyone=[listener],
            leaving=[],
        )
        self.clock = Clock()
        self.levels = Levels(LogPublisher())

    def ready(self) -> tuple[bool, str]:
        return self.state

    bus: Any = None

    def bus_state(self) -> Any:
        return self.bus

    def origins(self) -> dict[str, str]:
        return {"clusters/api": "bus, version 3", "listeners/edge": "file"}

    def drain(self, reason: str) -> None:
        self.drained.append(reason)


@pytest.fixture
def process() -> Process:
    return Process()


def ask(process: Process, target: str, method: str = "GET", host: str = "127.0.0.1", **headers: str) -> Reply:
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    call = Call("http", "admin", method, Headers.of(pairs))
    call.resource, _, call.query = target.partition("?")
    call.host = host

    async def answer() -> Reply:
        pages = Pages(process, process.levels, process.clock, asyncio.get_running_loop())
        reply = await pages(call)
        if isinstance(reply.body, ByteStream):
            while not reply.body.closed:
                process.clock.advance(0.01)
            reply.body = reply.body.whole()
        return reply

    return asyncio.run(answer())


def text(reply: Reply) -> str:
    assert isinstance(reply.body, bytes)
    assert reply.body.endswith(b"\n")
    return reply.body.decode()


def test_ready_says_whether_and_why_not(process: Process) -> None:
    assert ask(process, "/ready").status == 200
    process.state = (False, "draining")
    reply = ask(process, "/ready")
    assert (reply.status, text(reply)) == (503, "draining\n")
    assert json.loads(text(ask(process, "/ready?format=json"))) == {"result": "draining"}
    assert ask(process, "/live").status == 200


def test_ready_tells_of_a_bus_that_is_away_and_stays_ready(process: Process) -> None:
    process.bus = {"trouble": "redis 127.0.0.1:6379: connection refused"}
    reply = ask(process, "/ready")
    assert (reply.status, text(reply)) == (200, "ready\nredis: redis 127.0.0.1:6379: connection refused\n")
    assert json.loads(text(ask(process, "/ready?format=json"))) == {"result": "ready", "bus": process.bus}
    process.bus = {"trouble": ""}
    assert text(ask(process, "/ready")) == "ready\n"


def test_the_configuration_shows_where_each_resource_comes_from(process: Process) -> None:
    process.bus = {"trouble": "", "version": 3}
    shown = json.loads(text(ask(process, "/config?format=json")))
    assert shown["resources"] == {"clusters/api": "bus, version 3", "listeners/edge": "file"}
    assert shown["bus"] == process.bus
    assert "# resources: clusters/api: bus, version 3\n" in text(ask(process, "/config"))


def test_the_list_shows_every_page(process: Process) -> None:
    shown = text(ask(process, "/"))
    for path in ("/ready", "/live", "/metrics", "/config", "/clusters", "/listeners", "/drain", "/logging"):
        assert f"\n{path} " in shown
    pages = json.loads(text(ask(process, "/?format=json")))["pages"]
    [drain] = [each for each in pages if each["path"] == "/drain"]
    assert {"path": "/drain", "methods": ["POST"]}.items() <= drain.items()


def test_a_page_that_there_is_not_answers_with_the_list(process: Process) -> None:
    reply = ask(process, "/redy")
    assert reply.status == 404
    assert text(reply).startswith("there is no /redy\n")
    assert "/ready" in text(reply)


def test_reading_a_page_that_changes_something_is_refused_and_so_is_the_reverse(process: Process) -> None:
    for target, method, allow in (
        ("/drain", "GET", "POST"),
        ("/drain", "HEAD", "POST"),
        ("/ready", "POST", "GET, HEAD"),
        ("/logging", "DELETE", "GET, HEAD, POST"),
    ):
        reply = ask(process, target, method)
        assert (reply.status, reply.headers.get("allow")) == (405, allow)
    assert process.drained == []


def test_metrics_are_ours_and_those_of_the_process(process: Process) -> None:
    process.registry.counter("ours_total", "Ours.").labels().value = 3
    reply = ask(process, "/metrics")
    assert reply.headers.get("content-type") == "text/plain; version=0.0.4; charset=utf-8"
    families = {each.name: each for each in text_string_to_metric_families(text(reply))}
    assert families["ours"].samples[0].value == 3
    assert families["python_info"].samples
    assert "process_resident_memory_bytes" in families or "linux" not in __import__("sys").platform


def test_the_form_is_what_is_asked_for_or_accepted(process: Process) -> None:
    def kind(target: str = "/live", **headers: str) -> str:
        return (ask(process, target, **headers).headers.get("content-type") or "").partition(";")[0]

    assert kind() == kind(accept="*/*") == kind(accept="text/html,application/xml;q=0.9,*/*;q=0.8") == "text/plain"
    assert kind(accept="application/json") == kind(accept="text/plain;q=0.5, application/json") == "application/json"
    assert kind(accept="application/json;q=0.5, text/*") == kind(accept="application/json;q=x") == "text/plain"
    assert kind("/live?format=json", accept="text/plain") == "application/json"
    assert kind("/live?format=text", accept="application/json") == "text/plain"
    assert ask(process, "/live?format=xml").status == 400


def test_clusters_show_each_endpoint_with_its_state_and_why(process: Process) -> None:
    shown = text(ask(process, "/clusters"))
    assert shown.startswith("api: not ready, least_request, 1 of 1 endpoints usable, panicking: ")
    for each in (
        "127.0.0.1:9001 (web.example:9001)",
        "unhealthy",
        "503 from /healthz",
        "server failure",
        " 40 ",
        " 5 ",
    ):
        assert each in shown
    assert json.loads(text(ask(process, "/clusters?format=json"))) == {"clusters": [CLUSTER]}
    process.world.clusters = {}
    assert text(ask(process, "/clusters")) == "no clusters\n"


def test_listeners_show_where_they_are_and_whether_they_leave(process: Process) -> None:
    assert text(ask(process, "/listeners")).split("\n")[1].split() == [
        *("edge", "http", "127.0.0.1:8080", "accepting", "7", "2")
    ]
    assert json.loads(text(ask(process, "/listeners?format=json"))) == {"listeners": [{**LISTENER, "leaving": False}]}
    process.world.leaving = process.world.everyone
    assert " leaving " in text(ask(process, "/listeners"))


def test_the_configuration_is_shown_with_its_version_and_the_last_refusal(process: Process) -> None:
    process.refused = "a.yaml:1:1: wrong\na.yaml:2:1: wrong too"
    shown = json.loads(text(ask(process, "/config?format=json")))
    assert shown["version"] == 3
    assert shown["refused"].startswith("a.yaml:1:1")
    assert shown["config"]["admin"] == "127.0.0.1:9901"
    lines = text(ask(process, "/config"))
    assert lines.startswith("# version: 3\n# refused: a.yaml:1:1: wrong\n# refused: a.yaml:2:1: wrong too\n")
    assert "\nadmin: 127.0.0.1:9901\n" in lines


def test_before_the_first_configuration_there_is_none(process: Process) -> None:
    process.world.config = None
    assert json.loads(text(ask(process, "/config?format=json")))["config"] is None
    assert text(ask(process, "/config")) == "# version: 3\n# refused: no\n"


def test_drain_drains(process: Process) -> None:
    reply = ask(process, "/drain", "POST")
    assert (reply.status, text(reply)) == (202, "draining\n")
    assert process.drained == ["asked by the admin"]


def test_log_levels_are_shown_and_set(process: Process) -> None:
    assert text(ask(process, "/logging")) == "(everything)  info\n"
    reply = ask(process, "/logging?level=debug&namespace=twisted_mesh.net", "POST")
    assert (reply.status, text(reply)) == (200, "(everything)      info\ntwisted_mesh.net  debug\n")
    assert ask(process, "/logging?level=error", "POST").status == 200
    assert json.loads(text(ask(process, "/logging?format=json"))) == {
        "levels": {"": "error", "twisted_mesh.net": "debug"}
    }
    assert ask(process, "/logging?level=loud", "POST").status == 400
    assert ask(process, "/logging?namespace=x", "POST").status == 400


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "10.1.2.3", ""])
def test_whoever_reaches_the_address_may_change_things(process: Process, host: str) -> None:
    assert ask(process, "/drain", "POST", host).status == 202


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example"])
def test_a_page_whose_name_was_bound_to_our_address_may_not(process: Process, host: str) -> None:
    reply = ask(process, "/drain", "POST", host)
    assert reply.status == 403
    assert "use the address" in text(reply)
    assert process.drained == []


def test_a_page_of_another_site_may_not(process: Process) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9901"):
        assert ask(process, "/drain", "POST", origin=origin).status == 403
    assert process.drained == []


def test_answers_are_not_kept_and_not_guessed_at(process: Process) -> None:
    headers = ask(process, "/config").headers
    assert (headers.get("cache-control"), headers.get("x-content-type-options")) == ("no-store", "nosniff")

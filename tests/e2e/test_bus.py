"""Sidecars on the bus: configurations and endpoints that come from a real Redis, and what happens when it goes."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.e2e.bus import Operator, kept_file, says, state
from tests.servers import Server
from tests.support import Mesh, environment, free_port, free_ports, request, until


@pytest.fixture
def redis_server(redis_servers: Callable[..., Server]) -> Server:
    """A server that has its data again after a restart."""
    return redis_servers("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture
def sidecar(mesh: Any, tmp_path: Path, redis_server: Server) -> Callable[..., Mesh]:
    """``sidecar(text)`` starts one called web-1 that keeps what is good in `tmp_path`/state."""

    def start(text: str, **options: Any) -> Mesh:
        head = f"node: {{id: web-1}}\nstate: {tmp_path / 'state'}\nregistry: {{poll: 200ms}}\n"
        options.setdefault("env", {"MESH_REDIS": redis_server.url})
        started: Mesh = mesh(head + text, **options)
        return started

    return start


def base(port: int, upstream: str) -> str:
    return (
        f"listeners: {{edge: {{bind: '127.0.0.1:{port}', routes: shop}}}}\nroutes: {{shop: [{{to: web}}]}}\n"
        f"clusters: {{web: {{endpoints: ['{upstream}']}}}}"
    )


def at(upstream: Any) -> dict[str, Any]:
    return {"endpoints": [upstream.address]}


def test_a_change_on_the_bus_takes_effect_and_is_acknowledged(
    sidecar: Any, operator: Operator, http_upstream: Any
) -> None:
    port, one, two = free_port(), http_upstream("one"), http_upstream("two")
    running = sidecar(base(port, one.address))
    assert request(port).text == "one /"
    version = operator.apply(clusters__web=at(two))
    says(port, "two /")
    known = operator.acknowledged("web-1", version)
    assert known.report.nacks == ()
    assert state(running)["resources"] == {
        "listeners/edge": "file",
        "routes/shop": "file",
        "clusters/web": f"bus, version {version}",
    }
    assert f"# resources: clusters/web: bus, version {version}\n" in running.get("/config").text
    # Deleting it brings the file's back.
    operator.apply(clusters__web=None)
    says(port, "one /")
    assert running.metric("twisted_mesh_bus_connected") == 2
    assert running.metric("twisted_mesh_bus_config_age_seconds") >= 0


def test_one_bad_resource_keeps_its_last_good_and_the_others_apply(
    sidecar: Any, operator: Operator, http_upstream: Any
) -> None:
    port, one, two, three = free_port(), *map(http_upstream, ["one", "two", "three"])
    running = sidecar(base(port, one.address))
    first = operator.apply(clusters__web=at(two))
    operator.acknowledged("web-1", first)
    version = operator.apply(
        clusters__web={"endpoints": ["nowhere"]},
        clusters__other=at(three),
        routes__shop=[{"to": "web"}, {"to": "other"}],
    )
    known = operator.acknowledged("web-1", version)
    assert [(each.name, each.version) for each in known.report.nacks] == [("clusters/web", version)]
    assert "clusters.web.endpoints[0]" in known.report.nacks[0].reason
    assert request(port).text == "two /"
    found = state(running)
    assert found["resources"]["clusters/web"] == f"last good, version {first}"
    assert found["resources"]["clusters/other"] == f"bus, version {version}"
    assert "clusters.web.endpoints[0]" in found["bus"]["refused"][0]
    assert "clusters.web.endpoints[0]" in running.output()
    assert running.metric("twisted_mesh_bus_config_refused") == 1
    # And it gets out of that again.
    operator.apply(clusters__web=at(three))
    says(port, "three /")
    until(lambda: operator.sidecar("web-1").report.nacks == ())  # type: ignore[union-attr]


def test_a_listener_whose_address_is_taken_is_refused_and_the_others_apply(
    sidecar: Any, operator: Operator, http_upstream: Any
) -> None:
    (port, other), one, two = free_ports(2), http_upstream("one"), http_upstream("two")
    running = sidecar(base(port, one.address))
    taken = {"bind": one.address, "routes": "shop"}
    version = operator.apply(
        listeners__bad=taken, listeners__more={"bind": f"127.0.0.1:{other}", "routes": "shop"}, clusters__web=at(two)
    )
    says(port, "two /")
    says(other, "two /")
    known = operator.acknowledged("web-1", version)
    until(lambda: [each.name for each in operator.sidecar("web-1").report.nacks] == ["listeners/bad"])  # type: ignore[union-attr]
    assert known.report.version == version
    assert "the address is in use" in running.output()


def test_files_that_need_the_bus_wait_for_it(sidecar: Any, operator: Operator, http_upstream: Any) -> None:
    port, one = free_port(), http_upstream("one")
    operator.apply(routes__shop=[{"to": "web"}], clusters__web=at(one))
    sidecar(f"listeners: {{edge: {{bind: '127.0.0.1:{port}', routes: shop}}}}")
    says(port, "one /")


def test_endpoints_come_from_the_registry(sidecar: Any, operator: Operator, http_upstream: Any) -> None:
    port, one, two = free_port(), http_upstream("one"), http_upstream("two")
    operator.register("web", one.port, "a")
    running = sidecar(base(port, "127.0.0.1:1").replace("endpoints: ['127.0.0.1:1']", "service: web"))
    says(port, "one /")
    operator.register("web", two.port, "b")
    operator.ask(lambda: operator.registry.deregister("web", "a"))
    says(port, "two /")
    assert running.metric("twisted_mesh_config_version") == 1


class Traffic:
    """Calls without a pause; `bad` are those that were not answered with 200."""

    def __init__(self, port: int) -> None:
        self.bad: list[str] = []
        self.calls = 0
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                answer = request(self._port)
                if answer.status != 200:
                    self.bad.append(f"{answer.status} {answer.text}")
            except OSError as error:
                self.bad.append(repr(error))
            self.calls += 1

    def goes_on(self, calls: int = 50) -> None:
        """Wait until so many more have been answered."""
        wanted = self.calls + calls
        until(lambda: self.calls >= wanted, "calls")

    def end(self) -> None:
        self._stop.set()
        self._thread.join(15)
        assert self.bad == []


def test_traffic_goes_on_whatever_becomes_of_redis(
    sidecar: Any, operator: Operator, redis_server: Server, http_upstream: Any
) -> None:
    """Killed, paused, restarted empty: no call fails, and afterwards changes are heard again."""
    port, one, two = free_port(), http_upstream("one"), http_upstream("two")
    operator.register("web", one.port, "a")
    running = sidecar(base(port, "127.0.0.1:1").replace("endpoints: ['127.0.0.1:1']", "service: web"))
    version = operator.apply(routes__shop=[{"to": "web", "timeout": "5s"}])
    operator.acknowledged("web-1", version)
    says(port, "one /")
    traffic = Traffic(port)
    traffic.goes_on()
    redis_server.kill()
    until(lambda: running.metric("twisted_mesh_bus_connected") == 0)
    traffic.goes_on()
    assert running.ready()
    assert "redis" in running.get("/ready").text
    redis_server.restart()
    until(lambda: running.metric("twisted_mesh_bus_connected") == 2)
    traffic.goes_on()
    redis_server.pause()
    traffic.goes_on()
    redis_server.resume()
    operator.register("web", one.port, "a")
    version = operator.apply(routes__shop=[{"to": "web", "timeout": "6s"}])
    operator.acknowledged("web-1", version)
    redis_server.flush()
    until(lambda: running.metric("twisted_mesh_bus_config_behind") == 1)
    traffic.goes_on()
    assert state(running)["resources"]["routes/shop"] == f"bus, version {version}"
    operator.register("web", two.port, "b")
    says(port, "two /")
    operator.ask(lambda: operator.store.restore(author="test", reason="a test"))
    until(lambda: running.metric("twisted_mesh_bus_config_behind") == 0)
    traffic.end()


def test_a_start_while_redis_is_away_goes_by_what_was_good(
    sidecar: Any, operator: Operator, redis_server: Server, http_upstream: Any, tmp_path: Path
) -> None:
    port, one, two = free_port(), http_upstream("one"), http_upstream("two")
    operator.register("web", two.port, "a")
    operator.register("web", http_upstream("drained").port, "b")
    operator.drain("web", "b")
    text = base(port, one.address)
    running = sidecar(text)
    version = operator.apply(clusters__web={"service": "web"}, routes__shop=[{"to": "web", "timeout": "5s"}])
    says(port, "two /")
    kept = kept_file(tmp_path / "state")
    wanted = [b"clusters/web", str(two.port).encode(), b"drain"]
    until(lambda: all(each in kept.read_bytes() for each in wanted))
    assert os.stat(kept).st_mode & 0o777 == 0o600
    running.process.kill()
    running.wait()
    redis_server.kill()
    running = sidecar(text)
    says(port, "two /")
    assert state(running)["resources"]["clusters/web"] == f"last good, version {version}"
    assert state(running)["bus"]["source"] == "disk"
    assert {request(port).text for _ in range(10)} == {"two /"}
    assert '"remembered": true' in running.get("/clusters?format=json").text
    # When it is back it has the last word, and changes are heard.
    redis_server.restart()
    operator.drain_no_more("web", "b")
    until(lambda: "drained /" in {request(port).text for _ in range(4)}, "the drain is over")
    operator.apply(clusters__web=at(one))
    says(port, "one /")


@pytest.mark.parametrize("spoil", ["cut", "changed"])
def test_what_is_spoilt_on_disk_is_said_and_not_used(
    sidecar: Any, operator: Operator, redis_server: Server, http_upstream: Any, tmp_path: Path, spoil: str
) -> None:
    port, one, two = free_port(), http_upstream("one"), http_upstream("two")
    running = sidecar(base(port, one.address))
    operator.apply(clusters__web=at(two))
    says(port, "two /")
    kept = kept_file(tmp_path / "state")
    until(lambda: b"clusters/web" in kept.read_bytes())
    running.process.kill()
    running.wait()
    redis_server.kill()
    data = kept.read_bytes()
    kept.write_bytes(data[:-20] if spoil == "cut" else data[:-20] + b"x" + data[-19:])
    running = sidecar(base(port, one.address))
    assert request(port).text == "one /"
    assert {"cut": "truncated", "changed": "its checksum does not fit"}[spoil] in running.output()


def test_a_start_while_redis_stands_still_goes_by_the_file(
    sidecar: Any, operator: Operator, redis_server: Server, http_upstream: Any
) -> None:
    port, one, two = free_port(), http_upstream("one"), http_upstream("two")
    operator.apply(clusters__web=at(two))
    redis_server.pause()
    running = sidecar(base(port, one.address))
    assert request(port).text == "one /"
    assert "the bus was not read within 1 s" in running.output()
    redis_server.resume()
    says(port, "two /")


def test_nothing_to_go_by_is_a_clear_error(sidecar: Any, redis_server: Server) -> None:
    redis_server.kill()
    running = sidecar(f"listeners: {{edge: {{bind: '127.0.0.1:{free_port()}', routes: shop}}}}", wait=False)
    assert running.wait() == 1
    assert 'listeners.edge.routes: there is no routing table "shop"' in running.output()
    assert "redis" in running.output()


def test_an_application_is_registered_while_it_is_well_and_gone_first_at_the_end(
    sidecar: Any, operator: Operator, http_upstream: Any
) -> None:
    port, app = free_port(), http_upstream("app")
    text = base(port, app.address)
    app.hold.clear()
    running = sidecar(text, arguments=["--service", "web"])
    until(lambda: operator.instances("web") == ["web-1"])
    done: list[Any] = []
    call = threading.Thread(target=lambda: done.append(request(port)))
    call.start()
    until(lambda: len(app.seen) == 1)
    running.signal(signal.SIGTERM)
    until(lambda: operator.instances("web") == [])
    # The call in flight goes on meanwhile.
    assert done == []
    app.hold.set()
    call.join(15)
    assert done[0].status == 200
    assert running.wait() == 0
    assert operator.sidecar("web-1") is None


def test_a_clock_that_is_an_hour_off_changes_nothing(
    sidecar: Any, operator: Operator, redis_server: Server, http_upstream: Any, tmp_path: Path
) -> None:
    """What ends when is judged by the clock of Redis: the sidecar's own instance lives, and others end in time."""
    port, one, two = free_port(), http_upstream("one"), http_upstream("two")
    late = tmp_path / "late"
    late.mkdir()
    (late / "sitecustomize.py").write_text("import time\n_now = time.time\ntime.time = lambda: _now() + 3600\n")
    operator.register("web", one.port, "short", lease=1.0, heartbeat=0.4)
    operator.register("web", two.port, "long", weight=100)
    path = os.pathsep.join([str(late), environment()["PYTHONPATH"]])
    text = base(port, "127.0.0.1:1").replace("endpoints: ['127.0.0.1:1']", "service: web")
    running = sidecar(
        text,
        env={"MESH_REDIS": redis_server.url, "PYTHONPATH": path},
        arguments=["--service", "shop"],
    )
    until(lambda: operator.instances("shop") == ["web-1"])
    version = operator.apply(routes__shop=[{"to": "web", "timeout": "5s"}])
    assert operator.acknowledged("web-1", version).report.nacks == ()
    until(lambda: "1 of 1 endpoints" in running.get("/clusters").text, "the short lease ends")
    assert request(port).text == "two /"
    assert operator.instances("shop") == ["web-1"]


def test_a_bad_file_does_not_hold_up_the_bus(sidecar: Any, operator: Operator, http_upstream: Any) -> None:
    port, one, two = free_port(), http_upstream("one"), http_upstream("two")
    running = sidecar(base(port, one.address))
    running.config.write_text("listeners: 5\n")
    running.signal(signal.SIGHUP)
    until(lambda: running.metric("twisted_mesh_config_rejected_total") == 1)
    operator.apply(clusters__web=at(two))
    says(port, "two /")


def test_a_large_configuration_comes_as_well(sidecar: Any, operator: Operator, http_upstream: Any) -> None:
    """It is judged in a child, and what is wrong in it refused all the same."""
    port, one, two = free_port(), http_upstream("one"), http_upstream("two")
    running = sidecar(base(port, one.address))
    many = {f"clusters__c{each}": {"endpoints": [f"127.0.0.1:{each + 1}"]} for each in range(600)}
    many["clusters__c5"] = {"endpoints": ["nowhere"]}
    version = operator.apply(**many, clusters__web=at(two))
    says(port, "two /")
    known = operator.acknowledged("web-1", version)
    assert [each.name for each in known.report.nacks] == ["clusters/c5"]
    assert len(state(running)["config"]["clusters"]) == 600


def test_another_redis_takes_a_restart(sidecar: Any, operator: Operator, http_upstream: Any) -> None:
    port, one = free_port(), http_upstream("one")
    running = sidecar(base(port, one.address))
    text = running.config.read_text()
    running.config.write_text(text.replace("poll: 200ms", "poll: 300ms") + "\nmesh: other\n")
    running.signal(signal.SIGHUP)
    until(lambda: "registry: it has changed, which takes a restart" in running.output())
    assert "mesh: it has changed, which takes a restart" in running.output()
    assert request(port).text == "one /"

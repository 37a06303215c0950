"""What connects a sidecar with its mesh's Redis; whole sidecars are in tests/e2e/test_bus.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Iterator

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from tests.control.test_env import make_env
from twisted_mesh import model
from twisted_mesh.bus.resource import Draft, decode, encode
from twisted_mesh.bus.stored import Nack, Stored
from twisted_mesh.control.load import Files
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.server.meshbus import MeshBus
from twisted_mesh.server.source import Source


class Life:
    """One life of a sidecar's bus, whose Redis is away; it is never started."""

    def __init__(self, directory: Path, path: str = "/etc/mesh.yaml", text: str = "", **node: Any) -> None:
        self.news = 0
        self.clock = Clock()
        self.source = Source(path, self.clock, None, {})  # type: ignore[arg-type]
        said = {
            "mesh": "shop",
            "state": str(directory),
            "redis": "redis://127.0.0.1:1",
            "node": {"id": "web-1", **node},
        }
        self.config = model.Config.model_validate({**said, "admin": "off"})
        self.env = make_env(self.clock)
        self.bus = MeshBus(self.config, self.env, self.clock, self.source, self._noted, path)
        self.acknowledged: list[tuple[int, list[Nack]]] = []
        follower: Any = self.bus.follower
        follower.acknowledge = lambda stored, nacks: self.acknowledged.append((stored.version, list(nacks)))
        self.source.first(Files(path, ((path, text),)), self.bus.remembered.good)
        self.source.accepted()

    def _noted(self) -> None:
        self.news += 1

    def take(self, version: int, **resources: Any) -> None:
        """The store is read: ``clusters__web`` is clusters/web, as its value, or as that and its selector."""
        records = {}
        for key, value in resources.items():
            name, draft = key.replace("__", "/"), Draft(*value) if isinstance(value, tuple) else Draft(value)
            records[name] = decode(name, b'{"version":%d}\n' % version + encode(name, draft))
        self.bus._take(Stored(f"{version}-x", version, records))
        for _ in self.bus.offering():
            pass

    def judge(self) -> None:
        self.source.first(self.source.files, self.source.good)  # type: ignore[arg-type]
        self.source.accepted()
        self.bus.applied()

    def save(self) -> None:
        self.bus.keeper._save_here(self.bus._state())


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert [each for each in os.listdir(tmp_path) if each.endswith(".new")] == []


def web(port: int) -> dict[str, Any]:
    return {"endpoints": [f"127.0.0.1:{port}"]}


def test_what_the_store_has_is_offered_and_acknowledged(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.take(3, clusters__web=web(1))
    assert life.news == 1
    life.judge()
    assert list(life.source.good) == ["clusters/web"]
    assert life.acknowledged == [(3, [])]


def test_what_is_refused_is_said_with_its_reason(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.take(3, clusters__web={"endpoints": 5}, clusters__good=web(1))
    life.judge()
    [(version, [nack])] = life.acknowledged
    assert (version, nack.name, nack.version) == (3, "clusters/web", 3)
    assert "clusters.web.endpoints" in nack.reason
    assert life.bus.describe()["refused"] == [f"clusters/web: {nack.reason}"]


def test_what_selects_a_group_that_is_gone_stays_as_it_was(tmp_path: Path) -> None:
    """Nobody can tell any more whom it is for; what was good is, until somebody says so."""
    life = Life(tmp_path, service="edge")
    life.take(3, groups__edges={"service": "edge"}, clusters__web=(web(1), {"group": "edges"}))
    life.judge()
    life.take(4, clusters__web=(web(1), {"group": "edges"}))
    life.judge()
    [nack] = life.acknowledged[-1][1]
    assert (nack.name, nack.version) == ("clusters/web", 4)
    assert [each.version for each in life.source.good.values()] == [3]
    life.save()
    second = Life(tmp_path, service="edge")
    assert [each.version for each in second.source.good.values()] == [3]
    # For whom it was not before it is not now either.
    other = Life(tmp_path, id="web-2", service="back")
    other.take(4, clusters__web=(web(1), {"group": "edges"}))
    other.judge()
    assert other.source.good == {}


def test_who_is_somebody_else_now_gets_what_is_for_them(tmp_path: Path) -> None:
    life = Life(tmp_path, zone="a")
    life.take(3, clusters__web=(web(1), {"zone": "a"}), clusters__api=(web(2), {"zone": "b"}))
    life.judge()
    assert list(life.source.good) == ["clusters/web"]
    life.bus.is_now(life.config.node)
    assert life.news == 1
    life.bus.is_now(life.config.node.model_copy(update={"zone": "b"}))
    assert life.news == 2
    for _ in life.bus.offering():
        pass
    life.judge()
    assert list(life.source.good) == ["clusters/api"]
    assert life.bus.follower.reporter.who.zone == "b"


def test_what_is_refused_with_the_whole_is_said_too(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.take(3, clusters__web=web(1))
    life.judge()
    life.take(4, clusters__web=web(2))
    life.bus.rejected(ConfigError([Problem("mesh.yaml", 1, 1, "mesh", "no")]))
    assert life.acknowledged[-1] == (4, [Nack("clusters/web", 4, "refused with the whole: mesh.yaml:1:1: mesh: no")])


def test_nothing_is_acknowledged_before_the_store_was_read(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.judge()
    life.bus.rejected(ConfigError([]))
    assert life.acknowledged == []


def test_the_next_life_begins_with_what_was_good(tmp_path: Path) -> None:
    first = Life(tmp_path)
    first.take(3, clusters__web=web(7))
    first.judge()
    first.take(4, clusters__web={"endpoints": 5})
    first.judge()
    first.save()
    second = Life(tmp_path)
    assert second.bus.follower.stored.version == 4
    assert {name: each.version for name, each in second.source.good.items()} == {"clusters/web": 3}
    assert [each.version for each in second.source.refused] == [4]
    assert second.bus.describe()["source"] == "disk"


def test_a_start_from_disk_is_said(tmp_path: Path) -> None:
    first = Life(tmp_path)
    first.take(3, clusters__web=web(7))
    first.judge()
    first.save()
    with capturedLogs() as logs:
        Life(tmp_path)
    [said] = [formatEvent(each) for each in logs]
    assert said.startswith("until Redis is read, version 3 of the configuration holds, as kept in ")
    assert said.endswith(".kept: 1 resources, 0 services, 0 overrides, written 0 s ago")


def test_each_sidecar_keeps_its_own(tmp_path: Path) -> None:
    for path, node in (("/etc/a.yaml", "web-1"), ("/etc/b.yaml", "web-1"), ("/etc/a.yaml", "web/2")):
        life = Life(tmp_path, path, id=node)
        life.save()
    assert len([each for each in os.listdir(tmp_path) if each.endswith(".kept")]) == 3


def test_a_spoilt_file_is_passed_over(tmp_path: Path) -> None:
    first = Life(tmp_path)
    first.take(3, clusters__web=web(7))
    first.judge()
    first.save()
    [kept] = tmp_path.glob("*.kept")
    kept.write_bytes(kept.read_bytes()[:-1])
    second = Life(tmp_path)
    assert second.source.good == {}
    assert second.bus.describe()["source"] == "nothing yet"


def test_the_age_of_the_configuration_is_a_gauge(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.clock.advance(7)
    text = life.env.metrics.expose().decode()
    assert "twisted_mesh_bus_config_age_seconds 7" in text


def test_filters_find_redis(tmp_path: Path) -> None:
    life = Life(tmp_path)
    assert life.env.redis is None
    life.env.discover(life.bus.registry, life.bus.overrides, life.bus.redis)
    assert life.env.named("listeners/edge").redis is life.bus.redis


LISTENING = {"edge": {"bind": "127.0.0.1:8080", "routes": [{"reply": {"status": 200}}]}}


def registering(life: Life, **listeners: Any) -> None:
    config = life.config.model_copy(
        update={"listeners": model.Config.model_validate({"listeners": listeners or LISTENING}).listeners}
    )
    life.bus.register(config, None)  # type: ignore[arg-type]


def test_the_instance_is_what_the_configuration_says(tmp_path: Path) -> None:
    life = Life(tmp_path, service="web")
    registering(life)
    registration = life.bus.registration
    assert registration is not None
    assert (registration.instance.id, dict(registration.instance.ports)) == ("web-1", {"http": 8080})
    registering(life)
    assert life.bus.registration is registration
    moved = {**LISTENING["edge"], "bind": "127.0.0.1:8081"}
    registering(life, edge=moved)
    assert life.bus.registration is not None
    assert dict(life.bus.registration.instance.ports) == {"http": 8081}


def test_who_has_no_service_registers_nothing(tmp_path: Path) -> None:
    life = Life(tmp_path)
    registering(life)
    assert life.bus.registration is None
    assert life.bus.leave().called


def test_two_listeners_of_a_protocol_are_one_too_many(tmp_path: Path) -> None:
    life = Life(tmp_path, service="web")
    other = {**LISTENING["edge"], "bind": "127.0.0.1:8081"}
    with pytest.raises(ConfigError, match=r"node\.ports"):
        registering(life, edge=LISTENING["edge"], other=other)

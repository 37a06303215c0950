"""From files and bus to what is in force; whole sidecars are in tests/e2e/test_bus.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence

import pytest
from twisted.internet.task import Clock

from tests.control.test_env import make_env
from twisted_mesh.bus.resource import Draft, decode, encode
from twisted_mesh.bus.stored import Nack, Stored
from twisted_mesh.control.found import find_filter
from twisted_mesh.control.world import World
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.server.configuring import Configuring

BUS = "redis: redis://127.0.0.1:1\nnode: {id: web-1}\n"
CLUSTER = "clusters: {web: {endpoints: [127.0.0.1:1]}}\n"


class Process:
    """What a sidecar is to its configuration; the bus is never started."""

    def __init__(self, directory: Path, text: str) -> None:
        self.path = directory / "mesh.yaml"
        self.path.write_text(f"admin: off\naccess_log: off\nstate: {directory / 'state'}\n{text}")
        self.clock = Clock()
        self.world = World(make_env(self.clock), None, find_filter)  # type: ignore[arg-type]
        self.given_up: list[str] = []
        self.taken = ""
        self.configuring = Configuring(
            self.world,
            self.clock,
            str(self.path),
            lambda config: config,
            outside=self._outside,
            applied=lambda: None,
            give_up=self._give_up,
        )
        self.acknowledged: list[tuple[int, list[Nack]]] = []

    def prepare(self) -> Process:
        self.configuring.prepare()
        bus: Any = self.configuring.bus
        if bus is not None:
            bus.follower.acknowledge = lambda stored, nacks: self.acknowledged.append((stored.version, list(nacks)))
        return self

    def _outside(self, config: Any) -> Any:
        if self.taken in config.clusters:
            raise ConfigError([Problem(f"clusters.{self.taken}", 0, 0, "", "cannot be applied")])
        return lambda: None

    def _give_up(self, problems: Sequence[Problem]) -> None:
        self.given_up = [str(each) for each in problems]

    def store(self, version: int, **resources: Any) -> None:
        """The store is read: ``clusters__web`` is clusters/web."""
        records = {}
        for key, value in resources.items():
            name = key.replace("__", "/")
            records[name] = decode(name, b'{"version":%d}\n' % version + encode(name, Draft(value)))
        bus = self.configuring.bus
        assert bus is not None
        bus._take(Stored(f"{version}-x", version, records))

    @property
    def clusters(self) -> dict[str, str]:
        return {name: each.endpoints[0].address for name, each in self.world.clusters.items()}


def at(port: int) -> dict[str, Any]:
    return {"endpoints": [f"127.0.0.1:{port}"]}


def test_without_redis_it_is_the_files(tmp_path: Path) -> None:
    process = Process(tmp_path, CLUSTER).prepare()
    assert (process.configuring.bus, process.clusters) == (None, {"web": "127.0.0.1:1"})
    assert process.configuring.bus_state() is None
    assert process.configuring.origins() == {}
    assert process.configuring.leave().called


def test_what_the_store_has_is_applied_and_acknowledged(tmp_path: Path) -> None:
    process = Process(tmp_path, BUS + CLUSTER).prepare()
    process.store(3, clusters__web=at(2), clusters__bad={})
    assert process.clusters == {"web": "127.0.0.1:2"}
    [(version, nacks)] = process.acknowledged
    assert (version, [each.name for each in nacks]) == (3, ["clusters/bad"])
    assert process.configuring.origins() == {"clusters/web": "bus, version 3"}


def test_what_cannot_be_applied_is_refused_and_the_rest_is_applied(tmp_path: Path) -> None:
    process = Process(tmp_path, BUS + CLUSTER).prepare()
    process.taken = "other"
    process.store(3, clusters__web=at(2), clusters__other=at(3))
    assert process.clusters == {"web": "127.0.0.1:2"}
    version, nacks = process.acknowledged[-1]
    assert (version, [(each.name, each.reason) for each in nacks]) == (
        3,
        [("clusters/other", "clusters.other: cannot be applied")],
    )


def test_what_is_as_it_was_is_acknowledged_too(tmp_path: Path) -> None:
    process = Process(tmp_path, BUS + CLUSTER).prepare()
    process.store(3)
    process.store(4, groups__edge={"service": "web"})
    assert process.acknowledged == [(3, []), (4, [])]
    assert process.world.version == 1


def test_what_the_files_lack_is_waited_for(tmp_path: Path) -> None:
    process = Process(tmp_path, f"{BUS}{CLUSTER}routes: {{shop: [{{to: other}}]}}").prepare()
    assert process.clusters == {}
    assert 'there is no cluster "other"' in process.configuring.waiting.reason
    process.store(3, clusters__other=at(3))
    assert process.clusters == {"web": "127.0.0.1:1", "other": "127.0.0.1:3"}
    assert process.configuring.waiting.reason == ""


@pytest.mark.parametrize(
    "text", [BUS + "clusters: {web: {}}", "redis: nowhere\n" + CLUSTER, "routes: {shop: [{to: a}]}"]
)
def test_wrong_files_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"mesh\.yaml:[0-9]+:"):
        Process(tmp_path, text).prepare()


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Process(tmp_path, "redis: nowhere\nclusters: {web: {}}").prepare()
    assert sorted(each.path for each in caught.value.problems) == ["clusters.web", "redis"]


@pytest.mark.parametrize("text", [CLUSTER, "mesh: other\n" + BUS + CLUSTER])
def test_another_redis_or_mesh_takes_a_restart(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(tmp_path, BUS + CLUSTER).prepare()
    from twisted_mesh.control.judge import Request, judge
    from twisted_mesh.control.load import Files

    async def read(before: Any) -> Any:
        files = Files(
            "mesh.yaml", (("mesh.yaml", f"admin: off\naccess_log: off\nstate: {tmp_path / 'state'}\n{text}"),)
        )
        return judge(Request("mesh.yaml", files), {})[0]

    monkeypatch.setattr(process.configuring.source, "read", read)
    process.configuring.request("test")
    assert "it has changed, which takes a restart" in process.configuring.reloading.refused

"""meshctl in the test's own process, on a reactor that lives as long as the tests, against a real server."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Coroutine, Iterator

import pytest

from tests.servers import Live, Server
from twisted_mesh.bus.client import Redis, Subscriber
from twisted_mesh.bus.config_follow import ConfigFollower
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.stored import Nack, Stored
from twisted_mesh.cli import session
from twisted_mesh.cli.main import main
from twisted_mesh.families import Families
from twisted_mesh.metrics import Registry
from twisted_mesh.model import redis as settings_of
from twisted_mesh.policy.selector import Who


@dataclass
class Said:
    """What a command printed, and its status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """The table, without its heads."""
        return [line.split() for line in self.out.splitlines()[1:]]


Meshctl = Callable[..., Said]


@pytest.fixture(scope="session")
def bus_server() -> Iterator[Server]:
    server = Server().start()
    yield server
    server.stop()


@pytest.fixture
def meshctl(
    bus_server: Server, live: Live, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Meshctl:
    """``meshctl("services")`` runs a command against an empty server; its status must be `status`, 0 if not given."""
    bus_server.flush()
    monkeypatch.setenv("MESHCTL_REDIS", bus_server.url)
    monkeypatch.setenv("MESHCTL_AUTHOR", "ann")
    monkeypatch.delenv("MESHCTL_MESH", raising=False)

    def on_reactor(begin: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        live.run(lambda: begin(live.reactor))

    monkeypatch.setattr(session, "on_reactor", on_reactor)

    def command(*arguments: str, status: int = 0) -> Said:
        capsys.readouterr()
        try:
            ended = main(arguments)
        except SystemExit as error:
            ended = int(str(error.code))
        shown = capsys.readouterr()
        assert ended == status, f"{ended}\n{shown.out}{shown.err}"
        return Said(ended, shown.out, shown.err)

    return command


class Sidecar:
    """What follows the configuration in a sidecar, and takes all that does not belong to `refuses`."""

    def __init__(self, live: Live, server: Server, node: str) -> None:
        self._live = live
        self.refuses: dict[str, str] = {}
        self.deaf = False
        live.run(lambda: self._begin(server, node))

    def _begin(self, server: Server, node: str) -> None:
        common: dict[str, Any] = {"reactor": self._live.reactor, "random": random.Random(1), "metrics": Registry()}
        settings = settings_of.parse(server.url)
        self._redis = Redis(settings, now=time.monotonic, **common)
        self._subscriber = Subscriber(settings, now=time.monotonic, **common)
        self.follower = ConfigFollower(
            self._redis,
            self._subscriber,
            Keys("default"),
            Who(node, "web", "a", {"tier": "edge"}),
            self._take,
            clock=self._live.reactor,
            now=time.monotonic,
            random=random.Random(1),
            families=Families(Registry()),
            beat=0.1,
        )
        for each in (self._redis, self._subscriber, self.follower):
            each.start()

    def _take(self, stored: Stored) -> None:
        if not self.deaf:
            there = stored.resources
            nacks = [Nack(name, there[name].version, why) for name, why in self.refuses.items() if name in there]
            self.follower.acknowledge(stored, nacks, 0.002)

    def stop(self) -> None:
        for each in (self.follower, self._subscriber, self._redis):
            self._live.run(each.stop)


@pytest.fixture
def sidecar(meshctl: Meshctl, bus_server: Server, live: Live) -> Iterator[Callable[[str], Sidecar]]:
    """``sidecar("one")`` starts the part of a sidecar that follows the configuration, and waits for its first report."""
    started: list[Sidecar] = []

    def start(node: str) -> Sidecar:
        one = Sidecar(live, bus_server, node)
        started.append(one)
        live.run(one.follower.ready)
        live.until(lambda: one.follower.reporter.taken.version == one.follower.stored.version)
        return one

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """``write(text)`` writes a file where the test runs, and returns its name."""
    monkeypatch.chdir(tmp_path)

    def one(text: str, name: str = "a.yaml") -> str:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        return name

    return one

"""What the tests of sidecars on the bus share: writing to the store, and waiting for what comes of it."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any, Callable, Optional

from twisted.internet.defer import Deferred

from tests.servers import Live, Server
from tests.support import Mesh, request, until
from twisted_mesh.bus.access import Access
from twisted_mesh.bus.client import Redis
from twisted_mesh.bus.instance import Instance
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.overrides import Override, Overrides
from twisted_mesh.bus.registry import ServiceRegistry
from twisted_mesh.bus.resource import Draft
from twisted_mesh.bus.status import Sidecar, Status
from twisted_mesh.bus.store import ConfigStore
from twisted_mesh.metrics import Registry
from twisted_mesh.model.redis import parse


class Operator:
    """Somebody with `meshctl`, on a reactor of their own."""

    def __init__(self, live: Live, server: Server, mesh: str = "default") -> None:
        self._live = live
        self._metrics = Registry()
        common: dict[str, Any] = {"random": random.Random(1), "metrics": self._metrics}

        def begin() -> None:
            reactor, keys = live.reactor, Keys(mesh)
            self.redis = Redis(parse(server.url), reactor=reactor, now=time.monotonic, mesh=mesh, **common)
            self.store = ConfigStore(self.redis, keys, clock=reactor)
            access = Access(self.redis, None, keys, reactor, wall=time.time, **common)
            self.registry = ServiceRegistry(access)
            self.overrides = Overrides(access)
            self.redis.start()

        live.run(begin)

    def stop(self) -> None:
        self._live.run(self.redis.stop)

    def ask(self, act: Callable[[], Deferred[Any]]) -> Any:
        """Do something at Redis, and wait for it."""

        async def done() -> Any:
            await self.redis.up()
            return await act()

        return self._live.run(done)

    def apply(self, **resources: Any) -> int:
        """Write resources, ``clusters__web`` for clusters/web, None to delete; returns the version."""
        changes = {
            name.replace("__", "/"): None if value is None else Draft(value) for name, value in resources.items()
        }
        written = self.ask(lambda: self.store.apply(changes, author="test", reason="a test"))
        version: int = written.version
        return version

    def register(self, service: str, port: int, id: str = "", lease: float = 60.0, **more: Any) -> None:
        instance = Instance(
            id=id or f"i{port}", service=service, address="127.0.0.1", ports={"http": port}, lease=lease, **more
        )
        self.ask(lambda: self.registry.register(instance))

    def drain(self, service: str, id: str) -> None:
        override = Override(scope="service", name=service, endpoint=id, kind="drain", ttl=600.0, author="ann")
        self.ask(lambda: self.overrides.put(override))

    def drain_no_more(self, service: str, id: str) -> None:
        self.ask(lambda: self.overrides.remove(f"service/{service}/{id}"))

    def instances(self, service: str) -> list[str]:
        view = self.ask(lambda: self.registry.instances(service))
        return [each.id for each in view.instances]

    def status(self) -> Status:
        status: Status = self.ask(self.store.status)
        return status

    def sidecar(self, node: str) -> Optional[Sidecar]:
        return next((each for each in self.status().sidecars if each.report.node == node), None)

    def acknowledged(self, node: str, version: int) -> Sidecar:
        """Wait until a sidecar has said what became of a version."""

        def has() -> Optional[Sidecar]:
            found = self.sidecar(node)
            return found if found is not None and found.report.version >= version else None

        return until(has, f"{node} at {version}")


def says(port: int, text: str) -> None:
    """Wait until calls are answered with this text."""
    until(lambda: request(port).text == text, text)


def state(mesh: Mesh) -> dict[str, Any]:
    """What /config says, as JSON."""
    import json

    found: dict[str, Any] = json.loads(mesh.get("/config?format=json").text)
    return found


def kept_file(directory: Path) -> Path:
    """The file in which a sidecar keeps what is good."""
    return until(lambda: next(directory.glob("*.kept"), None), "a file of what is kept")

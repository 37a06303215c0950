"""Following services at a real server that loses messages, is flushed, killed and paused."""

from __future__ import annotations

import random
import time
from typing import Any, Callable, Iterator

import pytest
from twisted.logger import formatEvent, globalLogPublisher

from tests.servers import Live, Server
from tests.support import until
from twisted_mesh.bus import lease_scripts
from twisted_mesh.bus.access import Access
from twisted_mesh.bus.instance import Instance, encode
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.leases import Held
from twisted_mesh.bus.registry import ServiceRegistry, ServiceView
from twisted_mesh.metrics import Registry

Make = Callable[..., Any]


def web(id: str = "web-1", **fields: Any) -> Instance:
    made: dict[str, Any] = {"id": id, "service": "web", "address": "10.0.0.1", "ports": {"http": 80}, "lease": 600.0}
    return Instance(**{**made, **fields})


class Sidecar:
    """A registry with its two connections, and what it has heard of the service ``web``."""

    def __init__(self, live: Live, server: Server, redis: Make, subscriber: Make, metrics: Registry) -> None:
        self.live = live
        self.metrics = metrics
        self.redis = redis(server.url, timeout=1.0)
        self.subscriber = subscriber(server.url, timeout=1.0)
        self.heard: list[ServiceView] = []
        self.registry = live.run(self._make)
        self.vanished: set[str] = set()
        self.following = live.run(lambda: self.registry.follow("web", self._hear))
        self.wait(lambda view: view.synced)

    def _hear(self, view: ServiceView) -> None:
        self.heard.append(view)
        self.vanished |= view.vanished

    def _make(self) -> ServiceRegistry:
        # An hour off: only Redis's clock counts.
        access = Access(
            self.redis,
            self.subscriber,
            Keys("shop"),
            self.live.reactor,
            random.Random(1),
            lambda: time.time() - 3600,
            self.metrics,
            poll=0.1,
        )
        made = ServiceRegistry(access)
        made.start()
        return made

    @property
    def view(self) -> ServiceView:
        return self.heard[-1]

    def ids(self) -> set[str]:
        return set(self.view.records) if self.heard else set()

    def wait(self, condition: Callable[[ServiceView], Any], what: str = "") -> None:
        until(lambda: self.heard and condition(self.view), what or "the view")

    def register(self, *instances: Instance) -> None:
        for each in instances:
            self.live.run(lambda each=each: self.registry.register(each))

    def counted(self, family: str) -> float:
        found: Any = self.metrics.family(family)
        return sum(cell.value for _, cell in found.series())


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server().start()
    yield one
    one.stop()


@pytest.fixture
def sidecar(live: Live, server: Server, redis: Make, subscriber: Make, metrics: Registry) -> Iterator[Sidecar]:
    one = Sidecar(live, server, redis, subscriber, metrics)
    yield one
    live.run(one.registry.stop)


def test_added_changed_removed(sidecar: Sidecar) -> None:
    """Each change is heard as it happens, by its message alone."""
    sidecar.register(web(), web("web-2"))
    sidecar.wait(lambda view: set(view.records) == {"web-1", "web-2"})
    sidecar.register(web(weight=5))
    sidecar.wait(lambda view: view.records["web-1"].weight == 5)
    sidecar.live.run(lambda: sidecar.registry.deregister("web", "web-2"))
    sidecar.wait(lambda view: set(view.records) == {"web-1"})
    assert sidecar.counted("twisted_mesh_bus_gaps_total") == 0


def test_an_instance_that_is_not_renewed_is_gone(sidecar: Sidecar) -> None:
    """Nobody says anything: the follower looks when the lease ends.  Those that are renewed stay."""
    sidecar.register(web(), web("crashed", lease=0.6, heartbeat=0.2), web("web-3"))
    sidecar.wait(lambda view: len(view.records) == 3)
    began = time.monotonic()
    sidecar.wait(lambda view: "crashed" not in view.records)
    assert time.monotonic() - began < 15
    assert sidecar.ids() == {"web-1", "web-3"}


def test_lost_messages_are_read_again(sidecar: Sidecar, server: Server) -> None:
    """What the channel never carried is found by the poll."""
    sidecar.register(web(), web("web-2"))
    sidecar.wait(lambda view: len(view.records) == 2)
    silent = lease_scripts.PUT.replace("redis.call('PUBLISH', base, text)", "")
    record = encode(web("web-3"))
    server("EVAL", silent, 1, "mesh:{shop}:", "service", "web", "web-3", record, 600_000, "")
    sidecar.wait(lambda view: "web-3" in view.records, "the poll")


def test_doubled_messages_change_nothing(sidecar: Sidecar, server: Server) -> None:
    """A message that comes again is known already."""
    sidecar.register(web())
    sidecar.wait(lambda view: "web-1" in view.records)
    (change,) = server("LRANGE", "mesh:{shop}:service:web:changes", -1, -1)
    before = len(sidecar.heard)
    for _ in range(3):
        server("PUBLISH", "mesh:{shop}:service:web", change)
    server("PUBLISH", "mesh:{shop}:service:web", b"nonsense")
    sidecar.register(web("web-2"))
    sidecar.wait(lambda view: "web-2" in view.records)
    assert len(sidecar.heard) == before + 1


def test_a_server_that_comes_back_empty(sidecar: Sidecar, server: Server) -> None:
    """The view is stale while it is away, and then says what is there now: nothing, until it is registered again."""
    sidecar.register(web())
    sidecar.wait(lambda view: "web-1" in view.records)
    server.kill()
    sidecar.wait(lambda view: not view.synced)
    assert sidecar.ids() == {"web-1"}
    assert sidecar.view.stale_since is not None
    server.start()
    sidecar.wait(lambda view: view.synced and not view.records)
    assert sidecar.vanished == {"web-1"}
    held = [Held("web", "web-1", 600.0)]
    assert sidecar.live.run(lambda: sidecar.registry.renew(held)) == [("web", "web-1")]
    sidecar.register(web())
    sidecar.wait(lambda view: "web-1" in view.records)


def test_a_flush_is_noticed_without_a_message(sidecar: Sidecar, server: Server) -> None:
    """The connection stays; the poll finds another version."""
    sidecar.register(web())
    sidecar.wait(lambda view: "web-1" in view.records)
    server.flush()
    sidecar.wait(lambda view: not view.records)
    sidecar.register(web("web-9"))
    sidecar.wait(lambda view: set(view.records) == {"web-9"})


def test_a_server_that_is_paused(sidecar: Sidecar, server: Server) -> None:
    """It answers nothing for a while: what was known stays, and what happened meanwhile is known afterwards."""
    sidecar.register(web(), web("web-2"))
    sidecar.wait(lambda view: len(view.records) == 2)
    server.pause()
    try:
        sidecar.wait(lambda view: not view.synced)
        assert sidecar.ids() == {"web-1", "web-2"}
    finally:
        server.resume()
    sidecar.wait(lambda view: view.synced)
    assert sidecar.ids() == {"web-1", "web-2"}


def test_only_what_is_named_is_followed(sidecar: Sidecar, server: Server) -> None:
    """Other services cost nothing: no channel, no reading."""
    channels = server("PUBSUB", "CHANNELS")
    assert channels == [b"mesh:{shop}:service:web"]
    read = sidecar.counted("twisted_mesh_bus_changes_total")
    sidecar.register(web("x", service="other"))
    sidecar.register(web())
    sidecar.wait(lambda view: "web-1" in view.records)
    assert sidecar.counted("twisted_mesh_bus_changes_total") == read + 1
    sidecar.live.run(sidecar.following.stop)
    until(lambda: server("PUBSUB", "CHANNELS") == [])
    assert sidecar.live.run(sidecar.registry.views) == []


def test_two_who_follow_share_a_view(sidecar: Sidecar) -> None:
    """The second hears at once, and the first goes on when the second stops."""
    sidecar.register(web())
    sidecar.wait(lambda view: "web-1" in view.records)
    second: list[ServiceView] = []
    following = sidecar.live.run(lambda: sidecar.registry.follow("web", second.append))
    assert second == [sidecar.view]
    sidecar.live.run(following.stop)
    sidecar.register(web("web-2"))
    sidecar.wait(lambda view: "web-2" in view.records)
    assert len(second) == 1


def test_a_full_server_loses_no_instance(sidecar: Sidecar, server: Server) -> None:
    """Heartbeats and readings work where no memory is left."""
    sidecar.register(web(lease=1.0, heartbeat=0.3), web("web-2"))
    sidecar.wait(lambda view: len(view.records) == 2)
    server("CONFIG", "SET", "maxmemory", 1)
    began = time.monotonic()
    while time.monotonic() - began < 1.5:
        assert sidecar.live.run(lambda: sidecar.registry.renew([Held("web", "web-1", 1.0)])) == []
    assert sidecar.ids() == {"web-1", "web-2"}
    server("CONFIG", "SET", "maxmemory", 0)


def test_what_redis_does_not_allow_is_said_once(sidecar: Sidecar, server: Server) -> None:
    """A user without the right to run scripts: what was known stays, and it goes on when that is put right."""
    sidecar.register(web())
    sidecar.wait(lambda view: "web-1" in view.records)
    said: list[str] = []

    def observe(event: Any) -> None:
        text = formatEvent(event)
        if "cannot be followed" in text:
            said.append(text)

    globalLogPublisher.addObserver(observe)
    try:
        server("ACL", "SETUSER", "default", "-evalsha")
        until(lambda: said)
        failed = sidecar.counted("twisted_mesh_bus_commands_total")
        until(lambda: sidecar.counted("twisted_mesh_bus_commands_total") > failed + 3)
        server("ACL", "SETUSER", "default", "+evalsha")
    finally:
        globalLogPublisher.removeObserver(observe)
    assert len(said) == 1
    assert "services cannot be followed: redis 127.0.0.1:" in said[0]
    assert "NOPERM" in said[0]
    assert sidecar.ids() == {"web-1"}
    sidecar.register(web("web-2"))
    sidecar.wait(lambda view: "web-2" in view.records)

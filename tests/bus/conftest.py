"""Fixtures that talk to real servers."""

from __future__ import annotations

import random
import time
from typing import Any, Callable, Iterator, Union

import pytest
from twisted.internet.task import Clock

from tests.bus.at_once import AtOnce
from tests.bus.by_hand import KEYS, ByHand
from tests.servers import Live, Server
from twisted_mesh.bus.client import Redis, Subscriber
from twisted_mesh.bus.store import ConfigStore
from twisted_mesh.bus.store_keys import store_channel
from twisted_mesh.metrics import Registry
from twisted_mesh.model.redis import Redis as Settings
from twisted_mesh.model.redis import RedisUrl


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server for the tests of one file."""
    one = Server().start()
    yield one
    one.stop()


def settings_of(where: Union[str, Settings], **changes: Any) -> Settings:
    """Return settings: a URL's, with changes."""
    return where if isinstance(where, Settings) else Settings(url=RedisUrl.parse(where), **changes)


@pytest.fixture
def metrics() -> Registry:
    """Where the clients of a test count."""
    return Registry()


@pytest.fixture
def redis(live: Live, metrics: Registry) -> Iterator[Callable[..., Redis]]:
    """``redis(url, **settings)`` returns a client that was started; ``wait=False`` does not wait until it is up."""
    yield from _started(live, metrics, Redis)


@pytest.fixture
def subscriber(live: Live, metrics: Registry) -> Iterator[Callable[..., Subscriber]]:
    """``subscriber(url, **settings)`` returns a subscriber that was started, as `redis` does."""
    yield from _started(live, metrics, Subscriber)


def _started(live: Live, metrics: Registry, cls: Any) -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def make(where: Union[str, Settings], *, wait: bool = True, mesh: str = "shop", **changes: Any) -> Any:
        def begin() -> Any:
            one = cls(
                settings_of(where, **changes),
                reactor=live.reactor,
                random=random.Random(1),
                metrics=metrics,
                now=time.monotonic,
                mesh=mesh,
            )
            one.start()
            made.append(one)
            return one

        one = live.run(begin)
        if wait:
            live.until(lambda: one.connected, f"a connection: {one!r}")
        return one

    yield make
    for each in made:
        live.run(each.stop)


@pytest.fixture
def writer(server: Server) -> Iterator[ByHand]:
    """Another program at the configuration store of an empty server, which hears of new versions."""
    one = ByHand(server, store_channel(KEYS))
    yield one
    one.close()


@pytest.fixture
def direct(server: Server) -> AtOnce:
    """An empty server whose scripts run at once, and whose replies can be lost."""
    server("FLUSHALL")
    return AtOnce(server)


@pytest.fixture
def store(direct: AtOnce) -> ConfigStore:
    """The configuration store there."""
    return ConfigStore(direct, KEYS, clock=Clock())

"""A connection that is kept, as both kinds of connection build on it."""

from __future__ import annotations

import random
import time
from typing import Any, Optional

from tests.bus.conftest import settings_of
from tests.servers import Live, Server
from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.kept_link import KeptLink
from twisted_mesh.metrics import Registry


class Noting(KeptLink):
    """Notes what becomes of its connection."""

    def __init__(self, url: str, live: Live, metrics: Registry) -> None:
        self.seen: list[str] = []
        around: Any = {
            "reactor": live.reactor,
            "random": random.Random(1),
            "metrics": metrics,
            "now": time.monotonic,
            "mesh": "shop",
        }
        super().__init__(settings_of(url, timeout=1.0), "noting", "noting", around)

    def _opened(self, link: Any) -> None:
        super()._opened(link)
        self.seen.append("up")

    def _closed(self, why: BusError) -> None:
        super()._closed(why)
        self.seen.append("down")

    def end(self) -> None:
        self._upkeep.stop()


def test_it_is_found_opened_and_found_again(live: Live, redis_server: Server, metrics: Registry) -> None:
    made: Optional[Noting] = None

    def begin() -> Noting:
        one = Noting(redis_server.url, live, metrics)
        assert one.server == ""
        one.start()
        return one

    made = live.run(begin)
    assert made is not None
    try:
        live.until(lambda: made.seen == ["up"], "a connection")
        assert made.server == redis_server.address
        redis_server.kill()
        live.until(lambda: made.seen == ["up", "down"], "its end")
        assert made.server == ""
        redis_server.start()
        live.until(lambda: made.seen == ["up", "down", "up"], "another one")
        assert 'twisted_mesh_bus_connects_total{link="noting"} 2' in metrics.expose().decode()
    finally:
        live.run(made.end)

"""A rate limit that four sidecars count together, at a real Redis that stops and goes away."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional, Sequence

import aiohttp
import pytest

from tests.servers import Server
from tests.support import Mesh, free_ports, request, until

FILTER = "listeners/edge/ratelimit"
RATE = 200
SIDECARS = 4


class Load(NamedTuple):
    """What clients saw: calls by status, and in how many seconds."""

    statuses: Counter[int]
    seconds: float

    @property
    def calls(self) -> int:
        return sum(self.statuses.values())

    @property
    def rate(self) -> float:
        return self.statuses[200] / self.seconds


class Edges:
    """Sidecars with the same listener, whose filter is the limit."""

    def __init__(self, mesh: Callable[..., Mesh], server: Server, directory: Path, count: int, **limit: Any) -> None:
        self.server = server
        self.ports = free_ports(count)
        self.running = []
        for number, port in enumerate(self.ports):
            own = directory / f"n{number}"
            own.mkdir()
            self.running.append(mesh(self._config(number, port, limit), directory=own, env={"MESH_REDIS": server.url}))
        until(lambda: all(self.knows(each) == count for each in self.running), "each knows of the others")

    def _config(self, number: int, port: int, limit: dict[str, Any]) -> str:
        limits = ", ".join(f"{name}: {value}" for name, value in {"shared": "api", **limit}.items())
        return (
            f"node: {{id: n{number}}}\naccess_log: off\n"
            f"listeners: {{edge: {{bind: '127.0.0.1:{port}', filters: [ratelimit: {{{limits}}}],"
            " routes: [reply: {status: 200}]}}"
        )

    def knows(self, sidecar: Mesh) -> Any:
        """How many sidecars it thinks that there are: it hears of it with each answer of Redis."""
        request(self.ports[self.running.index(sidecar)])
        return sidecar.metric("twisted_mesh_filter_ratelimit_sidecars", filter=FILTER)

    def count(self, name: str, **labels: str) -> float:
        """The sum of all sidecars."""
        name = f"twisted_mesh_filter_ratelimit_{name}"
        return sum(each.metric(name, filter=FILTER, **labels) for each in self.running)

    def asked(self) -> float:
        return sum(self.count("asked_total", result=each) for each in ("granted", "partly", "none", "late", "failed"))

    def load(self, rate: float, seconds: float, drained: bool = False) -> Load:
        """Have calls come at a rate, in turn at each sidecar, whether or not they are answered.

        :param drained: use up the burst first, uncounted.
        """

        async def load() -> Load:
            async with Clients(self.ports) as clients:
                if drained:
                    while not clients.statuses[429]:
                        await clients.call_for(0.1, 5 * rate)
                    # What was leased meanwhile.
                    await clients.call_for(1.5, rate)
                return await clients.call_for(seconds, rate)

        return asyncio.run(load())


class Clients:
    """Those who call; each call is of its own."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.statuses: Counter[int] = Counter()
        self._ports = itertools.cycle(ports)
        self._calls: set[asyncio.Future[None]] = set()

    async def __aenter__(self) -> Clients:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=256))
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.gather(*self._calls)
        await self._session.close()

    async def _call(self) -> None:
        async with self._session.get(f"http://127.0.0.1:{next(self._ports)}/") as response:
            await response.read()
            self.statuses[response.status] += 1

    async def call_for(self, seconds: float, rate: float) -> Load:
        """Call at a rate for some time; what is answered in it counts, and nobody waits for the rest."""
        began, sent = time.monotonic(), 0
        self.statuses.clear()
        while (now := time.monotonic() - began) < seconds:
            for _ in range(int(now * rate) - sent):
                self._calls.add(call := asyncio.ensure_future(self._call()))
                call.add_done_callback(self._calls.discard)
                sent += 1
            await asyncio.sleep(0.002)
        return Load(self.statuses.copy(), now)


@pytest.fixture
def edges(mesh: Any, redis_server: Server, tmp_path: Path) -> Callable[..., Edges]:
    def make(count: int = SIDECARS, **limit: Any) -> Edges:
        return Edges(mesh, redis_server, tmp_path, count, **limit)

    return make


def test_four_sidecars_at_twice_the_limit_admit_what_it_says(edges: Any) -> None:
    """Within 2 %; and at least nine of ten calls are decided without a round trip to Redis.

    The budget and the burst are such that a machine which stands still for a second changes nothing.
    """
    all_of_them = edges(rate=f"{RATE}/s", burst=3 * RATE, budget="2s")
    for _ in range(4):
        load = all_of_them.load(2 * RATE, 6.0, drained=True)
        if load.calls >= 1.9 * RATE * load.seconds:
            break
        # The machine was busy with something else: what did not come was not admitted either.
    assert set(load.statuses) == {200, 429}
    assert load.rate == pytest.approx(RATE, rel=0.02)
    calls = sum(all_of_them.count("calls_total", result=each) for each in ("admitted", "near", "refused"))
    assert all_of_them.asked() <= 0.1 * calls


def test_each_admits_its_share_while_redis_stands_still_or_is_gone(edges: Any, redis_server: Server) -> None:
    all_of_them = edges(rate=f"{RATE}/s", burst=RATE, budget="250ms")
    redis_server.pause()
    # Calls never wait for longer than the budget, also those that found out.
    assert set(all_of_them.load(2 * RATE, 2.0).statuses) == {200, 429}
    alone = all_of_them.count("alone_total")
    assert alone > 0
    stopped = all_of_them.load(2 * RATE, 2.0)
    assert stopped.rate <= 1.02 * RATE + RATE / stopped.seconds
    redis_server.resume()
    redis_server.kill()
    until(lambda: all_of_them.running[0].metric("twisted_mesh_bus_connected", link="commands") == 0, "it is gone")
    gone = all_of_them.load(2 * RATE, 2.0)
    assert 0.5 * RATE <= gone.rate <= 1.02 * RATE + RATE / gone.seconds
    redis_server.start()

    def together() -> Optional[bool]:
        alone = all_of_them.count("alone_total")
        all_of_them.load(2 * RATE, 0.3)
        return all_of_them.count("alone_total") == alone or None

    until(together, "they count together again")
    said = "of the shared limit api one part in 4 is admitted here until it answers"
    assert all(said in each.output() for each in all_of_them.running)


def test_what_one_sidecar_admits_the_other_knows_of(edges: Any) -> None:
    """Exactly, where the burst is small: no unit is at the wrong sidecar."""
    two = edges(2, rate="3/h", burst=3, key="['header:x-team']", headers="true", budget="5s")

    def ask(port: int, team: str) -> Any:
        return request(two.ports[port], headers={"x-team": team})

    red = [ask(0, "red"), ask(1, "red"), ask(0, "red"), ask(1, "red"), ask(0, "red")]
    assert [each.status for each in red] == [200, 200, 200, 429, 429]
    assert [each.header("ratelimit-remaining") for each in red[:4]] == ["2", "1", "0", "0"]
    assert int(red[3].header("retry-after")) in range(1100, 1201)
    assert ask(1, "blue").status == 200
    # And who applies it no more is no longer one of them.
    second = two.running[1].config
    second.write_text(second.read_text().replace("shared: api", "shared: other"))
    until(lambda: two.knows(two.running[0]) == 1, "one is left")
    two.running[0].signal(signal.SIGTERM)
    assert two.running[0].wait() == 0
    assert two.server("ZCARD", "mesh:{default}:limit:api:sidecars") == 0
    names = [each.decode() for each in two.server("KEYS", "mesh:{default}:limit:api:key:*")]
    # Those who say no team are one more.
    assert len(names) == 3 and not any("red" in each for each in names)

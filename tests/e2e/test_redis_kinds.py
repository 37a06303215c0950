"""Whole sidecars on every kind of Redis: what an operator changes takes effect, and what happens to Redis harms no call."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Iterator

import pytest

from tests.e2e.bus import Operator, says
from tests.e2e.test_bus import Traffic, at, base
from tests.redis_groups import Cluster, Watched
from tests.servers import Live, Server
from tests.support import Mesh, free_port, until
from tests.tls_front import Authority, TlsFront

MakeServer = Callable[..., Server]


class Shop:
    """A sidecar whose `redis:` is given, its operator, and two upstreams."""

    def __init__(self, running: Mesh, operator: Operator, port: int, upstreams: list[Any]) -> None:
        self.running = running
        self.operator = operator
        self.port = port
        self._upstreams = upstreams
        self._turn = 0

    def connected(self) -> bool:
        return (
            self.running.metric("twisted_mesh_bus_connected", link="commands")
            + self.running.metric("twisted_mesh_bus_connected", link="messages")
        ) == 2

    def change(self) -> None:
        """Have another upstream answer, and wait until it does."""
        self._turn += 1
        chosen = self._upstreams[self._turn % 2]
        version = self.operator.apply(clusters__web=at(chosen))
        says(self.port, f"{chosen.name} /")
        self.operator.acknowledged("web-1", version)


@pytest.fixture
def shop(live: Live, mesh: Any, tmp_path: Path, http_upstream: Any) -> Iterator[Callable[..., Shop]]:
    """``shop(redis, url)`` starts a sidecar with this `redis:`; its operator uses the URL."""
    operators: list[Operator] = []

    def start(redis: str, url: str) -> Shop:
        port, upstreams = free_port(), [http_upstream("one"), http_upstream("two")]
        head = f"node: {{id: web-1}}\nstate: {tmp_path / 'state'}\nredis: {redis}\n"
        running = mesh(head + base(port, upstreams[0].address), env={"MESH_REDIS": "", "SECRET": "p@ss"})
        server: Any = SimpleNamespace(url=url)
        operators.append(Operator(live, server))
        return Shop(running, operators[-1], port, upstreams)

    yield start
    for each in operators:
        each.stop()


def test_a_unix_socket_and_the_acl_user_of_the_documentation(shop: Any, redis_server: Server) -> None:
    """What docs/redis.md allows is enough for all that a sidecar does."""
    rules = "resetkeys ~mesh:{default}:* resetchannels &mesh:{default}:* +@all -@admin -@dangerous"
    redis_server("ACL", "SETUSER", "mesh", "on", ">p@ss", *rules.split())
    one = shop(
        f'{{url: "unix://{redis_server.socket}", username: mesh, password: "${{SECRET}}"}}',
        f"redis://mesh:p%40ss@{redis_server.address}",
    )
    one.change()
    assert "p@ss" not in one.running.get("/config").text
    assert "NOPERM" not in one.running.output()


def test_tls_with_a_client_certificate(shop: Any, redis_servers: MakeServer, tmp_path: Path) -> None:
    redis_server = redis_servers("--appendonly", "yes", "--appendfsync", "always")
    authority = Authority(tmp_path)
    client = authority.issue("client")
    front = TlsFront(redis_server.port, authority.issue("server", ["redis.example"]), authority.ca)
    try:
        one = shop(
            f"{{url: 'rediss://{front.address}', server_name: redis.example, ca: 'file:{authority.ca}', "
            f"certificate: {client}}}",
            redis_server.url,
        )
        one.change()
        redis_server.kill()
        until(lambda: not one.connected())
        redis_server.start()
        until(one.connected)
        one.change()
    finally:
        front.stop()


def test_a_cluster_of_which_one_node_is_named(shop: Any) -> None:
    cluster = Cluster()
    try:
        named = next(each for each in cluster.masters if each is not cluster.owner("mesh:{default}:x"))
        one = shop(f"redis://{named.address}", named.url)
        one.change()
    finally:
        cluster.stop()


def test_a_failover_under_traffic(shop: Any) -> None:
    """Three Sentinels; the master hangs; no call fails, and the next change comes from the new one."""
    group = Watched(password="pw")
    try:
        one = shop(f"'{group.url}'", group.url)
        one.change()
        traffic = Traffic(one.port)
        traffic.goes_on()
        group.servers[0].pause()
        until(lambda: group.servers[1]("ROLE")[0] == b"master")
        until(one.connected)
        one.change()
        traffic.goes_on()
        traffic.end()
        assert one.running.metric("twisted_mesh_bus_connects_total", link="commands") >= 2
    finally:
        group.stop()


def test_a_wrong_password_that_is_put_right(shop: Any, redis_servers: MakeServer) -> None:
    """The sidecar serves by its file until it is let in; what is wrong can be seen."""
    server = redis_servers(password="other")
    one = shop(f"redis://:secret@{server.address}", f"redis://:secret@{server.address}")
    says(one.port, "one /")
    until(lambda: "WRONGPASS" in one.running.get("/ready").text)
    assert "secret" not in one.running.output() + one.running.get("/ready").text
    server("CONFIG", "SET", "requirepass", "secret")
    until(one.connected)
    one.change()


def test_a_full_redis_harms_no_call_and_is_seen(shop: Any, redis_server: Server) -> None:
    one = shop(redis_server.url, redis_server.url)
    one.change()
    traffic = Traffic(one.port)
    redis_server("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(Exception, match="OOM"):
        one.operator.apply(clusters__web=None)
    traffic.goes_on()
    assert one.connected()
    redis_server("CONFIG", "SET", "maxmemory", 0)
    one.change()
    traffic.end()


def test_a_slow_redis_harms_no_call(shop: Any, redis_server: Server) -> None:
    one = shop(f"{{url: '{redis_server.url}', timeout: 500ms}}", redis_server.url)
    one.change()
    traffic = Traffic(one.port)
    for wait in (300, 1500):
        redis_server("CLIENT", "PAUSE", wait, "ALL")
        traffic.goes_on(200)
    until(one.connected)
    one.change()
    traffic.end()

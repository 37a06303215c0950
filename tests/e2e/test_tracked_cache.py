"""A cache in the sidecar that the server keeps honest: hits, changes from elsewhere, and a server that is lost."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, Iterator

import pytest
import redis

from tests.servers import Server
from tests.support import Mesh, free_port, start_mesh, until


class Cached:
    """A sidecar with a cache, and a client."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.server = server
        self.port = free_port()
        route = {"to": "server", "filters": [{"tracked_cache": {"commands": ["GET", "HGETALL", "LRANGE"]}}]}
        listener = {"protocol": "redis", "bind": f"127.0.0.1:{self.port}", "routes": [route]}
        config = {"listeners": {"cache": listener}, "clusters": {"server": {"endpoints": [server.address]}}}
        self.mesh: Mesh = start_mesh(json.dumps(config), directory)
        self.client = self.new_client()

    def new_client(self, **options: Any) -> Any:
        return redis.Redis("127.0.0.1", self.port, protocol=2, socket_timeout=20, **options)

    def gets(self) -> int:
        """How many GETs the server has answered."""
        lines = self.server("INFO", "commandstats").decode().splitlines()
        return sum(
            int(line.partition("calls=")[2].partition(",")[0]) for line in lines if line.startswith("cmdstat_get:")
        )

    def warm(self, key: str = "warm") -> None:
        """Read until it comes out of the cache."""

        def cached() -> bool:
            before = self.gets()
            self.client.get(key)
            return self.gets() == before

        until(cached)


@pytest.fixture
def cached(redis_server: Server, tmp_path: Path) -> Iterator[Cached]:
    one = Cached(redis_server, tmp_path)
    yield one
    one.client.close()
    one.mesh.stop()


def test_hits_and_changes_from_everywhere(cached: Cached) -> None:
    client, server = cached.client, cached.server
    server("SET", "a", 1)
    cached.warm("a")
    before = cached.gets()
    for _ in range(50):
        assert client.get("a") == b"1"
    assert cached.gets() == before
    # What somebody else writes is seen soon, what this client writes at once.
    server("SET", "a", 2)
    until(lambda: client.get("a") == b"2")
    for number in range(200):
        client.set("a", number)
        assert client.get("a") == b"%d" % number
    with client.pipeline(transaction=True) as pipe:
        pipe.set("a", "x").execute()
    assert client.get("a") == b"x"
    client.eval("return redis.call('SET', KEYS[1], 'y')", 1, "a")
    assert client.get("a") == b"y"
    client.delete("a")
    assert client.get("a") is None
    for flush in (client.flushall, client.flushdb):
        client.set("a", 1)
        cached.warm("a")
        flush()
        assert client.get("a") is None
    # What would change everything without a word of the server is refused.
    with pytest.raises(redis.ResponseError, match="SWAPDB"):
        client.swapdb(0, 1)
    client.set("a", 1)
    assert client.get("a") == b"1"
    server("FLUSHALL")
    until(lambda: client.get("a") is None)


def test_databases_and_versions_are_kept_apart(cached: Cached) -> None:
    cached.server("HSET", "h", "f", "v")
    cached.warm()
    other, third = cached.new_client(db=1), redis.Redis("127.0.0.1", cached.port, protocol=3)
    for _ in range(3):
        assert cached.client.hgetall("h") == {b"f": b"v"}
        assert other.hgetall("h") == {}
        assert third.hgetall("h") == {b"f": b"v"}


def test_a_server_that_is_lost_takes_everything_with_it(cached: Cached) -> None:
    cached.server("SET", "a", 1)
    cached.warm("a")
    cached.server.kill()

    def fails() -> bool:
        try:
            cached.client.get("a")
        except redis.RedisError:
            return True
        return False

    # Nothing is given out that nobody keeps honest.
    until(fails)
    cached.server.start()
    cached.server("SET", "a", 2)
    until(lambda: cached.client.get("a") == b"2")
    cached.warm("a")
    assert "everything kept is let go" in cached.mesh.output()


def test_no_client_ever_reads_less_than_it_has_seen(cached: Cached) -> None:
    """Counters only grow, whoever looks at them, while others write through the sidecar and beside it."""
    cached.server("SET", "n", 0)
    cached.warm("n")
    going, wrong = threading.Event(), []

    def look() -> None:
        client, last = cached.new_client(), 0
        while not going.is_set():
            seen = int(client.get("n"))
            if seen < last:
                wrong.append((last, seen))
            last = seen

    threads = [threading.Thread(target=look) for _ in range(4)]
    for each in threads:
        each.start()
    writer = cached.new_client()
    for number in range(600):
        last = writer.incr("n") if number % 2 else int(cached.server("INCR", "n"))
        assert int(writer.get("n")) >= (last if number % 2 else 0)
    going.set()
    for each in threads:
        each.join(20)
    assert wrong == []
    assert cached.client.get("n") == b"600" or until(lambda: cached.client.get("n") == b"600")

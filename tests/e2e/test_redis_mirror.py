"""One Redis exchanged for another under the clients' feet: copies of writes, and reads that are compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator

import pytest
import redis

from tests.servers import Server
from tests.support import Mesh, free_port, start_mesh, until


class Move:
    """A sidecar that copies from one server to another."""

    def __init__(self, directory: Path, mirror: dict[str, Any]) -> None:
        self.old, self.new = Server().start(), Server().start()
        self.port = free_port()
        routes = [{"to": "old", "mirror": {"cluster": "new", **mirror}, "timeout": "5s"}]
        config = {
            "listeners": {"cache": {"protocol": "redis", "bind": f"127.0.0.1:{self.port}", "routes": routes}},
            "clusters": {"old": {"endpoints": [self.old.address]}, "new": {"endpoints": [self.new.address]}},
        }
        self.mesh: Mesh = start_mesh(json.dumps(config), directory)
        self.client = redis.Redis("127.0.0.1", self.port, protocol=2, socket_timeout=20)

    def counted(self, family: str, result: str) -> float:
        text = self.mesh.get("/metrics").text
        found = [
            each for each in text.splitlines() if each.startswith(f"twisted_mesh_upstream_mirror_{family}_total{{")
        ]
        return sum(float(each.rpartition(" ")[2]) for each in found if f'result="{result}"' in each)

    def stop(self) -> None:
        self.client.close()
        self.mesh.stop()
        self.old.stop()
        self.new.stop()


@pytest.fixture
def move(request: Any, tmp_path: Path) -> Iterator[Move]:
    one = Move(tmp_path, request.param)
    yield one
    one.stop()


@pytest.mark.parametrize("move", [{"command": "@write"}], indirect=True)
def test_writes_are_copied_in_their_order(move: Move) -> None:
    client = move.client
    for number in range(50):
        client.set("last", number)
        client.rpush("list", number)
    client.mset({f"k{each}": each for each in range(10)})
    pipe = client.pipeline(transaction=False)
    for number in range(300):
        pipe.incr("counter").get("counter").lpush("other", number)
        # These do something else each time.
        pipe.xadd("stream", {"n": number}).sadd("set", number, -number).spop("set")
    pipe.execute()
    assert client.get("last") == b"49"
    until(lambda: move.counted("calls", "answered") == 50 * 2 + 1 + 5 * 300)
    assert move.new("XRANGE", "stream", "-", "+") == move.old("XRANGE", "stream", "-", "+")
    assert sorted(move.new("SMEMBERS", "set")) == sorted(move.old("SMEMBERS", "set")) != []
    for key in ("last", "counter", "k9"):
        assert move.new("GET", key) == move.old("GET", key)
    assert move.new("LRANGE", "list", 0, -1) == move.old("LRANGE", "list", 0, -1)
    assert move.new("LRANGE", "other", 0, -1) == move.old("LRANGE", "other", 0, -1)
    # Reads were not copied, and a transaction is not.
    with client.pipeline(transaction=True) as multi:
        multi.set("t", 1).execute()
    until(lambda: move.counted("calls", "skipped_session") == 2)
    assert move.new("EXISTS", "t") == 0
    # The new one is lost: nobody notices.
    move.new.kill()
    assert client.set("last", "x")
    assert client.get("last") == b"x"
    until(lambda: move.counted("calls", "failed") >= 1)


@pytest.mark.parametrize("move", [{"compare": {}}], indirect=True)
def test_replies_are_compared(move: Move) -> None:
    client = move.client
    for server in (move.old, move.new):
        server("SET", "same", "value")
        server("SET", "number", 1)
    move.old("SET", "only", "here")
    pipe = client.pipeline(transaction=False)
    pipe.get("same").get("only").get("same")
    assert pipe.execute() == [b"value", b"here", b"value"]
    until(lambda: move.counted("compared", "different") == 1)
    assert move.counted("compared", "same") == 2
    # Writes that give something else are counted at once.
    move.new("SET", "number", 5)
    assert client.incr("number") == 2
    until(lambda: move.counted("compared", "different") == 2)
    said = move.mesh.output()
    assert "the mirror new answers GET only in another way: 10 bytes of $ and 5 bytes of $" in said
    assert "here" not in said.replace("where", "")


@pytest.mark.parametrize("move", [{"compare": {}}], indirect=True)
def test_what_is_written_in_between_is_no_difference(move: Move) -> None:
    client = move.client
    for number in range(200):
        client.set("hot", number)
        client.get("hot")
    until(lambda: move.counted("compared", "same") == 400)
    assert move.counted("compared", "different") == 0

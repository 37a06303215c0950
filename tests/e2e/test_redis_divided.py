"""Commands whose keys routes send to different clusters, with real servers and a client library."""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest
import redis

from tests.e2e.test_upstreams import Start
from tests.servers import Server
from tests.support import free_port


def test_keys_of_several_clusters(mesh: Start, redis_servers: Callable[..., Server]) -> None:
    servers = {name: redis_servers() for name in ("a", "b", "rest")}
    port = free_port()
    routes: list[dict[str, Any]] = [{"match": {"key": {"prefix": f"{name}:"}}, "to": name} for name in ("a", "b")]
    config = {
        "listeners": {
            "cache": {"protocol": "redis", "bind": f"127.0.0.1:{port}", "routes": [*routes, {"to": "rest"}]},
        },
        "clusters": {name: {"endpoints": [each.address]} for name, each in servers.items()},
    }
    mesh(json.dumps(config))
    with redis.Redis("127.0.0.1", port, protocol=2, socket_timeout=20) as client:
        large = b"v" * 700_000
        assert client.mset({"a:1": "A", "b:1": "B", "x": "X", "a:2": large, "b:2": large})
        assert [sorted(each("KEYS", "*")) for each in servers.values()] == [[b"a:1", b"a:2"], [b"b:1", b"b:2"], [b"x"]]
        assert client.mget("x", "b:1", "none", "a:2", "a:1", "b:2") == [b"X", b"B", None, large, b"A", large]
        assert client.delete("a:2", "b:2", "none") == 2
        assert client.exists("a:1", "a:1", "b:1", "x", "none") == 4
        with pytest.raises(redis.ResponseError, match="different clusters"):
            client.rename("a:1", "b:3")
        # In their order, whatever stands before and behind.
        pipe = client.pipeline(transaction=False)
        for each in range(100):
            pipe.mset({f"a:{each}": each, f"b:{each}": each, f"{each}": each})
            pipe.mget(f"{each}", f"b:{each}", f"a:{each}").get(f"b:{each}").delete(f"a:{each}", f"b:{each}")
        replies = pipe.execute()
        assert replies[1::4] == [[b"%d" % each] * 3 for each in range(100)]
        assert replies[2::4] == [b"%d" % each for each in range(100)]
        assert replies[3::4] == [2] * 100
        # Of one cluster, whichever it is, also where EXEC itself would have another route.
        assert client.pipeline().set("b:1", 1).get("b:1").execute() == [True, b"1"]
        with pytest.raises(redis.ResponseError, match="different clusters"):
            client.pipeline().set("a:1", 1).set("b:1", 2).execute()
        assert client.get("b:1") == b"1"
        servers["b"].kill()
        with pytest.raises(redis.ResponseError, match="finished with 1 error"):
            client.mset({"a:1": "2", "b:1": "2"})
        assert client.get("a:1") == b"2"

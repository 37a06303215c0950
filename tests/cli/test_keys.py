"""``meshctl keys``, against a sidecar in front of a server."""

from __future__ import annotations

import json
from pathlib import Path

import redis

from tests.cli.conftest import Meshctl
from tests.servers import Server
from tests.support import free_port, start_mesh


def test_hot_and_big_keys(meshctl: Meshctl, redis_server: Server, tmp_path: Path) -> None:
    port = free_port()
    watching = {"hot_keys": {"sample": 1, "show": 3, "big": "10KiB"}}
    listener = {"protocol": "redis", "bind": f"127.0.0.1:{port}", "filters": [watching], "routes": [{"to": "server"}]}
    config = {"listeners": {"cache": listener}, "clusters": {"server": {"endpoints": [redis_server.address]}}}
    mesh = start_mesh(json.dumps(config), tmp_path)
    try:
        assert (
            "has not seen enough commands yet: it counts one in `sample`" in meshctl("keys", "--admin", mesh.admin).out
        )
        client = redis.Redis("127.0.0.1", port, protocol=2)
        for number in range(30):
            client.get('the "hot" one')
            client.get(f"other:{number}")
        client.set("large", b"x" * 20_000)
        rows = meshctl("keys", "--admin", mesh.admin).out.splitlines()
        assert rows[0].split() == ["CHAIN", "WHAT", "KEY", "SHARE", "OR", "SIZE"]
        assert rows[1].split()[:3] == ["listeners/cache", "big", "large"]
        assert '"hot" one' in rows[2]
        found = meshctl("keys", "--admin", mesh.admin, "-o", "json").json
        hottest = next(each for each in found if each["what"] == "hot")
        assert hottest["key"] == 'the "hot" one'
        assert 0.4 < hottest["share"] < 0.6
        client.close()
    finally:
        mesh.stop()

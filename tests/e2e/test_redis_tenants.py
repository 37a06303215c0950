"""Two tenants on one server, each with a user and a prefix of its own."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Iterator

import pytest
import redis

from tests.servers import Server
from tests.support import Mesh, RawClient, free_port, start_mesh


@pytest.fixture
def tenants(redis_server: Server, tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    port = free_port()
    users = [{"name": each, "passwords": f"sha256:{sha256(each.encode()).hexdigest()}"} for each in ("ann", "bob")]
    listener = {
        "protocol": "redis",
        "bind": f"127.0.0.1:{port}",
        "redis": {"users": users},
        "filters": [{"key_prefix": {"prefix": "%IDENTITY%:"}}],
        "routes": [{"to": "server"}],
    }
    config = {"listeners": {"cache": listener}, "clusters": {"server": {"endpoints": [redis_server.address]}}}
    mesh: Mesh = start_mesh(json.dumps(config), tmp_path)
    ann, bob = (redis.Redis("127.0.0.1", port, username=each, password=each, protocol=2) for each in ("ann", "bob"))
    yield ann, bob
    ann.close()
    bob.close()
    mesh.stop()


def test_they_do_not_see_each_other(tenants: tuple[Any, Any], redis_server: Server) -> None:
    ann, bob = tenants
    for client, value in ((ann, "of ann"), (bob, "of bob")):
        client.mset({"a": value, "b": value, "c*": value})
        assert client.get("a") == value.encode()
        assert sorted(client.keys("*")) == sorted(client.scan_iter(count=2)) == [b"a", b"b", b"c*"]
        assert client.keys("c\\*") == [b"c*"]
    assert sorted(redis_server("KEYS", "*")) == sorted(
        f"{who}:{key}".encode() for who in ("ann", "bob") for key in ("a", "b", "c*")
    )
    with ann.pipeline(transaction=True) as pipe:
        assert pipe.incr("n").get("n").execute() == [1, b"1"]
    bob.rpush("q", "x")
    assert ann.blpop("q", 0.1) is None
    assert bob.blpop("q", 1) == (b"q", b"x")
    large = b"x" * 2_000_000
    assert ann.set("large", large)
    assert ann.get("large") == large
    assert redis_server("STRLEN", "ann:large") == len(large)
    assert bob.exists("large") == 0
    with pytest.raises(redis.ResponseError, match="FLUSHALL is for all keys"):
        ann.flushall()
    assert ann.delete("a", "b") == 2
    assert bob.get("a") == b"of bob"


def test_values_and_denials_in_a_transaction(tenants: tuple[Any, Any], redis_server: Server) -> None:
    ann, _ = tenants
    ann.set("v", "ann:hello")
    with ann.pipeline(transaction=True) as pipe:
        assert pipe.get("v").keys("*").get("v").execute() == [b"ann:hello", [b"v"], b"ann:hello"]
    with ann.pipeline(transaction=True) as pipe, pytest.raises(redis.ResponseError, match="FLUSHALL is for all keys"):
        pipe.set("x", 1).flushall().execute()
    assert ann.get("x") is None
    assert ann.get("v") == b"ann:hello"


def test_channels_are_as_they_are_named(tenants: tuple[Any, Any]) -> None:
    ann, bob = tenants
    with RawClient(ann.connection_pool.connection_kwargs["port"]) as client:
        client.send(b"AUTH ann ann\r\nSSUBSCRIBE news\r\n")
        assert client.read_until(b":1\r\n") == b"+OK\r\n*3\r\n$10\r\nssubscribe\r\n$4\r\nnews\r\n:1\r\n"
        assert bob.execute_command("SPUBLISH", "news", "told") == 1
        expected = b"*3\r\n$8\r\nsmessage\r\n$4\r\nnews\r\n$4\r\ntold\r\n"
        assert client.read_exactly(len(expected)) == expected


def test_a_client_is_told_of_its_own_keys(tenants: tuple[Any, Any]) -> None:
    ann, bob = tenants
    port = ann.connection_pool.connection_kwargs["port"]
    for options in ("", " BCAST"):
        with RawClient(port) as client:
            client.send(b"HELLO 3 AUTH ann ann\r\nCLIENT TRACKING ON%b\r\nGET k\r\nECHO done\r\n" % options.encode())
            client.read_until(b"done\r\n")
            bob.set("k", "of bob")
            ann.set("k", "of ann")
            expected = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"
            assert client.read_exactly(len(expected)) == expected


def test_nobody_is_told_of_the_keys_of_others(tenants: tuple[Any, Any], redis_server: Server) -> None:
    ann, bob = tenants
    bob.set("secret", 1)
    assert ann.execute_command("SCAN", 0, "MATCH", "x", "MATCH", "*")[1] == []
    ann.geoadd("places", [1, 1, "here"])
    ann.execute_command("GEORADIUS", "places", 1, 1, 1, "km", "STORE", "one", "STORE", "bob:two")
    assert bob.keys("*") == [b"secret"]
    for denied in (("CONFIG", "SET", "maxmemory", 0), ("SUBSCRIBE", "__keyspace@0__:bob:secret")):
        with pytest.raises(redis.ResponseError, match="MESHDENY"):
            ann.execute_command(*denied)
    redis_server("CONFIG", "SET", "notify-keyspace-events", "KA")
    with RawClient(ann.connection_pool.connection_kwargs["port"]) as client:
        client.send(b"AUTH ann ann\r\nPSUBSCRIBE *\r\n")
        client.read_until(b"$1\r\n*\r\n:1\r\n")
        bob.set("secret", 2)
        bob.publish("news", "told")
        expected = b"*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$4\r\nnews\r\n$4\r\ntold\r\n"
        assert client.read_exactly(len(expected)) == expected
    redis_server("CONFIG", "SET", "notify-keyspace-events", "")

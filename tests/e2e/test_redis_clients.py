"""Client libraries and tools that others wrote, in front of a sidecar: they must not notice it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest
import redis
import redis.asyncio

from tests.e2e.test_redis_proxy import redis_mesh
from tests.servers import Server

NODE = shutil.which("node")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    server = Server().start()
    mesh = redis_mesh(tmp_path_factory.mktemp("mesh"), server)
    yield mesh.ports["cache"]
    mesh.stop()
    server.stop()


@pytest.mark.parametrize("version", [2, 3])
def test_redis_py(port: int, version: int) -> None:
    with redis.Redis(port=port, protocol=version, client_name="a-name", decode_responses=True) as client:
        assert client.ping()
        assert client.client_getname() == "a-name"
        assert client.client_info()["lib-name"] == "redis-py"
        assert client.client_id() in [int(each["id"]) for each in client.client_list()]
        assert client.set("k", "v", ex=100)
        assert client.get("k") == "v"
        assert client.ttl("k") > 0
        client.hset("h", mapping={"a": "1", "b": "2"})
        assert client.hgetall("h") == {"a": "1", "b": "2"}
        client.zadd("z", {"one": 1, "two": 2.5})
        assert [tuple(each) for each in client.zrange("z", 0, -1, withscores=True)] == [("one", 1.0), ("two", 2.5)]
        assert client.eval("return {KEYS[1], ARGV[1]}", 1, "k", "x") == ["k", "x"]
        assert client.mget(["k", "none"]) == ["v", None]
        assert sorted(client.scan_iter(match="[hkz]", count=1)) == ["h", "k", "z"]
        assert client.config_get("databases") == {"databases": "16"}
        assert client.command_count() > 200
        assert client.time()[0] > 1_600_000_000
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            client.incr("h")
        pipeline = client.pipeline(transaction=False)
        for at in range(300):
            pipeline.set(f"p{at}", at).get(f"p{at}")
        assert pipeline.execute() == [each for at in range(300) for each in (True, str(at))]
        assert client.delete(*(f"p{at}" for at in range(300)), "h", "z") == 302


@pytest.mark.parametrize("version", [2, 3])
def test_redis_py_under_asyncio(port: int, version: int) -> None:
    async def many() -> None:
        async with redis.asyncio.Redis(port=port, protocol=version, max_connections=20) as client:

            async def one(number: int) -> None:
                for at in range(20):
                    assert await client.set(f"a{number}", at)
                    assert await client.get(f"a{number}") == str(at).encode()

            await asyncio.gather(*(one(number) for number in range(20)))
            async with client.pipeline(transaction=False) as pipeline:
                for _ in range(100):
                    pipeline.incr("counter")
                assert await pipeline.execute() == list(range(1, 101))
            await client.delete("counter")

    asyncio.run(many())


def run(*arguments: Any, **options: Any) -> str:
    made = subprocess.run(
        [str(each) for each in arguments], capture_output=True, text=True, timeout=60, check=False, **options
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not installed")
@pytest.mark.parametrize("options", [[], ["-3"]])
def test_redis_cli(port: int, options: list[str]) -> None:
    cli = ["redis-cli", "-p", port, *options]
    assert run(*cli, "SET", "cli", "1") == "OK\n"
    assert run(*cli, "INCR", "cli") == "2\n"
    # As at a prompt, where it asks for the commands first.
    said = run(*cli, input="SELECT 2\nSET in two\nGET in\nNOSUCH\nSELECT 0\nGET in\n")
    assert "two" in said
    assert "unknown command" in said
    commands = "".join(f"SET bulk{at} {at}\r\n" for at in range(1000))
    assert "replies: 1000" in run(*cli, "--pipe", input=commands)
    assert len(run(*cli, "--scan", "--pattern", "bulk*").splitlines()) == 1000


@pytest.mark.skipif(shutil.which("redis-benchmark") is None, reason="redis-benchmark is not installed")
@pytest.mark.parametrize("pipeline", [1, 16])
def test_redis_benchmark(port: int, pipeline: int) -> None:
    tests = "ping,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange_100,mset"
    said = run("redis-benchmark", "-p", port, "-n", 1000, "-c", 20, "-P", pipeline, "-r", 1000, "-t", tests, "--csv")
    assert "Error" not in said
    assert len(said.splitlines()) > 15


IOREDIS = """
const Redis = require("ioredis");
(async () => {
  const client = new Redis(PORT, {connectionName: "io"});
  const said = [await client.set("io", "1"), await client.get("io"), await client.client("GETNAME")];
  const many = client.pipeline();
  for (let at = 0; at < 100; at++) many.set("io" + at, at).get("io" + at);
  const replies = await many.exec();
  said.push(replies.every(([wrong, value], at) => !wrong && value === (at % 2 ? String((at - 1) / 2) : "OK")));
  await client.hset("ioh", {a: 1, b: 2});
  said.push(await client.hgetall("ioh"));
  try { await client.lpush("io", 1); } catch (wrong) { said.push(wrong.message.split(" ")[0]); }
  said.push(await client.quit());
  console.log(JSON.stringify(said));
})();
"""
NODE_REDIS = """
const { createClient } = require("redis");
(async () => {
  const client = createClient({socket: {port: PORT}, RESP: RESP_VERSION, name: "node"});
  await client.connect();
  const said = [await client.set("nr", "1"), await client.get("nr"), await client.clientGetName()];
  const replies = await Promise.all([...Array(100).keys()].map(at => client.incr("nrc")));
  said.push(replies.every((value, at) => value === at + 1));
  await client.hSet("nrh", {a: "1", b: "2"});
  said.push(await client.hGetAll("nrh"));
  try { await client.lPush("nr", "1"); } catch (wrong) { said.push(wrong.message.split(" ")[0]); }
  await client.del("nrc");
  await client.close();
  console.log(JSON.stringify(said));
})();
"""


def in_node(program: str, module: str, directory: Path) -> list[Any]:
    """Run a program that needs a module of npm; skipped where Node.js or the module is not installed."""
    if NODE is None:
        pytest.skip("node is not installed")
    there = subprocess.run(
        [NODE, "-e", f"require('{module}')"], capture_output=True, cwd=directory, env=os.environ, check=False
    )
    if there.returncode:
        pytest.skip(f"node does not find {module}: set NODE_PATH to where it is installed")
    result: list[Any] = json.loads(run(NODE, "-e", program, cwd=directory))
    return result


def test_ioredis(port: int, tmp_path: Path) -> None:
    said = in_node(IOREDIS.replace("PORT", str(port)), "ioredis", tmp_path)
    assert said == ["OK", "1", "io", True, {"a": "1", "b": "2"}, "WRONGTYPE", "OK"]


@pytest.mark.parametrize("version", ["2", "3"])
def test_node_redis(port: int, tmp_path: Path, version: str) -> None:
    program = NODE_REDIS.replace("RESP_VERSION", version).replace("PORT", str(port))
    said = in_node(program, "redis", tmp_path)
    assert said == ["OK", "1", "node", True, {"a": "1", "b": "2"}, "WRONGTYPE"]

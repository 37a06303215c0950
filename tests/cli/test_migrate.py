"""``meshctl migrate``: everything copied, and what differs said."""

from __future__ import annotations

from typing import Callable

from tests.cli.conftest import Meshctl
from tests.servers import Server


def fill(server: Server) -> None:
    for number in range(500):
        server("SET", f"k{number}", number)
    server("SET", "soon", "gone", "PX", 600_000)
    server("HSET", "hash", *(each for number in range(600) for each in (number, "x")))
    server("RPUSH", "list", *range(300))
    server("SADD", "set", *(f"m{each}" for each in range(300)))
    server("ZADD", "zset", *(each for number in range(300) for each in (number, f"m{number}")))
    server("XADD", "stream", "1-1", "a", "b")
    server("SET", b"bin\xff\r\n", b"\x00\xff")


def test_everything_is_copied_once(meshctl: Meshctl, redis_servers: Callable[..., Server]) -> None:
    old, new = redis_servers(), redis_servers()
    fill(old)
    new("SET", "k1", "newer")
    done = meshctl("migrate", old.address, f"redis://{new.address}/0", "-o", "json", status=1).json
    assert (done["keys"], done["copied"], done["same"]) == (507, 506, 506)
    # What was there is left alone, and told.
    assert new("GET", "k1") == b"newer"
    assert done["different"] == {"count": 1, "first": ["k1"]}
    assert done["missing"] == done["extra"] == {}
    assert 0 < new("PTTL", "soon") <= 600_000
    assert new("GET", b"bin\xff\r\n") == b"\x00\xff"
    old("SET", "k1", "newer")
    again = meshctl("migrate", old.address, new.address).out
    assert again == "507 keys of the old one looked at, 0 copied, 507 the same\n"


def test_comparing_alone(meshctl: Meshctl, redis_servers: Callable[..., Server]) -> None:
    old, new = redis_servers(), redis_servers()
    old("MSET", "a", 1, "b", 1, "c", 1, "other", 1)
    new("MSET", "a", 1, "b", 2, "d", 1)
    # The same content in another order of insertion, and so in another form.
    old("SADD", "set", *range(5), "x")
    new("SADD", "set", "x", *range(5))
    said = meshctl("migrate", "--verify", "--match", "[a-ds]*", old.address, new.address, status=1).out
    assert said.splitlines() == [
        "4 keys of the old one looked at, 0 copied, 2 the same",
        "1 differ: b",
        "1 are missing in the new one: c",
        "1 are new there: d",
    ]
    assert new("EXISTS", "c") == 0


def test_what_differs_is_overwritten_if_asked(meshctl: Meshctl, redis_servers: Callable[..., Server]) -> None:
    old, new = redis_servers(), redis_servers()
    for each in (old, new):
        each("SET", "ends", 1)
        each("XADD", "stream", "1-1", "a", "b")
        each("SET", "kept", 1)
    # The values are the same; when a key ends, and what was read of a stream, is not.
    old("EXPIRE", "ends", 1000)
    for each, start in ((old, "1-1"), (new, "0-0")):
        each("XGROUP", "CREATE", "stream", "group", start)
    new("SET", "newer", 1)
    old("SET", "newer", 2)
    said = meshctl("migrate", old.address, new.address, status=1).out
    assert said.splitlines()[0] == "4 keys of the old one looked at, 0 copied, 1 the same"
    assert said.splitlines()[1].startswith("3 differ: ")
    done = meshctl("migrate", "--overwrite", old.address, new.address, "-o", "json").json
    assert (done["copied"], done["overwritten"], done["same"], done["different"]) == (0, 3, 4, {})
    assert 0 < new("TTL", "ends") <= 1000
    assert new("GET", "newer") == b"2"
    assert "not allowed with" in meshctl("migrate", "--overwrite", "--verify", "a:1", "b:1", status=2).err


def test_what_cannot_be_reached_or_makes_no_sense(meshctl: Meshctl, redis_server: Server) -> None:
    said = meshctl("migrate", "127.0.0.1:1", redis_server.address, status=3).err
    assert said == "meshctl: 127.0.0.1:1 cannot be connected to: Connection refused\n"
    said = meshctl("migrate", "http://x", redis_server.address, status=2).err
    assert "expected HOST:PORT or redis://" in said
    said = meshctl("migrate", f"redis://:secret@{redis_server.address}/x", redis_server.address, status=2).err
    assert "secret" not in said

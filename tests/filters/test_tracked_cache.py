"""A cache that the server keeps honest, without a server."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from tests.filters.redis_calls import several
from twisted_mesh.chain import Driver
from twisted_mesh.redis_call import RedisReply
from twisted_mesh.testing import Env


class Cluster:
    """What a route has chosen."""

    name = "server"


class World:
    """A filter, and a server that answers with what `data` holds; `seen` are the commands that reached it."""

    def __init__(self, tracking: bytes = b"+OK\r\n", **settings: Any) -> None:
        self.env = Env()
        self.cache: Any = self.env.build("tracked_cache", **settings)
        self.cluster: Any = Cluster()
        self.tracking = tracking
        self.data: dict[bytes, bytes] = {}
        # What is left of the lives of keys, in milliseconds.
        self.lives: dict[bytes, int] = {}
        self.says = b":%d\r\n"
        self.seen: list[str] = []
        self.session: Any = None

    async def upstream(self, call: Any) -> Any:
        words = call.words()
        if call.operation == "PTTL":
            return RedisReply(self.says % self.lives.get(words[1], -1))
        self.seen.append(b" ".join(words).decode())
        if call.operation == "CLIENT|TRACKING":
            self.session = call.session
            return RedisReply(self.tracking)
        if call.operation == "SET":
            self.data[words[1]] = words[2]
        return RedisReply(b"+%s\r\n" % self.data.get(words[1] if len(words) > 1 else b"", b"none"))

    def ask(self, text: str) -> Any:
        call = several(text)
        call.write = not call.command.read_only
        call.cluster = self.cluster
        outcomes: list[Any] = []
        Driver(call, lambda call, reply, error: outcomes.append(error or reply.body)).start(
            lambda call: self.cache(call, self.upstream)
        )
        call.complete(self.env.now(), lambda failed: None)
        return outcomes[0]

    def invalidate(self, *keys: bytes) -> None:
        listed = b"".join(b"$%d\r\n%b\r\n" % (len(key), key) for key in keys)
        self.session.tell(b">2\r\n$10\r\ninvalidate\r\n*%d\r\n%b" % (len(keys), listed))


def test_what_is_known_is_not_asked_again_until_it_changes() -> None:
    world = World()
    world.data[b"a"] = b"1"
    # The first finds nobody who tells of changes yet.
    assert [world.ask("GET a") for _ in range(4)] == [b"+1\r\n"] * 4
    assert world.seen == ["CLIENT TRACKING ON BCAST", "GET a", "GET a"]
    world.data[b"a"] = b"2"
    world.invalidate(b"x", b"a")
    assert world.ask("GET a") == b"+2\r\n"
    world.ask("SET a 3")
    assert world.ask("GET a") == b"+3\r\n"
    world.data[b"a"] = b"4"
    world.session.tell(b">2\r\n$10\r\ninvalidate\r\n_\r\n")
    assert world.ask("GET a") == b"+4\r\n"
    assert world.env.count("twisted_mesh_redis_cached_total", "tracked_cache", "hit") == 2


def test_explained() -> None:
    world = World()

    def verdict(text: str) -> str:
        call = several(text)
        call.write = not call.command.read_only
        call.cluster = world.cluster
        said = world.cache.explain(call)
        return f"{said.verdict}: {said.why}"

    assert verdict("GET a") == "pass: nothing is kept while the server does not tell of changes"
    world.ask("GET a")
    assert verdict("GET a") == "pass: its reply is not kept yet"
    world.ask("GET a")
    assert verdict("GET a") == "reply: from what is kept of 1 keys"
    assert verdict("SET a 1") == verdict("TTL a") == "pass: its reply is none that is kept"
    assert world.seen == ["CLIENT TRACKING ON BCAST", "GET a", "GET a"]


def test_what_is_not_kept() -> None:
    world = World(prefixes=["a:"], commands=["GET"])
    for text in ("GET a:1", "GET b:1", "STRLEN a:1", "TTL a:1"):
        world.ask(text)
    world.seen.clear()
    for text in ("GET a:1", "GET a:1", "GET b:1", "STRLEN a:1", "TTL a:1"):
        world.ask(text)
    assert world.seen == ["GET a:1", "GET b:1", "STRLEN a:1", "TTL a:1"]
    other: Any = Cluster()
    world.cluster = other
    assert world.ask("GET a:1") == b"+none\r\n"
    assert world.seen[-1] == "GET a:1"


def test_a_loss_empties_it_and_it_is_tried_again() -> None:
    world = World()
    for _ in range(3):
        world.ask("GET a")
    world.seen.clear()
    world.session.lost("gone")
    assert world.ask("GET a") == b"+none\r\n"
    assert world.seen == ["CLIENT TRACKING ON BCAST", "GET a"]
    assert any("everything kept is let go: gone" in each for each in world.env.logged)


def test_a_server_that_does_not_tell() -> None:
    world = World(b"-ERR unknown command\r\n")
    for _ in range(5):
        world.ask("GET a")
    assert world.seen == ["CLIENT TRACKING ON BCAST", *["GET a"] * 5]
    assert "nothing is kept, as the server does not tell: ERR unknown command" in world.env.logged[-1]
    world.env.advance(5.0)
    world.tracking = b"+OK\r\n"
    world.ask("GET a")
    assert world.seen[-2:] == ["CLIENT TRACKING ON BCAST", "GET a"]


def test_it_has_to_know_the_cluster() -> None:
    world = World()
    world.cluster = None
    world.ask("GET a")
    assert world.seen == ["GET a"]
    assert "it has to be a filter of a route" in world.env.logged[-1]


def test_a_filter_that_is_gone_lets_go_of_its_connection() -> None:
    world = World()
    world.ask("GET a")
    session = world.session
    world.cache = None
    gc.collect()
    assert session.at_rest


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"commands": ["SET"]}, "SET is no read"),
        ({"commands": ["GET", "SORT_RO"]}, "SORT_RO is no read of one key"),
        ({"commands": ["NOSUCH"]}, "no command"),
        ({"size": 1}, "1KiB"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        World(**settings)


def test_a_reply_is_kept_no_longer_than_its_key_lives() -> None:
    """A server tells of the end of a key when it notices, and clients must not see a lock that nobody has any more."""
    world = World()
    world.data[b"a"] = b"1"
    world.lives[b"a"] = 500
    for _ in range(3):
        world.ask("GET a")
    assert world.seen == ["CLIENT TRACKING ON BCAST", "GET a", "GET a"]
    world.env.advance(0.5)
    world.ask("GET a")
    assert world.seen[3:] == ["GET a"]
    # That there is none is good to know, too.
    world.lives[b"b"] = -2
    world.ask("GET b")
    world.ask("GET b")
    assert world.seen[4:] == ["GET b"]


@pytest.mark.parametrize(("says", "life"), [(b":%d\r\n", 0), (b"-ERR %d\r\n", 1)])
def test_what_ends_or_may_end_at_once_is_not_kept(says: bytes, life: int) -> None:
    world = World()
    world.says, world.lives[b"a"] = says, life
    for _ in range(3):
        world.ask("GET a")
    assert world.seen == ["CLIENT TRACKING ON BCAST", "GET a", "GET a", "GET a"]

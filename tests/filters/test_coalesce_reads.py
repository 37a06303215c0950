"""Reads that are the same go to the server once, and none sees less than its client has written."""

from __future__ import annotations

from typing import Any

import pytest

from tests.filters.redis_calls import several
from twisted_mesh.chain import Driver
from twisted_mesh.errors import Cancelled, Kind, MeshError
from twisted_mesh.redis_call import RedisReply
from twisted_mesh.redis_pending import Pending
from twisted_mesh.testing import Env


class World:
    """Clients of one filter, and a server that answers when it is told to."""

    def __init__(self, **settings: Any) -> None:
        self.env = Env()
        self.joined: Any = self.env.build("coalesce_reads", **settings)
        self.asked: list[tuple[str, Pending]] = []
        self.outcomes: dict[int, Any] = {}

    def upstream(self, call: Any) -> Pending:
        pending = Pending(call)
        self.asked.append((call.data.decode().split("\r\n")[2], pending))
        return pending

    def send(self, *commands: str, **fields: Any) -> Driver:
        call = several(*commands)
        for name, value in fields.items():
            setattr(call, name, value)
        call.write = not call.command.read_only
        number = len(self.outcomes)
        self.outcomes[number] = None

        def done(call: Any, reply: Any, error: Any) -> None:
            self.outcomes[number] = error or reply.body

        driver = Driver(call, done)
        driver.start(lambda call: self.joined(call, self.upstream))
        return driver

    def reply(self, which: int, text: bytes) -> None:
        self.asked[which][1].fire(RedisReply(text))


def test_the_same_read_is_sent_once() -> None:
    world = World()
    for _ in range(5):
        world.send("GET a")
    assert len(world.asked) == 1
    world.reply(0, b"$1\r\n1\r\n")
    assert list(world.outcomes.values()) == [b"$1\r\n1\r\n"] * 5
    assert world.env.count("twisted_mesh_redis_coalesced_total", "coalesce_reads") == 4
    # It is over: the next one asks anew.
    world.send("GET a")
    assert len(world.asked) == 2


@pytest.mark.parametrize(
    ("other", "fields"),
    [
        *(
            (["GET b"], {}),
            (["STRLEN a"], {}),
            (["GET a"], {"db": 1}),
            (["GET a"], {"resp": 3}),
            (["GET a", "GET a"], {}),
        ),
        # Further in it may be another key, or another server.
        (["GET a"], {"identity": "bob"}),
    ],
)
def test_what_is_not_the_same_goes_alone(other: list[str], fields: dict[str, Any]) -> None:
    world = World()
    world.send("GET a")
    world.send(*other, **fields)
    assert len(world.asked) == 2


@pytest.mark.parametrize("write", ["SET a 1", "MSET b 1 a 2", "FLUSHALL", "RENAME a b", "EVAL x 1 a", "EVAL x 0"])
def test_what_follows_a_write_does_not_join_what_was_before_it(write: str) -> None:
    world = World()
    world.send("GET a")
    world.send(write)
    world.send("GET a")
    world.send("GET a")
    assert len(world.asked) == 3
    world.reply(0, b"old")
    world.reply(2, b"new")
    assert [world.outcomes[each] for each in (0, 2, 3)] == [b"old", b"new", b"new"]


@pytest.mark.parametrize(
    "read", ["MGET a b", "EXISTS a b", "SINTER a b", "SDIFF a b", "ZUNION 2 a b", "LCS a b", "SORT_RO a BY b*"]
)
def test_reads_of_several_keys_go_alone_as_any_of_them_may_be_written(read: str) -> None:
    world = World()
    world.send(read)
    world.send("SET b 1")
    world.send(read)
    assert len(world.asked) == 3


def test_a_write_to_another_key_changes_nothing() -> None:
    world = World()
    world.send("GET a")
    world.send("SET b 1")
    world.send("GET a")
    assert len(world.asked) == 2


def test_a_failure_is_the_first_ones_and_the_others_ask_for_themselves() -> None:
    world = World()
    for _ in range(3):
        world.send("GET a")
    world.asked[0][1].fail(MeshError(Kind.RESET, "gone"))
    assert isinstance(world.outcomes[0], MeshError)
    assert len(world.asked) == 3
    world.reply(1, b"x")
    world.reply(2, b"x")
    assert [world.outcomes[1], world.outcomes[2]] == [b"x", b"x"]


def test_one_who_goes_away_leaves_the_others_waiting() -> None:
    world = World()
    leader = world.send("GET a")
    follower = world.send("GET a")
    world.send("GET a")
    follower.cancel(Cancelled(Kind.CLIENT_GONE))
    leader.cancel(Cancelled(Kind.CLIENT_GONE))
    # Who has led is gone, so the last one asks for himself.
    assert len(world.asked) == 2
    world.reply(1, b"x")
    assert world.outcomes[2] == b"x"
    assert not world.joined._flights


def test_bounds() -> None:
    world = World(waiting=1, keys=1)
    for key in ("a", "a", "a", "b", "b"):
        world.send(f"GET {key}")
    assert [name for name, _ in world.asked] == ["GET"] * 4
    with pytest.raises(ValueError, match="1 or more"):
        World(waiting=0)

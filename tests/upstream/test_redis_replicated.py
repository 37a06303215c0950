"""Who is the primary, by what servers and Sentinels say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upstream.redis_told import HOST, RedisWorld, address
from twisted_mesh.codec.redis_facts import Role
from twisted_mesh.codec.resp import array, bulk, integer
from twisted_mesh.errors import MeshError
from twisted_mesh.upstream.redis_replicated import primary_of

LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"


def primary(*replicas: int) -> bytes:
    """What a primary says to ROLE."""
    told = [array([bulk(HOST.format(each).encode()), bulk(b"6379"), bulk(b"1")]) for each in replicas]
    return array([bulk(b"master"), integer(1), array(told)])


def replica(of: int, state: bytes = b"connected") -> bytes:
    """What a replica says to ROLE."""
    return array([bulk(b"slave"), bulk(HOST.format(of).encode()), integer(6379), bulk(state), integer(1)])


def world(read: str = "prefer_replica", **roles: bytes) -> RedisWorld:
    """Three servers that have been asked; `s1` to `s3` say who they are."""
    made = RedisWorld(3, topology="replicated", read=read)
    made.start()
    ask(made, roles)
    return made


def ask(made: RedisWorld, roles: dict[str, bytes]) -> None:
    for name, reply in roles.items():
        made.tell(reply, int(name[1:]))


class Client:
    """A client's connection, which has not written anything."""

    wrote_at = -float("inf")


def numbers(made: RedisWorld, line: str, times: int = 30) -> set[int]:
    """To whom a command goes."""
    for _ in range(times):
        made.call(line)
    return {each.number for each in made.take()}


def test_servers_say_who_they_are() -> None:
    made = world(s1=replica(2), s2=primary(1, 3), s3=replica(2))
    assert numbers(made, "SET a 1") == {2}
    assert numbers(made, "GET a") == {1, 3}
    assert made.env.said[0] == "info cluster redis: the primary is 10.0.0.2:6379, before it was unknown"


def test_a_replica_that_does_not_follow_is_not_read_from() -> None:
    made = world(s1=replica(2, b"connect"), s2=primary(3), s3=replica(2))
    assert numbers(made, "GET a") == {3}


def pinning(read: str = "replica", pinned: str = "1s") -> RedisWorld:
    """One where reads follow the writes of their client."""
    made = RedisWorld(2, topology="replicated", read=read, read_your_writes=pinned)
    made.start()
    ask(made, {"s1": primary(2), "s2": replica(1)})
    return made


def read_by(made: RedisWorld, client: Client) -> int:
    """Who answers a read of a client."""
    made.call("GET a", caller=client)
    return made.take()[0].number


def test_reads_follow_the_writes_of_their_client() -> None:
    made, client, other = pinning(), Client(), Client()
    assert read_by(made, client) == 2
    made.call("SET a 1", caller=client)
    made.take()[0].reply(b"+OK\r\n")
    assert (read_by(made, client), read_by(made, other)) == (1, 2)
    made.env.clock.advance(1)
    assert read_by(made, client) == 2


def test_a_write_that_takes_long_counts_from_its_reply() -> None:
    made, client = pinning(), Client()
    call = made.call("SET a 1", caller=client).call
    made.take()
    made.env.clock.advance(2)
    assert read_by(made, client) == 2
    call.complete(made.env.now(), print)
    assert read_by(made, client) == 1


def test_what_was_written_before_reads_went_to_replicas_counts() -> None:
    """The configuration may say so a moment after a write."""
    before, client = world("primary", s1=primary(2), s2=replica(1), s3=replica(1)), Client()
    before.call("SET a 1", caller=client)
    made = pinning()
    made.env.clock.advance(before.env.clock.seconds() - made.env.clock.seconds())
    assert read_by(made, client) == 1


def test_a_failover_is_noticed_by_asking() -> None:
    made = world(s1=primary(2, 3), s2=replica(1), s3=replica(1))
    pending = made.call("SET a 1")
    (sent,) = made.take()
    sent.reply(b"-READONLY You can't write against a read only replica.\r\n")
    assert made.sent == []
    made.env.clock.advance(1)
    ask(made, {"s1": replica(2), "s2": primary(1, 3), "s3": replica(2)})
    (again,) = made.take()
    assert (again.number, again.text) == (2, "SET a 1")
    again.reply(b"+OK\r\n")
    assert pending.value.body == b"+OK\r\n"


def test_a_replica_that_loads_is_passed_over() -> None:
    made = world(s1=primary(2, 3), s2=replica(1), s3=replica(1))
    pending = made.call("GET a")
    (sent,) = made.take()
    assert sent.number != 1
    sent.reply(LOADING)
    (again,) = made.take()
    assert again.number == 1
    again.reply(LOADING)
    assert pending.value.body == LOADING


def test_a_primary_that_says_nothing_stays_the_primary() -> None:
    made = world(s1=primary(2, 3), s2=replica(1), s3=replica(1))
    made.connector.answer[address(1)] = "refuse"
    made.env.clock.advance(5.6)
    ask(made, {"s2": replica(1), "s3": replica(1)})
    assert numbers(made, "SET a 1") == {1}
    assert "says that it is the primary" in made.topology.trouble


def test_nobody_is_a_primary() -> None:
    made = world(s1=LOADING, s2=LOADING, s3=LOADING)
    pending = made.call("SET a 1")
    for _ in range(40):
        made.env.clock.advance(1.1)
        ask(made, {"s1": LOADING, "s2": LOADING, "s3": LOADING})
        if pending.done:
            break
    assert isinstance(pending.error, MeshError)
    assert "ROLE: LOADING" in pending.error.detail


class E:
    """An endpoint, as far as this looks at it."""


@pytest.mark.parametrize(
    ("replicas", "before", "chosen"), [((0, 1), 0, 1), ((1, 1), 1, 1), ((1, 1), None, 0), ((2, 1), 1, 0)]
)
def test_of_two_that_call_themselves_primaries(replicas: tuple[int, int], before: Any, chosen: int) -> None:
    servers: list[Any] = [E(), E()]
    roles: dict[Any, Role] = {
        each: Role("primary", True, None, (("h", 1),) * count) for each, count in zip(servers, replicas)
    }
    assert primary_of(servers, roles, None if before is None else servers[before]) is servers[chosen]


# --- Sentinels


def sentinels() -> RedisWorld:
    addresses = ["10.0.0.8:26379", "10.0.0.9:26379"]
    made = RedisWorld(0, topology="sentinel", sentinel={"name": "main", "addresses": addresses})
    made.start()
    return made


def watched(number: int, *replicas: int) -> bytes:
    """What a Sentinel says of the primary and its replicas."""
    told = []
    for each in replicas:
        facts = {"ip": HOST.format(each), "port": "6379", "flags": "slave", "master-link-status": "ok"}
        told.append(array([bulk(word.encode()) for pair in facts.items() for word in pair]))
    return array([bulk(HOST.format(number).encode()), bulk(b"6379")]) + array(told)


def test_sentinels_say_who_there_is_and_the_primary_must_agree() -> None:
    made = sentinels()
    pending = made.call("SET a 1")
    made.tell(watched(1, 2), 8)
    assert made.sent == []
    ask(made, {"s1": primary(2), "s2": replica(1)})
    (sent,) = made.take()
    assert sent.number == 1
    sent.reply(b"+OK\r\n")
    assert pending.value.body == b"+OK\r\n"
    assert [each.address for each in made.cluster.endpoints] == [address(1), address(2)]


def test_whom_the_sentinels_name_may_not_know_it_yet() -> None:
    made = sentinels()
    made.tell(watched(1, 2), 8)
    ask(made, {"s1": replica(2), "s2": primary(1)})
    assert "although the Sentinels call it the primary" in made.topology.trouble
    made.call("SET a 1")
    assert made.sent == []
    made.env.clock.advance(0.3)
    made.tell(watched(2, 1), 8)
    ask(made, {"s2": primary(1), "s1": replica(2)})
    assert made.texts() == [(2, "SET a 1")]


def test_another_sentinel_is_asked() -> None:
    made = sentinels()
    made.tell(b"*-1\r\n*0\r\n", 8)
    made.tell(watched(1), 9)
    ask(made, {"s1": primary()})
    assert made.topology.trouble == ""
    made.env.clock.advance(10)
    assert [number for number, _ in made.asked()] == [9]

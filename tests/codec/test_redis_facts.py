from __future__ import annotations

from typing import Any

import pytest

from twisted_mesh.codec.redis_facts import (
    Redirection,
    Role,
    Shard,
    names,
    redirection,
    role,
    shards,
    watched_primary,
    watched_replicas,
)

NODE = b"07c37dfeb235213a872192d90877d0cd55635b91"


def test_shards_are_gathered_from_their_ranges() -> None:
    reply = [
        [0, 5460, [b"127.0.0.1", 30001, NODE, []], [b"127.0.0.1", 30004, NODE, []]],
        [10923, 16383, [b"", 30003, NODE]],
        [5461, 5462, [b"127.0.0.1", 30001, NODE], [b"127.0.0.1", 30004, NODE]],
        [5463, 10922, [None, 30002, NODE, [b"hostname", b"x"]], [b"?", 30005, NODE]],
    ]
    assert shards(reply) == [
        Shard(("127.0.0.1", 30001), (("127.0.0.1", 30004),), ((0, 5460), (5461, 5462))),
        Shard(("", 30003), (), ((10923, 16383),)),
        Shard(("", 30002), (("", 30005),), ((5463, 10922),)),
    ]
    assert shards([]) == []


def test_nodes_that_are_called_by_names() -> None:
    reply = [
        [0, 5, [b"one.example", 30001, NODE, [b"ip", b"10.0.0.1"]], [b"10.0.0.2", 30001, NODE, []]],
        [6, 9, [b"10.0.0.3", 30001, NODE, [b"hostname", b"three.example"]]],
    ]
    assert [each.primary for each in shards(reply)] == [("10.0.0.1", 30001), ("10.0.0.3", 30001)]
    assert names(reply) == {("one.example", 30001): ("10.0.0.1", 30001)}


@pytest.mark.parametrize(
    "reply",
    [None, 5, b"OK", [[0, 5]], [[0, 16384, [b"a", 1]]], [[5, 0, [b"a", 1]]], [[0, 1, [b"a", b"1"]]], [[0, 1, [5, 1]]]],
)
def test_what_is_no_reply_to_cluster_slots(reply: Any) -> None:
    with pytest.raises(ValueError, match="CLUSTER SLOTS"):
        shards(reply)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b"-MOVED 3999 127.0.0.1:6381\r\n", Redirection(3999, ("127.0.0.1", 6381), False)),
        (b"-ASK 3999 127.0.0.1:6381\r\n", Redirection(3999, ("127.0.0.1", 6381), True)),
        (b"-MOVED 3999 :6381\r\n", Redirection(3999, ("", 6381), False)),
        (b"-MOVED 3999 2001:db8::1:6381\r\n", Redirection(3999, ("2001:db8::1", 6381), False)),
        (b"-MOVED 3999 node-2.example:6381\r\n", Redirection(3999, ("node-2.example", 6381), False)),
        (b"-MOVED 16384 127.0.0.1:6381\r\n", None),
        (b"-MOVED 1 127.0.0.1\r\n", None),
        (b"-MOVED 1 127.0.0.1:0\r\n", None),
        (b"-MOVED x 127.0.0.1:6381\r\n", None),
        (b"-MOVED 1 2 127.0.0.1:6381\r\n", None),
        (b"-MOVEDX 1 127.0.0.1:6381\r\n", None),
        (b"-ERR MOVED 1 127.0.0.1:6381\r\n", None),
        (b"+OK\r\n", None),
    ],
)
def test_redirections(reply: bytes, expected: Redirection) -> None:
    assert redirection(reply) == expected


def test_roles() -> None:
    followers = [[b"127.0.0.1", b"9001", b"3129659"], [b"::1", b"9002", b"3129543"]]
    assert role([b"master", 3129659, followers]) == Role("primary", True, None, (("127.0.0.1", 9001), ("::1", 9002)))
    assert role([b"slave", b"127.0.0.1", 9000, b"connected", 3167038]) == Role("replica", True, ("127.0.0.1", 9000), ())
    assert not role([b"slave", b"127.0.0.1", 9000, b"sync", 0]).linked


@pytest.mark.parametrize("reply", [None, [], [b"sentinel", [b"main"]], [b"master"], [b"slave", b"a"], b"master"])
def test_what_is_no_role(reply: Any) -> None:
    with pytest.raises(ValueError, match=r"role|ROLE"):
        role(reply)


def test_what_sentinels_say() -> None:
    assert watched_primary([b"10.0.0.1", b"6379"]) == ("10.0.0.1", 6379)
    assert watched_primary(None) is None
    replicas = [
        [b"ip", b"10.0.0.2", b"port", b"6379", b"flags", b"slave", b"master-link-status", b"ok"],
        [b"ip", b"10.0.0.3", b"port", b"6379", b"flags", b"s_down,slave", b"master-link-status", b"ok"],
        [b"ip", b"10.0.0.4", b"port", b"6379", b"flags", b"slave", b"master-link-status", b"err"],
        {b"ip": b"10.0.0.5", b"port": b"6379", b"flags": b"slave"},
    ]
    assert watched_replicas(replicas) == [("10.0.0.2", 6379), ("10.0.0.5", 6379)]
    with pytest.raises(ValueError, match="primary"):
        watched_primary([b"10.0.0.1"])
    with pytest.raises(ValueError, match="replicas"):
        watched_replicas([[b"ip", b"10.0.0.2"]])

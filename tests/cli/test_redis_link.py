"""A plain conversation with a Redis."""

from __future__ import annotations

from typing import Callable

import hiredis
import pytest

from tests.servers import Server
from twisted_mesh.cli.failure import BUS, Failure
from twisted_mesh.cli.redis_link import RedisLink


def test_many_commands_and_their_replies(redis_server: Server) -> None:
    link = RedisLink(f"redis://{redis_server.address}/3")
    answers = link.ask([["SET", "a", b"\xff"], ["GET", "a"], ["NOSUCH"], ["MGET", *range(1000)]])
    link.close()
    assert answers[:2] == [b"OK", b"\xff"]
    assert isinstance(answers[2], hiredis.ReplyError)
    assert answers[3] == [None] * 1000
    assert redis_server("GET", "a") is None


def test_a_password(redis_servers: Callable[..., Server]) -> None:
    server = redis_servers(password="p w")
    link = RedisLink(f"redis://:p%20w@{server.address}")
    assert link.ask([["PING"]]) == [b"PONG"]
    link.close()
    with pytest.raises(Failure, match="refuses: WRONGPASS") as caught:
        RedisLink(f"redis://:wrong@{server.address}")
    assert caught.value.status == BUS


def test_a_server_that_goes_away(redis_server: Server) -> None:
    link = RedisLink(redis_server.address)
    redis_server.kill()
    with pytest.raises(Failure, match=redis_server.address):
        link.ask([["PING"]])
    link.close()

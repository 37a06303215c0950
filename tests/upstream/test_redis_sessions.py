"""Which connection the commands of a session go over, on one server."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from tests.upstream.redis_world import NUMBER, World, body
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.redis_words import CROSSSLOT
from twisted_mesh.upstream.redis_sessions import Sessions


def test_a_transaction_begins_with_its_first_command() -> None:
    world = World()
    session = world.session()
    session.multi = True
    queued = world.send(session, "SET a 1")
    assert world.heard() == "MULTI SET a 1"
    world.say(b"+OK\r\n+QUEUED\r\n")
    assert body(queued) == b"+QUEUED\r\n"
    assert not session.main.clean  # type: ignore[union-attr]
    done = world.send(session, "EXEC")
    world.say(b"*1\r\n+OK\r\n")
    assert body(done) == b"*1\r\n+OK\r\n"
    assert not session.multi
    lane = session.main
    session.settle()
    assert session.at_rest
    assert world.pool.idle == [lane]


def test_a_transaction_goes_on_when_a_reload_has_made_other_groups_of_the_same_servers() -> None:
    world = World()
    topology = SimpleNamespace(spread=True, shard=lambda key: 0, trouble="")

    def made(primary: Any) -> None:
        group = Mock(primary=primary, choose=lambda call, write: primary)
        topology.group = lambda key: group

    world.sessions = Sessions(world.cluster, topology, lambda endpoint, priority: world.pool)  # type: ignore[arg-type]
    made(world.endpoint)
    session = world.session()
    session.multi = True
    world.send(session, "INCR a")
    made(world.endpoint)
    second = world.send(session, "INCR b")
    assert not second.done and not session.spoilt
    made(None)
    assert not world.send(session, "INCR b").done
    made(SimpleNamespace(address="10.0.0.2:6379"))
    third = world.send(session, "INCR c")
    assert third.value.body == CROSSSLOT and session.spoilt


def test_what_was_watched_is_executed_even_with_nothing_in_it() -> None:
    world = World()
    session = world.session()
    session.watching = True
    world.send(session, "WATCH a")
    world.say(b"+OK\r\n")
    session.multi = True
    done = world.send(session, "EXEC")
    assert world.heard() == "WATCH a MULTI EXEC"
    world.say(b"+OK\r\n*-1\r\n")
    assert body(done) == b"*-1\r\n"


def test_what_is_spoilt_is_discarded() -> None:
    world = World()
    session = world.session()
    session.multi = True
    world.send(session, "SET a 1")
    session.spoilt = "refused"
    done = world.send(session, "EXEC")
    assert body(done).startswith(b"-EXECABORT")
    assert world.heard() == "MULTI SET a 1 DISCARD"
    world.say(b"+OK\r\n+QUEUED\r\n+OK\r\n")
    session.settle()
    assert len(world.pool.idle) == 1


def test_exec_with_arguments_discards() -> None:
    world = World()
    session = world.session()
    session.multi = True
    world.send(session, "SET a 1")
    session.spoilt = "not to be executed"
    done = world.send(session, "EXEC x")
    assert body(done) == (
        b"-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n"
    )
    assert world.heard() == "MULTI SET a 1 DISCARD"
    assert not session.multi and not session.spoilt


def test_a_lost_connection_spoils_what_was_held_there_and_nothing_else() -> None:
    world = World()
    session, waiting = world.session(), world.session()
    session.multi = True
    queued = world.send(session, "SET a 1")
    blocked = world.send(waiting, "BLPOP q 0")
    for each in list(world.connector.protocols):
        each.fail(MeshError(Kind.RESET, "gone"))
    for pending in (queued, blocked):
        with pytest.raises(MeshError, match="gone"):
            body(pending)
    assert session.spoilt == "gone"
    assert not waiting.spoilt
    assert body(world.send(session, "EXEC")).startswith(b"-EXECABORT")
    # Who only waited can wait again.
    world.send(waiting, "BLPOP q 0")
    assert world.pool.open == 1
    assert world.lost == []


def test_a_listener_whose_connection_is_lost_is_told() -> None:
    world = World()
    session = world.session()
    world.send(session, "SUBSCRIBE a")
    world.say(b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
    world.connector.protocols[-1].fail(MeshError(Kind.RESET, "gone"))
    assert world.lost == ["gone"]


def test_what_a_client_has_left_behind_is_closed() -> None:
    world = World()
    session = world.session()
    session.multi = True
    world.send(session, "SET a 1")
    world.say(b"+OK\r\n+QUEUED\r\n")
    # A filter refused EXEC: the server never heard of the end.
    session.multi = False
    session.settle()
    assert world.pool.open == 0


@pytest.mark.parametrize("text", ["BLPOP q 0", "XREAD BLOCK 0 STREAMS s $"])
def test_what_waits_is_ended_by_its_server(text: str) -> None:
    """Over another connection, by the number that the server gives to this one: so nothing that it gave out is lost."""
    world = World()
    session = world.session()
    waiting = world.send(session, text)
    assert session.unblock(b"TIMEOUT") == [], "nobody knows who it is"
    assert world.connector.protocols[-1]._transport.value().startswith(b"*2\r\n$6\r\nCLIENT\r\n$2\r\nID\r\n")
    world.say(b"")
    asked = session.unblock(b"ERROR")
    assert [each for each, _ in world.asked] == [f"CLIENT UNBLOCK {NUMBER} ERROR"]
    assert asked == [world.asked[0][1]]
    assert world.asked[0][1].call.timeout == 5.0
    world.say(b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")
    assert body(waiting).startswith(b"-UNBLOCKED")
    assert session.unblock(b"TIMEOUT") == [], "it does not wait any more"
    session.settle()
    # The next one that has this connection does not ask again.
    world.heard()
    world.send(world.session(), "BLPOP q 0")
    assert world.connector.protocols[-1]._transport.value().startswith(b"*3\r\n$5\r\nBLPOP")


def test_what_waits_while_something_is_watched_can_be_ended() -> None:
    world = World()
    session = world.session()
    session.watching = True
    world.send(session, "WATCH a")
    waiting = world.send(session, "BLPOP q 0")
    world.say(b"+OK\r\n")
    world.say(b"")
    assert len(session.unblock(b"TIMEOUT")) == 1
    world.say(b"*-1\r\n")
    assert body(waiting) == b"*-1\r\n"


def test_what_a_server_refuses_does_not_bind_a_client() -> None:
    world = World()
    session = world.session()
    session.tracking = True
    refused = world.send(session, "CLIENT TRACKING ON PREFIX a")
    world.say(b"-ERR PREFIX option requires BCAST mode to be enabled\r\n")
    assert body(refused).startswith(b"-ERR PREFIX")
    assert not session.bound
    session.settle()
    assert len(world.pool.idle) == 1
    session.tracking = True
    world.send(session, "CLIENT TRACKING ON")
    world.say(b"+OK\r\n")
    session.tracking = False
    world.send(session, "CLIENT TRACKING OFF x")
    world.say(b"-ERR syntax error\r\n")
    assert session.tracking

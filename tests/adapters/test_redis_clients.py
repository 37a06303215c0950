"""CLIENT, among the clients of one listener."""

from __future__ import annotations

import re
from typing import Any, Optional

import pytest

from tests.adapters.redis_listening import Client
from tests.adapters.test_redis_local import said
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.park import Parked
from twisted_mesh.redis_call import RedisReply


def test_info_and_list_tell_of_clients() -> None:
    client = Client()
    other, _ = client.connect()
    client.send(
        ("CLIENT", "SETNAME", "me"), ("CLIENT", "SETINFO", "LIB-NAME", "lib"), ("CLIENT", "SETINFO", "lib-ver", "1.0")
    )
    client.env.time.advance(3)
    _ = client.heard
    info = said(client, "CLIENT", "INFO").decode()
    assert info.endswith("\n")
    facts = dict(each.split("=", 1) for each in info.split())
    assert facts["id"] == "1"
    assert facts["addr"] == "192.0.2.1:5"
    assert (facts["name"], facts["lib-name"], facts["lib-ver"]) == ("me", "lib", "1.0")
    assert (facts["age"], facts["idle"], facts["cmd"], facts["user"]) == ("3", "0", "client|info", "default")
    lines = said(client, "CLIENT", "LIST").decode().splitlines()
    assert [line.split()[0] for line in lines] == ["id=1", "id=2"]
    assert said(client, "CLIENT", "LIST", "ID", "2").decode().startswith("id=2 ")
    assert said(client, "CLIENT", "LIST", "TYPE", "pubsub") == b""
    assert said(client, "CLIENT", "ID") == 1
    assert other.id == 2


def test_kill_ends_others_at_once_and_oneself_behind_the_answer() -> None:
    client = Client()
    other, _ = client.connect()
    assert said(client, "CLIENT", "KILL", "ID", "2") == 1
    assert other.gone
    assert said(client, "CLIENT", "KILL", "USER", "default") == 0
    assert said(client, "CLIENT", "KILL", "USER", "default", "SKIPME", "no") == 1
    assert client.transport.finished


def test_kill_by_age() -> None:
    client = Client()
    client.env.time.advance(100)
    other, _ = client.connect()
    assert said(client, "CLIENT", "KILL", "MAXAGE", "50", "SKIPME", "no") == 1
    assert not other.gone


def flags(client: Client, number: int) -> tuple[str, ...]:
    """What CLIENT LIST says of a client's state."""
    line = said(client, "CLIENT", "LIST", "ID", str(number)).decode()
    facts = dict(each.split("=", 1) for each in line.split())
    return facts["flags"], facts["sub"], facts["psub"], facts["multi"]


def test_whom_invalidations_go_to_is_told() -> None:
    client = Client()
    other, _ = client.connect()
    assert b" redir=-1 " in said(client, "CLIENT", "LIST", "ID", "2")
    other.dataReceived(b"HELLO 3\r\nCLIENT TRACKING ON\r\n")
    assert other.binding is not None
    assert other.binding.session.tracking
    assert b" redir=0 " in said(client, "CLIENT", "LIST", "ID", "2")


def test_lines_of_clients_are_text_where_there_is_text() -> None:
    """A client of RESP3 learns that it is to be shown as it is, as from a server."""
    client = Client()
    for asked in (("CLIENT", "INFO"), ("CLIENT", "LIST")):
        client.send(("HELLO", "2"), asked)
        assert re.search(rb"\$\d+\r\nid=1 ", client.heard)
        client.send(("HELLO", "3"), asked)
        found = re.search(rb"=(\d+)\r\n(txt:id=1 [^\n]*\n)\r\n", client.heard)
        assert found is not None
        assert int(found[1]) == len(found[2])


def test_what_binds_a_client_is_told() -> None:
    client = Client()
    other, _ = client.connect()
    assert flags(client, 2) == ("N", "0", "0", "-1")
    other.dataReceived(b"MULTI\r\nGET a\r\n")
    assert flags(client, 2) == ("x", "0", "0", "1")
    third, _ = client.connect()
    third.dataReceived(b"BLPOP a 0\r\n")
    assert flags(client, 3) == ("b", "0", "0", "-1")
    assert said(client, "CLIENT", "UNBLOCK", "3") == 0
    assert said(client, "CLIENT", "UNBLOCK", "2") == 0
    assert third.binding is not None
    third.binding.session.confirm("SUBSCRIBE", b"news", 2)
    assert flags(client, 3) == ("Pb", "1", "0", "-1")
    assert said(client, "CLIENT", "LIST", "TYPE", "pubsub").startswith(b"id=3 ")
    assert said(client, "CLIENT", "KILL", "TYPE", "pubsub") == 1
    assert third.gone
    assert str(said(client, "CLIENT", "KILL", "TYPE", "odd")) == "ERR Unknown client type 'odd'"
    assert said(client, "CLIENT", "KILL", "SKIPME", "yes") == 1
    assert other.gone


class Lane:
    """A client's own connection at whose end something waits."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, Parked[Any]]] = []
        self.refused: Optional[MeshError] = None

    def unblock(self, how: bytes) -> Parked[Any]:
        if self.refused is not None:
            raise self.refused
        self.asked.append((how, Parked()))
        return self.asked[-1][1]


def waiting(client: Client) -> list[Lane]:
    """A second client that waits, at two servers."""
    other, _ = client.connect()
    other.dataReceived(b"BLPOP a 0\r\n")
    assert other.binding is not None
    lanes = [Lane(), Lane()]
    other.binding.session.lanes.update(enumerate(lanes))  # type: ignore[arg-type]
    return lanes


@pytest.mark.parametrize(("words", "how"), [((), b"TIMEOUT"), (("timeout",), b"TIMEOUT"), (("Error",), b"ERROR")])
def test_a_client_that_waits_is_unblocked_by_servers(words: tuple[str, ...], how: bytes) -> None:
    client = Client()
    lanes = waiting(client)
    client.send(("GET", "a"), ("CLIENT", "UNBLOCK", "2", *words), ("PING",))
    assert [each.asked[0][0] for each in lanes] == [how, how]
    client.answer(1, b"$1\r\nA\r\n")
    assert client.heard == b"$1\r\nA\r\n"
    lanes[0].asked[0][1].fire(RedisReply(b":1\r\n"))
    client.turn()
    assert client.heard == b""
    lanes[1].asked[0][1].fire(RedisReply(b":0\r\n"))
    client.turn()
    assert client.heard == b":1\r\n+PONG\r\n"


def test_what_goes_wrong_while_somebody_is_unblocked_is_said() -> None:
    client = Client()
    lanes = waiting(client)
    client.send(("CLIENT", "UNBLOCK", "2"))
    lanes[0].asked[0][1].fire(RedisReply(b":0\r\n"))
    lanes[1].asked[0][1].fail(MeshError(Kind.RESET, "lost"))
    client.turn()
    assert client.heard == b"-MESHFAILURE upstream failure: lost\r\n"
    lanes[0].refused = MeshError(Kind.OVERFLOW, "too much")
    client.send(("CLIENT", "UNBLOCK", "2"))
    assert client.heard.startswith(b"-MESHLIMIT ")
    lanes[0].refused = None
    client.send(("CLIENT", "UNBLOCK", "2"))
    client.leave()
    for each in lanes:
        each.asked[-1][1].fire(RedisReply(b":1\r\n"))


def test_who_wants_no_answers_gets_none_of_an_unblocking() -> None:
    client = Client()
    lanes = waiting(client)
    client.send(("CLIENT", "REPLY", "SKIP"), ("CLIENT", "UNBLOCK", "2"), ("PING",))
    for each in lanes:
        each.asked[0][1].fire(RedisReply(b":1\r\n"))
    client.turn()
    assert client.heard == b"+PONG\r\n"


def test_kill_goes_by_the_last_of_each_option_and_knows_users() -> None:
    client = Client()
    other, _ = client.connect()
    assert str(said(client, "CLIENT", "KILL", "USER", "nobody")) == "ERR No such user 'nobody'"
    assert said(client, "CLIENT", "KILL", "ID", "99999999999") == 0
    assert said(client, "CLIENT", "KILL", "ID", "77", "ID", "2") == 1
    assert other.gone

"""Who a client is, and what it is refused, in a server's words."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from tests.adapters.redis_client import Client


def user(name: str, password: str, **rights: Any) -> dict[str, Any]:
    return {"name": name, "passwords": f"sha256:{sha256(password.encode()).hexdigest()}", **rights}


ANN = user("ann", "pw", read=["a:"], write=["b:"], commands=["-@dangerous"])
WRONG = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"


def test_nothing_before_a_login_and_everything_behind_it() -> None:
    client = Client(users=[ANN, user("default", "x")])
    client.send("GET a:1", "PING", "NOSUCH", "GET")
    lines = client.heard().split(b"\r\n")
    assert lines[:2] == [b"-NOAUTH Authentication required."] * 2
    assert lines[2].startswith(b"-ERR unknown command")
    assert lines[3].startswith(b"-ERR wrong number of arguments for 'get'")
    client.send("AUTH wrong", "AUTH ann wrong", "AUTH ann pw", "GET a:1")
    assert client.heard() == WRONG * 2 + b"+OK\r\n"
    assert client.seen == ["GET a:1"]
    assert client.calls[0][0].identity == "ann"
    client.reply(b"$-1\r\n")
    client.send("RESET", "GET a:1")
    assert client.heard() == b"$-1\r\n+RESET\r\n-NOAUTH Authentication required.\r\n"


def test_hello_logs_in_too() -> None:
    client = Client(users=[ANN])
    client.send("HELLO 3")
    assert client.heard().startswith(b"-NOAUTH HELLO must be called with the client already authenticated")
    client.send("HELLO 3 AUTH ann wrong", "HELLO 3 AUTH ann pw")
    said = client.heard()
    assert said.startswith(WRONG + b"%7\r\n")


def test_what_is_refused_stands_in_its_place() -> None:
    client = Client(users=[ANN])
    client.send("AUTH ann pw")
    client.heard()
    client.send("SET b:1 x", "SET a:1 x", "SET b:2 x", "KEYS *", "GET b:1", "GET a:1")
    assert client.seen == ["SET b:1 x", "SET b:2 x", "GET a:1"]
    client.reply(b"+OK\r\n", b"+OK\r\n", b"$1\r\n1\r\n")
    key = b"-NOPERM No permissions to access a key\r\n"
    keys = b"-NOPERM User ann has no permissions to run the 'keys' command\r\n"
    assert client.heard() == b"+OK\r\n" + key + b"+OK\r\n" + keys + key + b"$1\r\n1\r\n"


def test_a_transaction_with_something_refused_in_it_cannot_be_executed() -> None:
    client = Client(users=[ANN])
    client.send("AUTH ann pw", "MULTI", "SET a:1 x", "EXEC")
    assert client.heard().split(b"\r\n")[2:4] == [
        b"-NOPERM No permissions to access a key",
        b"-EXECABORT Transaction discarded because of previous errors.",
    ]
    assert client.seen == []


def test_where_there_are_no_users_only_a_wrong_name_is_wrong() -> None:
    client = Client()
    client.send("AUTH pw", "AUTH ann pw", "AUTH default anything", "AUTH a b c", "ACL WHOAMI")
    lines = client.heard().split(b"\r\n")
    assert lines[0].startswith(b"-ERR AUTH <password> called without any password configured")
    assert lines[1:] == [WRONG[:-2], b"+OK", b"-ERR syntax error", b"$7", b"default", b""]


@pytest.mark.parametrize(
    ("after", "answer"),
    [
        ([user("ann", "new", read=["c:"])], b"-NOPERM No permissions to access a key\r\n"),
        ([], None),
    ],
)
def test_rights_change_for_who_is_logged_in(after: list[Any], answer: Any) -> None:
    client = Client(users=[ANN])
    client.send("AUTH ann pw")
    client.heard()
    client.adapter.configure(type(client.adapter.options).model_validate({"users": after}))
    client.send("GET a:1")
    if answer is None:
        assert client.seen == ["GET a:1"]
    else:
        assert client.heard() == answer


def test_who_is_no_user_any_more_is_closed() -> None:
    client = Client(users=[ANN])
    client.send("AUTH ann pw")
    client.adapter.configure(type(client.adapter.options).model_validate({"users": [user("bob", "x")]}))
    client.loop.turn()
    assert client.transport.ended == "finished"


APP = {"name": "app", "identities": ["spiffe://shop/app", "app.example"], "read": ["a:"], "write": ["b:"]}


def test_a_certificate_is_a_login() -> None:
    """From the first command on, with all rules for that user; AUTH makes the client another, RESET itself again."""
    client = Client(users=[APP, ANN], certificate="spiffe://shop/app")
    client.send(
        "ACL WHOAMI", "GET a:1", "GET b:1", "AUTH ann pw", "ACL WHOAMI", "AUTH ann wrong", "RESET", "ACL WHOAMI"
    )
    assert client.seen == ["GET a:1"]
    assert client.calls[0][0].identity == "app"
    client.reply(b"$-1\r\n")
    key = b"-NOPERM No permissions to access a key\r\n"
    said = b"$3\r\napp\r\n$-1\r\n" + key + b"+OK\r\n$3\r\nann\r\n" + WRONG + b"+RESET\r\n$3\r\napp\r\n"
    assert client.heard() == said


def test_hello_needs_no_login_with_a_certificate() -> None:
    client = Client(users=[APP], certificate="app.example")
    client.send("HELLO 3")
    assert client.heard().startswith(b"%7\r\n")


def test_a_certificate_of_nobody_is_no_login() -> None:
    """What is refused is logged with the name in it."""
    client = Client(users=[APP, ANN], certificate="spiffe://shop/other")
    logged: list[Any] = []
    client.adapter.observers = [lambda call, proceed: logged.append(call)]  # type: ignore[list-item,return-value]
    client.send("GET a:1", "AUTH ann pw", "GET a:1")
    assert client.heard() == b"-NOAUTH Authentication required.\r\n+OK\r\n"
    assert [each.identity for each in logged] == ["spiffe://shop/other"]
    assert client.calls[0][0].identity == "ann"


def test_without_users_a_certificate_says_who_calls() -> None:
    client = Client(certificate="spiffe://shop/app")
    client.send("GET a", "MGET a b")
    assert [each.identity for each, _ in client.calls] == ["spiffe://shop/app"] * 2
    other = Client(client.adapter)
    other.send("GET a")
    assert other.calls[0][0].identity is None


def test_users_may_change_while_a_client_with_a_certificate_is_there() -> None:
    """Who was nobody becomes somebody, and whose user is gone is closed."""
    client = Client(users=[ANN], certificate="app.example")
    client.send("PING")
    assert client.heard() == b"-NOAUTH Authentication required.\r\n"
    options = client.adapter.options.model_validate({"users": [APP]})
    client.adapter.configure(options)
    client.send("ACL WHOAMI")
    assert client.heard() == b"$3\r\napp\r\n"
    client.adapter.configure(client.adapter.options.model_validate({}))
    client.send("GET a:1")
    assert client.calls[0][0].identity == "app.example"
    client.reply(b"$-1\r\n")
    client.adapter.configure(options)
    client.adapter.configure(client.adapter.options.model_validate({"users": [ANN]}))
    client.heard()
    assert client.transport.ended == "finished"


def test_a_client_that_comes_in_a_drain_is_sent_away() -> None:
    """Its handshake had begun before."""
    client = Client(users=[APP], certificate="app.example")
    client.adapter.drain()
    other = Client(client.adapter, certificate="app.example")
    other.heard()
    assert other.transport.ended == "finished"

"""Users of a Redis listener, seen by a client library: logging in, what they may send, and changes while they are."""

from __future__ import annotations

import json
import signal
from hashlib import sha256
from pathlib import Path
from typing import Any, Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers import Server
from tests.support import Mesh, RawClient, free_port, start_mesh, until

SECRETS = {"ann": "ann's old", "default": "open sesame", "reader": "r"}


def hashed(*passwords: str) -> list[str]:
    return [f"sha256:{sha256(each.encode()).hexdigest()}" for each in passwords]


def config(server: Server, port: int, log: Path, *users: dict[str, Any]) -> str:
    return json.dumps(
        {
            "access_log": {"path": str(log)},
            "listeners": {
                "cache": {
                    "protocol": "redis",
                    "bind": f"127.0.0.1:{port}",
                    "redis": {"users": users},
                    "routes": [{"to": "servers"}],
                }
            },
            "clusters": {"servers": {"endpoints": [server.address]}},
        }
    )


ANN = {
    "name": "ann",
    "passwords": hashed("ann's old", "ann's new"),
    "commands": ["@all", "@scripting"],
    "read": ["a:", "b:"],
    "write": ["b:"],
}
READER = {"name": "reader", "passwords": hashed("r"), "commands": ["@read", "-KEYS", "@connection"]}
DEFAULT = {"name": "default", "passwords": hashed("open sesame")}


class Users:
    """A sidecar with users, and clients of it."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.server = server
        self.port = free_port()
        self.log = directory / "access.log"
        self.mesh: Mesh = start_mesh(config(server, self.port, self.log, ANN, READER, DEFAULT), directory)

    def client(self, name: str = "", password: str = "", **options: Any) -> Any:
        options.setdefault("username", name or None)
        options.setdefault("password", password or None)
        # Who is refused is told at once.
        options.setdefault("retry", Retry(NoBackoff(), 0))
        return redis.Redis("127.0.0.1", self.port, socket_timeout=10, **options)

    def have(self, *users: dict[str, Any]) -> None:
        self.mesh.config.write_text(config(self.server, self.port, self.log, *users))
        self.mesh.process.send_signal(signal.SIGHUP)

    def logged(self, flag: str) -> list[dict[str, Any]]:
        lines = [json.loads(each) for each in self.log.read_text().splitlines()] if self.log.exists() else []
        return [each for each in lines if flag in each["flags"]]


@pytest.fixture
def users(redis_server: Server, tmp_path: Path) -> Iterator[Users]:
    one = Users(redis_server, tmp_path)
    yield one
    one.mesh.stop()


def test_who_has_not_logged_in_may_do_nothing_else(users: Users) -> None:
    stranger = users.client(protocol=2)
    for command in (["GET", "a"], ["PING"], ["COMMAND"], ["KEYS", "*"]):
        with pytest.raises(redis.AuthenticationError, match="Authentication required"):
            stranger.execute_command(*command)
    with RawClient(users.port) as raw:
        raw.send(b"HELLO 3\r\nHELLO 3 AUTH ann wrong\r\nNOSUCH\r\nAUTH a b c\r\nQUIT\r\n")
        lines = raw.read_to_end().split(b"\r\n")
    assert lines[0].startswith(b"-NOAUTH HELLO must be called with the client already authenticated")
    assert lines[1] == b"-WRONGPASS invalid username-password pair or user is disabled."
    assert lines[2].startswith(b"-ERR unknown command 'NOSUCH'")
    assert lines[3:] == [b"-ERR syntax error", b"+OK", b""]
    with pytest.raises(redis.AuthenticationError, match="invalid username-password pair"):
        users.client("ann", "wrong").ping()
    with pytest.raises(redis.AuthenticationError, match="invalid username-password pair"):
        users.client("nobody", "open sesame", protocol=2).ping()
    assert users.server("KEYS", "*") == []
    seen = until(lambda: users.logged("UAEX"))
    assert any("Authentication required" in each["details"] for each in seen)


@pytest.mark.parametrize("protocol", [2, 3])
def test_each_password_is_good_in_both_protocols(users: Users, protocol: int) -> None:
    for name, password in (("ann", "ann's old"), ("ann", "ann's new"), ("", "open sesame"), ("default", "open sesame")):
        client = users.client(name, password, protocol=protocol)
        assert client.ping()
        assert client.acl_whoami() == (name or "default").encode() or client.acl_whoami() == (name or "default")


def test_commands_keys_and_channels_are_those_of_the_user(users: Users) -> None:
    users.server("SET", "a:1", "one")
    ann = users.client("ann", "ann's old")
    assert ann.get("a:1") == b"one"
    assert ann.set("b:1", "x")
    assert ann.mget("a:1", "b:1") == [b"one", b"x"]
    for refused in (
        lambda: ann.set("a:1", "y"),
        lambda: ann.get("c:1"),
        lambda: ann.mget("a:1", "c:1"),
        lambda: ann.rename("b:1", "c:1"),
        lambda: ann.copy("b:1", "a:2"),
        lambda: ann.eval("return 1", 1, "c"),
        lambda: ann.incr("a:9"),
    ):
        with pytest.raises(redis.exceptions.NoPermissionError, match="No permissions to access a key"):
            refused()
    # In a pipeline what is refused has its place, and the others are done.
    pipe = ann.pipeline(transaction=False)
    pipe.get("a:1").set("a:1", "y").set("b:2", "z").get("c").get("b:2")
    answers = pipe.execute(raise_on_error=False)
    assert [str(each) if isinstance(each, Exception) else each for each in answers] == [
        b"one",
        "No permissions to access a key",
        True,
        "No permissions to access a key",
        b"z",
    ]
    assert users.server("GET", "a:1") == b"one"
    reader = users.client("reader", "r")
    assert reader.get("a:1") == b"one"
    for name in ("SET", "KEYS", "FLUSHALL"):
        with pytest.raises(
            redis.exceptions.NoPermissionError, match=f"no permissions to run the '{name.lower()}' comm"
        ):
            reader.execute_command(name, *(["*"] if name == "KEYS" else ["a", "b"] if name == "SET" else []))
    assert users.server("GET", "a:1") == b"one"


def test_a_large_value_is_judged_by_its_key(users: Users) -> None:
    ann = users.client("ann", "ann's old")
    value = b"x" * 3_000_000
    assert ann.set("b:large", value)
    assert ann.get("b:large") == value
    with pytest.raises(redis.exceptions.NoPermissionError):
        ann.set("c:large", value)
    assert users.server("EXISTS", "c:large") == 0
    assert ann.ping()


def refused(command: Any) -> bool:
    """Whether the user may not do this."""
    try:
        command()
    except redis.exceptions.NoPermissionError:
        return True
    return False


def test_users_change_while_they_are_logged_in(users: Users) -> None:
    ann, reader = users.client("ann", "ann's new"), users.client("reader", "r")
    assert ann.get("b:1") is None
    assert reader.get("b:1") is None
    users.have({**ANN, "passwords": hashed("ann's new"), "read": ["c:"]}, DEFAULT)
    # Who is logged in stays so, with the new rights; who is no user any more is closed and has to log in again.
    until(lambda: refused(lambda: ann.get("a:1")))
    assert ann.get("c:1") is None
    with pytest.raises(redis.AuthenticationError):
        reader.get("b:1")
    with pytest.raises(redis.AuthenticationError):
        users.client("ann", "ann's old").ping()
    users.have()
    until(lambda: users.client().ping())
    assert ann.get("a:1") is None

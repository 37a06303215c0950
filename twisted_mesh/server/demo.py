"""``make run``: a whole mesh to play with, and a change of its configuration while a client runs.

There is a sidecar at the edge, which starts the Redis of the mesh, two versions of a small HTTP service, each behind
`meshctl run`, and a TCP echo.  Everything runs as a process of its own, as in real life: a service can be killed to see
what the sidecars make of it.  Ctrl-C stops all of them.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Iterator, Mapping, Sequence

from twisted_mesh.server import demo_files

# Where things are if nobody else is there.
PORTS = {
    "http": 8080,
    "tcp": 8081,
    "admin": 9901,
    "redis": 6380,
    "v1": 9001,
    "v2": 9002,
    "echo": 9003,
    "v1-in": 9011,
    "v2-in": 9012,
}
# Seconds for the mesh to come up, and for everything to go.
START_LIMIT = 30.0
STOP_LIMIT = 10.0
LOOK = 0.1
# Calls that the client makes between two changes.
CALLS = 100


def say(text: str) -> None:
    """Print, also into a pipe, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def choose_ports(wanted: Mapping[str, int]) -> dict[str, int]:
    """Return the ports that are wanted; those that are busy replaced by free ones, which is said."""
    chosen = {}
    with contextlib.ExitStack() as held:
        # All are held until all are chosen, so that no free one is chosen twice.
        for name, port in wanted.items():
            sock = held.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                sock.bind(("127.0.0.1", 0))
                say(f"port {port} ({name}) is busy: using {sock.getsockname()[1]} instead")
            chosen[name] = sock.getsockname()[1]
    return chosen


def _die_with_parent() -> None:
    """In a child, on Linux: end when the demonstration does, even if that is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Demonstration:
    """The processes that were started, by name."""

    def __init__(self, directory: Path, ports: Mapping[str, int]) -> None:
        self.directory = directory
        self.ports = ports
        self.log = directory / "mesh.log"
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start everything: the edge first, which has the Redis that all need."""
        demo_files.write(self.directory, self.ports)
        service = [sys.executable, "-m", "twisted_mesh.server.demo_services"]
        self._spawn("edge", [*_twistd(), "--config", str(self.directory / "edge.yaml")])
        self._spawn("echo", [*service, "echo", str(self.ports["echo"])])
        for version in ("v1", "v2"):
            command = [*service, "http", version, str(self.ports[version])]
            self._spawn(version, [*_meshctl(), "run", "--config", f"{self.directory}/{version}.yaml", "--", *command])

    def _spawn(self, name: str, command: Sequence[str]) -> None:
        with self.log.open("ab") as log:
            # In a session of its own, so that a Ctrl-C comes to us alone and we choose the order.
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 (no thread was started here)
            )

    def wait_until_ready(self) -> bool:
        """Wait until both versions answer calls; returns whether they do."""
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline and all(each.poll() is None for each in self._running.values()):
            if self.ask() == "v1" and self.ask("v2") == "v2":
                return True
            time.sleep(LOOK)
        return False

    def ask(self, version: str = "") -> str:
        """Ask the edge once; returns which version has answered, "" if none has."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["http"], timeout=1.0)
        try:
            connection.request("GET", "/", headers={"x-version": version} if version else {})
            answer = connection.getresponse()
            return str(json.loads(answer.read())["service"]) if answer.status == 200 else ""
        except (OSError, http.client.HTTPException, ValueError):
            return ""
        finally:
            connection.close()

    # --- the change

    def show(self) -> None:
        """Shift the traffic from v1 to v2 by `meshctl apply`, with a client that goes on all the while."""
        with Client(self) as client:
            say(f"\nA client asks the edge again and again: {client.count()}")
            for name, (comment, _) in demo_files.SHIFTS.items():
                base = f"{self.directory}/edge.yaml"
                file = f"{self.directory}/{name}"
                self._meshctl("apply", "-f", file, "--base", base, "--wait", "--reason", comment)
                say(f"The client goes on: {client.count()}")
            self._meshctl("delete", "routes/shop", "--wait", "--reason", "the end of the show: the file's are back")

    def _meshctl(self, *words: str) -> None:
        say(f"\n$ meshctl {shlex.join(words)}")
        done = subprocess.run(
            [*_meshctl(), *words], env={**_environment(), **self._mesh()}, capture_output=True, text=True, check=False
        )
        say((done.stdout + done.stderr).rstrip())

    def _mesh(self) -> Mapping[str, str]:
        return {"MESHCTL_REDIS": f"redis://127.0.0.1:{self.ports['redis']}", "MESHCTL_MESH": "demo"}

    def guide(self) -> str:
        """What to try."""
        script = Path(sys.executable).with_name("meshctl")
        meshctl = str(script) if script.exists() else shlex.join(_meshctl())
        return demo_files.guide(self.directory, self.ports, meshctl, self._running["v2"].pid)

    def watch(self) -> int:
        """Run until the edge ends, and return its status; a service that ends is only mentioned."""
        while True:
            for name in [name for name, each in self._running.items() if each.poll() is not None]:
                status = self._running.pop(name).returncode
                say(f"{name} has ended with status {status}")
                if name == "edge":
                    return status
            time.sleep(LOOK)

    def stop(self) -> None:
        """Stop the services, and then the edge, which has the Redis."""
        for name in reversed(list(self._running)):
            process = self._running.pop(name)
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _twistd() -> list[str]:
    script = Path(sys.executable).with_name("twistd")
    if script.exists():
        return [str(script), "-n", "--pidfile=", "mesh"]
    return [sys.executable, "-m", "twisted_mesh"]


def _meshctl() -> list[str]:
    return [sys.executable, "-m", "twisted_mesh.cli.main"]


def _environment() -> Mapping[str, str]:
    """Return the environment without what would have the demonstration use another mesh."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MESHCTL_", "MESH_"))}


class Client:
    """Asks again and again, in a thread, and counts who has answered."""

    def __init__(self, demonstration: Demonstration) -> None:
        self._demonstration = demonstration
        self._answers: list[str] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join(STOP_LIMIT)

    def _run(self) -> None:
        while not self._ended.wait(0.005):
            self._answers.append(self._demonstration.ask() or "failed")

    def count(self) -> str:
        """Return who answers the next calls, in words."""
        self._answers.clear()
        deadline = time.monotonic() + STOP_LIMIT
        while len(self._answers) < CALLS and time.monotonic() < deadline:
            time.sleep(LOOK)
        counted = Counter(self._answers)
        return ", ".join(f"{number} from {name}" for name, number in sorted(counted.items()))


@contextlib.contextmanager
def _interrupted_by(*numbers: int) -> Iterator[None]:
    """Have these signals do what Ctrl-C does."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, interrupt)
    yield


def main(arguments: Sequence[str]) -> int:
    """Run the demonstration, and show a change unless ``--no-show`` is said; returns the exit status."""
    with tempfile.TemporaryDirectory(prefix="twisted-mesh-") as directory:
        demonstration = Demonstration(Path(directory), choose_ports(PORTS))
        try:
            # make and some shells start background jobs with SIGINT ignored.
            with _interrupted_by(signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                demonstration.start()
                if not demonstration.wait_until_ready():
                    say(demonstration.log.read_text("utf-8", "replace"))
                    say("the mesh did not come up")
                    return 1
                if "--no-show" not in arguments:
                    demonstration.show()
                say(demonstration.guide())
                return demonstration.watch()
        except KeyboardInterrupt:
            say("stopping")
            return 0
        finally:
            # Nothing interrupts the end.
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            demonstration.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

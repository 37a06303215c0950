"""``make run``: two versions of a small HTTP service, a TCP echo, and a sidecar in front of them, to play with.

Everything runs as a process of its own, as in real life: a service can be killed to see what the sidecar makes of it.
Ctrl-C stops all of them.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Iterator, Mapping, Sequence

# Where things are if nobody else is there.
PORTS = {"http": 8080, "tcp": 8081, "admin": 9901, "v1": 9001, "v2": 9002, "echo": 9003}
# Seconds for the sidecar to come up, and for everything to go.
START_LIMIT = 30.0
STOP_LIMIT = 10.0
LOOK = 0.1

CONFIG = """\
# The demonstration's configuration.  Change it and save: the sidecar notices by itself, and says so in its log.
node: {{id: demo, service: demo}}
admin: 127.0.0.1:{admin}
access_log: {{path: "-", format: text}}
drain: {{wait: 0s, limit: 5s}}

listeners:
  web:
    protocol: http
    bind: 127.0.0.1:{http}
    filters:
      - headers: {{response: {{set: {{x-served-by: twisted_mesh}}}}}}
    routes: shop
  echo: {{protocol: tcp, bind: "127.0.0.1:{tcp}", routes: [{{to: echo}}]}}

routes:
  shop:
    - name: hello                       # the sidecar answers this by itself
      match: {{path: /hello}}
      reply: {{status: 200, body: "hello from the mesh\\n"}}
    - name: preview                     # whoever asks for it gets the new version
      match: {{header: {{x-version: v2}}}}
      to: v2
    - name: canary                      # one call in ten goes to the new version
      to: {{v1: 90, v2: 10}}

clusters:
  v1: {{endpoints: ["127.0.0.1:{v1}"], health_check: {{http: /healthz, interval: 1s}}}}
  v2: {{endpoints: ["127.0.0.1:{v2}"], health_check: {{http: /healthz, interval: 1s}}}}
  echo: {{endpoints: ["127.0.0.1:{echo}"]}}
"""

# What to try, and what comes of it.
TRIES = (
    ("curl http://127.0.0.1:{http}/", "nine in ten from v1, one from v2"),
    ('curl -H "x-version: v2" http://127.0.0.1:{http}/', "always v2"),
    ("curl -i http://127.0.0.1:{http}/hello", "from the sidecar itself, with the header that a filter sets"),
    ("curl telnet://127.0.0.1:{tcp}", "what you type comes back"),
    ("curl http://127.0.0.1:{admin}/clusters", "the admin: also /listeners /config /metrics /ready"),
    ("kill {v1_pid}", "the end of v1: see its health in /clusters, and what calls get"),
)


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
        self.config = directory / "mesh.yaml"
        self.log = directory / "mesh.log"
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start everything, the sidecar last."""
        self.config.write_text(CONFIG.format(**self.ports))
        service = [sys.executable, "-m", "twisted_mesh.server.demo_services"]
        self._spawn("v1", [*service, "http", "v1", str(self.ports["v1"])])
        self._spawn("v2", [*service, "http", "v2", str(self.ports["v2"])])
        self._spawn("echo", [*service, "echo", str(self.ports["echo"])])
        self._spawn("sidecar", [*_twistd(), "--config", str(self.config)])

    def _spawn(self, name: str, command: Sequence[str]) -> None:
        with self.log.open("ab") as log:
            # In a session of its own, so that a Ctrl-C comes to us alone and we choose the order.
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 (no thread was started here)
            )

    def wait_until_ready(self) -> bool:
        """Wait until the sidecar answers calls; returns whether it does."""
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline and self._running["sidecar"].poll() is None:
            if self._ready():
                return True
            time.sleep(LOOK)
        return False

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["admin"], timeout=1.0)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def guide(self) -> str:
        """What to try."""
        tries = [(each.format(**self.ports, v1_pid=self._running["v1"].pid), comes) for each, comes in TRIES]
        width = max(len(each) for each, _ in tries)
        return "\n".join(
            [
                "",
                "A sidecar runs in front of two versions of a service and a TCP echo.  Try:",
                "",
                *(f"  {each:{width}}   {comes}" for each, comes in tries),
                "",
                f"admin          127.0.0.1:{self.ports['admin']}",
                f"configuration  {self.config}   change it, save it, and try again",
                f"log            {self.log}",
                "",
                "Ctrl-C stops all of it.",
            ]
        )

    def watch(self) -> int:
        """Run until the sidecar ends, and return its status; a service that ends is only mentioned."""
        while True:
            for name in [name for name, each in self._running.items() if each.poll() is not None]:
                status = self._running.pop(name).returncode
                say(f"{name} has ended with status {status}")
                if name == "sidecar":
                    return status
            time.sleep(LOOK)

    def stop(self) -> None:
        """Stop the sidecar, and then what it stands in front of."""
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


@contextlib.contextmanager
def _interrupted_by(*numbers: int) -> Iterator[None]:
    """Have these signals do what Ctrl-C does."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, interrupt)
    yield


def main() -> int:
    """Run the demonstration; returns the exit status."""
    with tempfile.TemporaryDirectory(prefix="twisted-mesh-") as directory:
        demonstration = Demonstration(Path(directory), choose_ports(PORTS))
        try:
            # make and some shells start background jobs with SIGINT ignored.
            with _interrupted_by(signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                demonstration.start()
                if not demonstration.wait_until_ready():
                    say(demonstration.log.read_text("utf-8", "replace"))
                    say("the sidecar did not come up")
                    return 1
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
    sys.exit(main())

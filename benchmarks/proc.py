"""Processes under test: started on one core, watched through /proc, stopped together with what they started."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Sequence

# The sidecar is that of this checkout, installed or not.
ROOT = Path(__file__).resolve().parent.parent
PATH = os.pathsep.join([str(ROOT), str(ROOT / "plugins"), *filter(None, [os.environ.get("PYTHONPATH")])])
_TICKS = os.sysconf("SC_CLK_TCK")


def _cores() -> tuple[Optional[int], Optional[int]]:
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) > 1 else (None, None)


# The core for what is measured, and the one for backend and load; None where they cannot be kept apart.
PROXY_CORE, LOAD_CORE = _cores()


def stay_on(core: Optional[int]) -> None:
    """Keep this process, and what it starts from now on, on one core."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now, and that the kernel gives to no outgoing connection."""
    for _ in range(1000):
        port = random.SystemRandom().randrange(12000, 32000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


@dataclass
class Group:
    """One command and its children, in a session of its own."""

    command: Sequence[str]
    core: Optional[int]
    log: Path
    _process: Optional[subprocess.Popen[bytes]] = None

    def start(self) -> None:
        """Start the command; what it prints goes to `log`."""
        stay_on(self.core)
        try:
            with open(self.log, "ab") as out:
                self._process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                    cwd=self.log.parent,
                    env={**os.environ, "PYTHONPATH": PATH},
                )
        finally:
            stay_on(LOAD_CORE)

    def stop(self) -> None:
        """End the whole group; SIGKILL for what has not ended after five seconds."""
        process = self._process
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                break
            deadline = time.monotonic() + 5
            while self.pids() and time.monotonic() < deadline:
                process.poll()
                time.sleep(0.02)
            if not self.pids():
                break
        process.wait()
        self._process = None

    def died(self) -> Optional[str]:
        """The end of what it printed, if it is no longer running."""
        if self._process is None or self._process.poll() is None:
            return None
        return f"{self.command[0]} ended with {self._process.returncode}: {self.said()}"

    def said(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(errors="replace")[-600:]

    def pids(self) -> list[int]:
        """The processes of the group that run now."""
        if self._process is None:
            return []
        found = []
        for entry in os.listdir("/proc"):
            stat = _stat(entry) if entry.isdigit() else None
            if stat is not None and int(stat[2]) == self._process.pid and stat[0] != "Z":
                found.append(int(entry))
        return found

    def cpu(self) -> float:
        """Seconds of CPU that the group has used, in user and kernel."""
        total = 0
        for pid in self.pids():
            stat = _stat(str(pid))
            if stat is not None:
                total += int(stat[11]) + int(stat[12])
        return total / _TICKS

    def resident(self) -> int:
        """Bytes of resident memory of the group."""
        pages = 0
        for pid in self.pids():
            try:
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            except OSError:
                continue
        return pages * os.sysconf("SC_PAGE_SIZE")


def _stat(pid: str) -> Optional[list[str]]:
    """The fields of /proc/PID/stat from the state on, so that the name in brackets cannot confuse the counting."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None


def wait_for_answer(port: int, group: Group, limit: float = 20.0) -> float:
    """Seconds until ``GET /`` on `port` is answered with 200, asked again every millisecond.

    :raises RuntimeError: the process died, or did not answer in `limit` seconds.
    """
    begun = time.monotonic()
    while time.monotonic() - begun < limit:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
                if sock.recv(65536).startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
                    return time.monotonic() - begun
        except OSError:
            pass
        died = group.died()
        if died:
            raise RuntimeError(died)
        time.sleep(0.001)
    raise RuntimeError(f"{group.command[0]} gave no answer in {limit:g} s: {group.said()}")

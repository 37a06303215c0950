"""The processes of `meshctl run`, none of which outlives it.

Both are in sessions of their own, so that a Ctrl-C comes to `meshctl` alone, which knows the order.  On Linux
`meshctl` adopts what they leave behind, and the kernel kills the command if `meshctl` is killed; the sidecar notices
that by the end of its line to it, sees to the command's whole group, drains and ends.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Iterator, Mapping, Optional, Sequence

# Where the sidecar finds its end of the line.
LINE = "MESH_SUPERVISOR_FD"
NOT_FOUND = 127
NOT_RUNNABLE = 126

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of what our children leave behind, on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def runnable(command: str) -> tuple[int, str]:
    """Return whether a command can be started: 0, or the status that a shell would give, and the reason."""
    if shutil.which(command):
        return 0, ""
    if os.path.exists(command) and os.sep in command:
        return NOT_RUNNABLE, "it is a directory" if os.path.isdir(command) else "it may not be executed"
    return NOT_FOUND, "no such file" if os.sep in command else "no such command on PATH"


class Sidecar:
    """A sidecar as a process, and the line to it."""

    def __init__(self, options: Sequence[str], env: Mapping[str, str]) -> None:
        self.line, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "twisted_mesh", *options],
                stdin=subprocess.DEVNULL,
                # The standard output is the command's.
                stdout=sys.stderr.fileno(),
                env={**env, LINE: str(theirs.fileno())},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError:
            self.line.close()
            raise
        finally:
            theirs.close()
        self.line.setblocking(False)
        self.pid = self._process.pid
        # It has closed its end.
        self.silent = False
        self._heard = b""

    def words(self) -> Iterator[tuple[str, str]]:
        """Yield what it has said since the last time: a word, and what stands behind it."""
        try:
            while data := self.line.recv(4096):
                self._heard += data
            self.silent = True
        except BlockingIOError:
            self.silent = False
        except OSError:
            self.silent = True
        *lines, self._heard = self._heard.split(b"\n")
        for each in lines:
            word, _, rest = each.decode("utf-8", "replace").partition(" ")
            yield word, rest

    def tell(self, word: str) -> None:
        """Say something to it; nothing happens if it is not there any more."""
        try:
            self.line.send(f"{word}\n".encode())
        except OSError:
            # It has ended, which the parent hears from the kernel.
            return

    def signal(self, number: int) -> None:
        """Send it a signal."""
        _kill(self.pid, number)

    def reaped(self, status: int) -> None:
        """It has ended."""
        self._process.returncode = status
        self.line.close()


class Command:
    """The command as a process, with whatever it starts."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str]) -> None:
        parent = os.getpid()

        def die_with_parent() -> None:
            if sys.platform == "linux":
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != parent:
                    os._exit(1)

        self._process = subprocess.Popen(
            list(words),
            env=dict(env),
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 (this process has one thread)
        )
        self.pid = self._process.pid

    def signal(self, number: int) -> None:
        """Send a signal to it and what it has started: to its process group."""
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            # It has just ended, or nothing in its group is ours any more.
            return

    def reaped(self, status: int) -> None:
        """It has ended."""
        self._process.returncode = status


def reap() -> Iterator[tuple[int, int]]:
    """Yield process id and status (negative: the signal) of each child that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def children() -> list[int]:
    """Return the ids of all children, those that were adopted as well; nothing where the system does not tell."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    try:
        return [int(each) for each in listed.read_text("ascii").split()]
    except OSError:
        return [pid for pid in _processes() if _parent(pid) == os.getpid()]


def _processes() -> list[int]:
    try:
        return [int(each) for each in os.listdir("/proc") if each.isdigit()]
    except OSError:
        return []


def _parent(pid: int) -> Optional[int]:
    try:
        # The name, in brackets, may hold anything.
        return int(Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1])
    except OSError:
        return None


def signal_children(number: int) -> None:
    """Send a signal to every child."""
    for each in children():
        _kill(each, number)


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        # It has just ended.
        return

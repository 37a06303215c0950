"""Run a command with a sidecar in front of it.

The sidecar starts first; when it is ready, COMMAND starts; when COMMAND passes the health check that the configuration
names, its instance is registered. At SIGTERM or SIGINT the instance leaves the mesh first, then the calls in flight
finish, then COMMAND gets the signal, and at last the sidecar ends; a second signal goes to COMMAND at once, a third
one kills it. Other signals are handed on. The exit status is COMMAND's (128 and the number of the signal that ended
it); 125 where the sidecar could not be started, 126 and 127 where COMMAND could not.

What the sidecar prints goes to the standard error; the standard output is COMMAND's. No process outlives meshctl, not
even if it is killed.
"""

from __future__ import annotations

import argparse
import os
import selectors
import signal
import socket
import time
from typing import Callable, Mapping, Optional, Sequence

from twisted_mesh.cli.failure import USAGE, Failure
from twisted_mesh.cli.output import complain
from twisted_mesh.cli.parser import duration
from twisted_mesh.cli.processes import (
    NOT_RUNNABLE,
    Command,
    Sidecar,
    adopt_orphans,
    children,
    reap,
    runnable,
    signal_children,
)
from twisted_mesh.cli.supervision import ENDING_SIGNALS, FAILED, SHARED_SIGNALS, Phase, Supervision

NAME = "run"
HELP = "run a command with a sidecar in front of it"
# What stands behind the options.
REST = "-- COMMAND [ARGUMENT ...]"

# Seconds after which the children are looked at, whether anything was heard or not.
LOOK = 1.0
FORWARDED = (*ENDING_SIGNALS, *SHARED_SIGNALS, signal.SIGUSR2, signal.SIGQUIT, signal.SIGWINCH)
# Options that are the sidecar's own.
HANDED_ON = ("config", "admin", "node", "service", "zone")


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add(
        "--config",
        "-c",
        metavar="PATH",
        default="mesh.yaml",
        help="the sidecar's configuration; mesh.yaml if not given",
    )
    add("--admin", metavar="ADDRESS", help="where its admin answers, over what the configuration says")
    add("--node", metavar="NAME", help="its name, over what the configuration says")
    add("--service", metavar="NAME", help="the service that COMMAND is, over what the configuration says")
    add("--zone", metavar="NAME", help="where it runs, over what the configuration says")
    add(
        "--redis",
        metavar="URL",
        default=argparse.SUPPRESS,
        help="the Redis of the mesh, over what the configuration says; MESHCTL_REDIS stands in for it",
    )
    add(
        "--ready-limit",
        metavar="DURATION",
        type=duration,
        default=30.0,
        help="for the sidecar to be ready; 30s if not given",
    )
    add(
        "--kill-after",
        metavar="DURATION",
        type=duration,
        default=10.0,
        help="how long COMMAND may take to end after it got the signal; 10s if not given",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command, and end with its status."""
    words: Sequence[str] = arguments.rest
    if not words:
        raise Failure(f"say what to run, behind two dashes: meshctl run {REST}", USAGE)
    status, why_not = runnable(words[0])
    if status:
        raise Failure(f"{words[0]}: cannot be run: {why_not}", status)
    sidecar = [word for name in HANDED_ON for word in _option(name, getattr(arguments, name))]
    env = dict(os.environ)
    redis = arguments.redis or env.get("MESHCTL_REDIS")
    # Not as an argument, which everyone on the machine can read.
    sidecar_env = {**env, "MESH_REDIS": redis} if redis else env
    running = Running(sidecar, sidecar_env, words, env)
    supervision = Supervision(running, ready_limit=arguments.ready_limit, kill_after=arguments.kill_after)
    now = time.monotonic  # noqa: TID251 (an edge: here the time comes in)
    try:
        return running.run(supervision, arguments.kill_after, now)
    except OSError as error:
        raise Failure(f"the sidecar cannot be started: {error.strerror}", FAILED) from error


def _option(name: str, value: Optional[str]) -> list[str]:
    return [] if value is None else [f"--{name}", value]


class Running:
    """The two processes, and the loop that looks after them."""

    def __init__(
        self, sidecar: Sequence[str], sidecar_env: Mapping[str, str], command: Sequence[str], env: Mapping[str, str]
    ) -> None:
        self._sidecar_options = sidecar
        self._sidecar_env = sidecar_env
        self._command_words = command
        self._env = env
        self._sidecar: Optional[Sidecar] = None
        self._command: Optional[Command] = None
        self._selector = selectors.DefaultSelector()
        self._kill_after = 0.0

    def run(self, supervision: Supervision, kill_after: float, now: Callable[[], float]) -> int:
        """Run both until both have ended; returns the exit status."""
        self._kill_after = kill_after
        adopt_orphans()
        woken, waker = socket.socketpair()
        for each in (woken, waker):
            each.setblocking(False)
        self._selector.register(woken, selectors.EVENT_READ)
        for number in FORWARDED:
            # nohup stays what it is.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _noted)
        signal.signal(signal.SIGCHLD, _noted)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        try:
            self._loop(supervision, woken, now)
            self._finish(now)
        finally:
            # Whatever happened here: nothing is left behind.
            signal_children(signal.SIGKILL)
        return supervision.status

    def _loop(self, supervision: Supervision, woken: socket.socket, now: Callable[[], float]) -> None:
        supervision.start(now())
        while supervision.phase is not Phase.DONE:
            wait = LOOK if supervision.deadline is None else min(LOOK, max(0.0, supervision.deadline - now()))
            self._selector.select(wait)
            for number in _received(woken):
                if number in FORWARDED:
                    supervision.signalled(number, now())
            self._listen(supervision, now())
            self._reap(supervision, now())
            supervision.tick(now())

    def _listen(self, supervision: Supervision, now: float) -> None:
        if self._sidecar is not None:
            for word, rest in self._sidecar.words():
                supervision.heard(word, rest, now)
            if self._sidecar.silent:
                self._deaf()

    def _deaf(self) -> None:
        """Listen no more: what has ended is always readable."""
        if self._sidecar is not None and self._sidecar.line in self._selector.get_map():
            self._selector.unregister(self._sidecar.line)

    def _reap(self, supervision: Supervision, now: float) -> None:
        for pid, status in reap():
            if self._sidecar is not None and pid == self._sidecar.pid:
                self._listen(supervision, now)
                self._deaf()
                self._sidecar.reaped(status)
                self._sidecar = None
                supervision.sidecar_ended(status, now)
            elif self._command is not None and pid == self._command.pid:
                self._command.reaped(status)
                self._command = None
                self.tell("gone")
                supervision.command_ended(status, now)

    def _finish(self, now: Callable[[], float]) -> None:
        """End what the two have left behind: gently, then not."""
        until = now() + self._kill_after
        told = False
        while left := children():
            if not told:
                told = True
                signal_children(signal.SIGTERM)
            elif now() >= until:
                complain(f"processes {', '.join(map(str, left))} have not ended: they are killed")
                signal_children(signal.SIGKILL)
                until = now() + self._kill_after
            self._selector.select(0.02)
            list(reap())

    # --- what the supervision has done

    def start_sidecar(self) -> None:
        """Start it, and listen to it."""
        self._sidecar = Sidecar(self._sidecar_options, self._sidecar_env)
        self._selector.register(self._sidecar.line, selectors.EVENT_READ)
        if self._command is not None:
            self._introduce(self._command)

    def start_command(self) -> int:
        """Start it; the sidecar is told, as it sees to its end if this process is killed."""
        try:
            self._command = Command(self._command_words, self._env)
        except OSError as error:
            complain(f"{self._command_words[0]}: cannot be run: {error.strerror}")
            return NOT_RUNNABLE
        self._introduce(self._command)
        return 0

    def _introduce(self, command: Command) -> None:
        self.tell(f"command {command.pid} {self._kill_after:g}")

    def tell(self, word: str) -> None:
        """Say something to the sidecar."""
        if self._sidecar is not None:
            self._sidecar.tell(word)

    def signal_sidecar(self, number: int) -> None:
        """Send a signal to the sidecar."""
        if self._sidecar is not None:
            self._sidecar.signal(number)

    def signal_command(self, number: int) -> None:
        """Send a signal to the command's process group."""
        if self._command is not None:
            self._command.signal(number)

    def complain(self, line: str) -> None:
        """Say something to people."""
        complain(line)


def _noted(number: int, frame: object) -> None:
    """The wakeup file descriptor has it."""


def _received(woken: socket.socket) -> bytes:
    try:
        return woken.recv(4096)
    except BlockingIOError:
        return b""

"""The order in which a sidecar and the command behind it start and end: decisions without processes.

Start: the sidecar; when it is ready, the command.  End at a signal: the sidecar deregisters the instance, waits for
the news to spread and lets the calls that come in finish, while its other listeners go on serving the command; then the
command gets the signal; when it has ended, the rest of the sidecar drains.  Whatever ends first, the other one follows.
"""

from __future__ import annotations

import enum
import signal
from typing import Optional, Protocol

# The sidecar bounds what it is told to do by itself; this is for one that does not answer any more.
MARGIN = 5.0
# A sidecar that dies is started again after a pause, which doubles from the first to the last of these.
FIRST_PAUSE = 0.5
LAST_PAUSE = 10.0
# How often one may die before it is ready; then the command is stopped.
TRIES = 5
# What ends with this status was not the command.
FAILED = 125
# From this many signals on, the command is killed.
IMPATIENT = 3

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# What the sidecar understands too: read the configuration again, open the logs anew.
SHARED_SIGNALS = (signal.SIGHUP, signal.SIGUSR1)


class Acts(Protocol):
    """What is done to the two processes."""

    def start_sidecar(self) -> None:
        """Start it; it will say when it is ready."""

    def start_command(self) -> int:
        """Start it; returns 0, or the status to end with if it could not be started."""

    def tell(self, word: str) -> None:
        """Say something to the sidecar: ``leave`` or ``end``."""

    def signal_sidecar(self, number: int) -> None:
        """Send a signal to the sidecar."""

    def signal_command(self, number: int) -> None:
        """Send a signal to the command and what it has started."""

    def complain(self, line: str) -> None:
        """Say something to people."""


class Phase(enum.Enum):
    """How far it has come."""

    STARTING = "the sidecar starts"
    RUNNING = "both run"
    LEAVING = "the sidecar takes its instance out of the mesh"
    STOPPING = "the command was told to end"
    ENDING = "the sidecar ends"
    DONE = "both have ended"


class Supervision:
    """Looks after one sidecar and one command.  Every method is told the time, in seconds.

    :param ready_limit: how long the sidecar may take until it is ready.
    :param kill_after: how long the command may take to end after it was told to.
    """

    def __init__(self, acts: Acts, *, ready_limit: float, kill_after: float) -> None:
        self.phase = Phase.STARTING
        self.status = 0
        # When `tick` has something to do.
        self.deadline: Optional[float] = None
        self._acts = acts
        self._ready_limit = ready_limit
        self._kill_after = kill_after
        self._sidecar = False
        self._ready = False
        self._command = False
        self._why_not = ""
        # How long the sidecar takes at most to leave or to end, by its own word.
        self._drain_limit = 30.0
        self._number: int = signal.SIGTERM
        self._signals = 0
        self._failures = 0
        self._restart_at: Optional[float] = None

    def __repr__(self) -> str:
        return f"<Supervision {self.phase.name} sidecar={self._sidecar} command={self._command} {self.status}>"

    def start(self, now: float) -> None:
        """Begin."""
        self._start_sidecar(now)
        self.deadline = now + self._ready_limit

    def _start_sidecar(self, now: float) -> None:
        self._sidecar, self._ready, self._restart_at = True, False, None
        self._acts.start_sidecar()

    # --- what is heard

    def heard(self, word: str, rest: str, now: float) -> None:
        """The sidecar says something: ``ready SECONDS``, ``waiting REASON``, ``asked`` (to end) or ``left``."""
        if word == "waiting":
            self._why_not = rest
        elif word == "ready":
            self._ready, self._failures = True, 0
            self._drain_limit = float(rest)
            if self.phase is Phase.STARTING:
                self._start_command(now)
        elif word == "asked" and self.phase in (Phase.STARTING, Phase.RUNNING):
            # By a signal of its own, or over its admin; whoever signals all processes of a group signals us as well.
            self._begin_to_end(signal.SIGTERM, now)
        elif word == "left" and self.phase is Phase.LEAVING:
            self._stop_command(now)

    def _start_command(self, now: float) -> None:
        status = self._acts.start_command()
        self.deadline = None
        if status:
            self._end(status, now)
        else:
            self._command = True
            self.phase = Phase.RUNNING

    def signalled(self, number: int, now: float) -> None:
        """A signal came."""
        if number in ENDING_SIGNALS:
            self._told_to_end(number, now)
            return
        if number in SHARED_SIGNALS and self._sidecar:
            self._acts.signal_sidecar(number)
        if self._command:
            self._acts.signal_command(number)

    def _told_to_end(self, number: int, now: float) -> None:
        self._signals += 1
        if self.phase in (Phase.STARTING, Phase.RUNNING):
            self._begin_to_end(number, now)
        elif self._signals < 2:
            # The sidecar was asked just before.
            self._number = number
        elif self.phase is Phase.LEAVING:
            self._stop_command(now)
        elif self.phase is Phase.STOPPING:
            self._acts.signal_command(signal.SIGKILL if self._signals >= IMPATIENT else number)
        elif self.phase is Phase.ENDING:
            self._acts.signal_sidecar(signal.SIGTERM)

    def _begin_to_end(self, number: int, now: float) -> None:
        self._number = number
        if self.phase is Phase.STARTING:
            self._end(128 + number, now)
        elif self._ready:
            self.phase = Phase.LEAVING
            self.deadline = now + self._drain_limit + MARGIN
            self._acts.tell("leave")
        else:
            self._stop_command(now)

    def _stop_command(self, now: float) -> None:
        self.phase = Phase.STOPPING
        self.deadline = now + self._kill_after
        self._restart_at = None
        self._acts.signal_command(self._number)

    # --- what ends

    def command_ended(self, status: int, now: float) -> None:
        """The command has ended, with this status or, if negative, by this signal."""
        self._command = False
        self._end(status if status >= 0 else 128 - status, now)

    def _end(self, status: int, now: float) -> None:
        self.status = self.status or status
        self._restart_at = None
        if not self._sidecar:
            self._done()
            return
        self.phase = Phase.ENDING
        self.deadline = now + self._drain_limit + MARGIN
        self._acts.tell("end")

    def _done(self) -> None:
        self.phase = Phase.DONE
        self.deadline = None

    def sidecar_ended(self, status: int, now: float) -> None:
        """The sidecar has ended."""
        was_ready, self._sidecar, self._ready = self._ready, False, False
        if not self._command:
            if self.phase is Phase.STARTING:
                # It has said why itself.
                self.status = FAILED
            self._done()
        elif self.phase is Phase.LEAVING:
            self._acts.complain(f"the sidecar has ended early {_how(status)}")
            self._stop_command(now)
        elif self.phase is Phase.RUNNING and status == 0 and was_ready:
            self._acts.complain("the sidecar was drained: the command is told to end")
            self._stop_command(now)
        elif self.phase is Phase.RUNNING:
            self._start_again(status, now)

    def _start_again(self, status: int, now: float) -> None:
        self._failures += 1
        if self._failures > TRIES:
            self._acts.complain(f"the sidecar has ended {_how(status)} before it was ready, {TRIES} times: giving up")
            self.status = FAILED
            self._stop_command(now)
            return
        pause = min(LAST_PAUSE, FIRST_PAUSE * 2 ** (self._failures - 1))
        self._acts.complain(f"the sidecar has ended {_how(status)}; it is started again in {pause:g} s")
        self.deadline = self._restart_at = now + pause

    # --- time

    def tick(self, now: float) -> None:
        """Do what is due."""
        if self.deadline is None or now < self.deadline:
            return
        self.deadline = None
        if self._restart_at is not None:
            self._start_sidecar(now)
        elif self.phase is Phase.STARTING:
            why = f": {self._why_not}" if self._why_not else ""
            self._acts.complain(f"the sidecar is not ready within {self._ready_limit:g} s{why}")
            self._end(FAILED, now)
        elif self.phase is Phase.LEAVING:
            self._acts.complain("the sidecar does not answer: the command is told to end")
            self._stop_command(now)
        elif self.phase is Phase.STOPPING:
            self._acts.complain(f"the command has not ended within {self._kill_after:g} s: it is killed")
            self._acts.signal_command(signal.SIGKILL)
        elif self.phase is Phase.ENDING:
            self._acts.complain("the sidecar does not end: it is killed")
            self._acts.signal_sidecar(signal.SIGKILL)


def _how(status: int) -> str:
    return f"with status {status}" if status >= 0 else f"by signal {-status}"

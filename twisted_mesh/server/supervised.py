"""The sidecar's end of the line to `meshctl run`, which starts the application when the sidecar is ready.

Lines of a word and what belongs to it.  The sidecar says ``waiting REASON``, ``ready SECONDS`` (how long leaving or
ending may take), ``asked`` (to end, by others) and ``left``; it is told ``command PGID SECONDS``, ``gone`` (the
command has ended), ``leave`` and ``end``.
Where the line ends before it was told to end, `meshctl` was killed: then the sidecar ends, and with it the command.
"""

from __future__ import annotations

import os
import signal
import socket
from typing import Any, Callable, MutableMapping, Optional, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

LINE = "MESH_SUPERVISOR_FD"
# Seconds between two looks whether the sidecar is ready, or the command gone.
LOOK = 0.05

log = Logger("twisted_mesh.supervised")


class Supervisable(Protocol):
    """What is supervised: the sidecar."""

    def ready(self) -> tuple[bool, str]:
        """Whether calls can be served, and why not."""

    @property
    def leave_limit(self) -> float:
        """Seconds that `leave` and `end` may take."""

    def leave(self, left: Callable[[], None]) -> None:
        """Take the instance out of the mesh and let the calls that come in finish; `left` is called once."""

    def end(self, reason: str) -> None:
        """Finish what is in flight, without a wait before, and stop the process."""

    def drain(self, reason: str) -> None:
        """End as after SIGTERM."""


def take_line(env: MutableMapping[str, str]) -> Optional[int]:
    """Return the descriptor of the line to `meshctl run`, None where there is none; children inherit neither."""
    text = env.pop(LINE, "")
    if not text.isdigit():
        return None
    number = int(text)
    try:
        os.set_inheritable(number, False)
    except OSError:
        log.warn("{name} names no open descriptor: {number}", name=LINE, number=number)
        return None
    return number


class Supervised(LineOnlyReceiver):
    """Talks to `meshctl run` about `what`."""

    delimiter = b"\n"

    def __init__(self, what: Supervisable, reactor: Any) -> None:
        self._what = what
        self._reactor = reactor
        self._group: Optional[Group] = None
        self._timer: Optional[IDelayedCall] = None
        self._why_not = ""
        self._told_to_end = False
        self._asked = False

    def open(self, number: int) -> None:
        """Begin to talk, over this descriptor; it is closed here."""
        factory = Factory()
        factory.buildProtocol = lambda address: self  # type: ignore[method-assign,assignment]
        factory.noisy = False
        self._reactor.adoptStreamConnection(number, socket.AF_UNIX, factory)
        os.close(number)

    def connectionMade(self) -> None:
        """The line is there."""
        self._look()

    def _look(self) -> None:
        self._timer = None
        ready, why_not = self._what.ready()
        if ready:
            self._say(f"ready {self._what.leave_limit:g}")
            return
        if why_not != self._why_not:
            self._why_not = why_not
            self._say("waiting " + " ".join(why_not.split()))
        self._timer = self._reactor.callLater(LOOK, self._look)

    def _say(self, line: str) -> None:
        if self.transport is not None and self.connected:
            self.sendLine(line.encode("utf-8"))

    def lineReceived(self, line: bytes) -> None:
        """`meshctl` says something."""
        word, *rest = line.decode("ascii", "replace").split(" ")
        if word == "command":
            self._group = Group(int(rest[0]), float(rest[1]), self._reactor)
        elif word == "gone":
            self._group = None
        elif word == "leave":
            self._what.leave(lambda: self._say("left"))
        elif word == "end":
            self._told_to_end = True
            self._what.end("the command has ended")
        else:
            log.error("meshctl says something unknown: {line!r}", line=line)

    def ask_to_end(self) -> bool:
        """Have `meshctl` begin the end, as the sidecar was asked to; returns whether it will."""
        if self._asked or self._told_to_end or not self.connected:
            return False
        self._asked = True
        self._say("asked")
        return True

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The line has ended: if that was not to be, `meshctl` was killed."""
        self.stop()
        # Twisted leaves it as it was.
        self.connected = 0
        if self._told_to_end:
            return
        log.warn("meshctl is gone: ending, and the command with it")
        if self._group is not None:
            self._group.end()
        self._what.drain("meshctl is gone")

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def finish(self) -> None:
        """The process ends: nothing that was told to end may outlive it."""
        self._told_to_end = True
        self.stop()
        if self._group is not None:
            self._group.finish()


class Group:
    """The process group of the command, for the end of `meshctl`."""

    def __init__(self, number: int, kill_after: float, reactor: Any) -> None:
        self._number = number
        self._kill_after = kill_after
        self._reactor = reactor
        self._timer: Optional[IDelayedCall] = None

    def end(self) -> None:
        """Tell it to end, and kill it if it does not within the time that it was given."""
        if self._signal(signal.SIGTERM):
            self._timer = self._reactor.callLater(self._kill_after, self.finish)

    def finish(self) -> None:
        """Kill what is left of it, if it was told to end."""
        timer, self._timer = self._timer, None
        if timer is not None:
            if timer.active():
                timer.cancel()
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> bool:
        try:
            os.killpg(self._number, number)
        except (ProcessLookupError, PermissionError):
            # Nobody is left in it.
            return False
        return True

"""One question to one endpoint: does it accept a connection, does it answer a request well."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Callable, Optional, Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol

from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.park import Parked

if TYPE_CHECKING:
    from twisted_mesh.model import Address
    from twisted_mesh.net.connect import Connector

# What is read of an answer before the check gives up on it; a head is seldom over 8 KiB.
ANSWER_LIMIT = 64 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9]\d\d)(?: [^\r\n]*)?\r?\n")
_HEAD_END = re.compile(rb"\r?\n\r?\n")

SUCCESS = "success"
FAILURE = "failure"
TIMEOUT = "timeout"

# Told once: how it went, and why in words for people.
Verdict = Callable[[str, str], None]


class Probe:
    """Asks one endpoint once, within `timeout` seconds, and tells `verdict(result, reason)` at most once.

    `cancel` ends it, and whatever is left of it after the verdict.
    """

    def __init__(self, clock: IReactorTime, timeout: float, verdict: Verdict) -> None:
        self._verdict: Optional[Verdict] = verdict
        self._timeout = timeout
        self._parked: Optional[Parked[Any]] = None
        self._timer: Optional[IDelayedCall] = clock.callLater(timeout, self._timed_out)

    def cancel(self) -> None:
        """Forget it."""
        self._verdict = None
        self.finish()
        self.close()

    def wait(self, parked: Parked[Any]) -> None:
        """Go on when the connection is there."""
        self._parked = parked
        if parked.done:
            self._connected()
        else:
            parked.resume = self._connected

    def connected(self, value: Any) -> None:
        """The connection is there."""
        raise NotImplementedError

    def close(self) -> None:
        """End the connection, if there is one."""

    def tell(self, result: str, reason: str) -> None:
        """Give the verdict, if none was given yet."""
        verdict, self._verdict = self._verdict, None
        if verdict is not None:
            verdict(result, reason)

    def finish(self) -> None:
        """Wait for nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._parked is not None:
            # The connector closes what nobody waits for.
            self._parked.resume = None
            self._parked = None

    def _connected(self) -> None:
        parked, self._parked = self._parked, None
        assert parked is not None
        error = parked.error
        if error is None:
            self.connected(parked.value)
            return
        self.finish()
        if isinstance(error, MeshError):
            self.tell(TIMEOUT if error.kind is Kind.CONNECT_TIMEOUT else FAILURE, error.detail)
        else:
            self.tell(FAILURE, repr(error))

    def _timed_out(self) -> None:
        self._timer = None
        waited_for = "answer" if self._parked is None else "connection"
        self.finish()
        # Before the connection is closed, or its end would be the reason.
        self.tell(TIMEOUT, f"no {waited_for} within {self._timeout:g} s")
        self.close()


class TcpProbe(Probe):
    """Connects, and no more."""

    def __init__(
        self, clock: IReactorTime, connector: Connector, target: Address, timeout: float, verdict: Verdict
    ) -> None:
        super().__init__(clock, timeout, verdict)
        self.wait(connector.connect_socket(target, timeout))

    def connected(self, value: Any) -> None:
        value.close()
        self.finish()
        self.tell(SUCCESS, "connected")


class HttpProbe(Probe):
    """Sends a GET and looks at the status.

    The verdict comes with the final status line.  The rest of the answer is still read, so that the server does not
    find its client gone, until it ends, is too long or the time is up.
    """

    def __init__(
        self,
        clock: IReactorTime,
        connector: Connector,
        target: Address,
        timeout: float,
        verdict: Verdict,
        *,
        path: str,
        host: str,
        expect: Sequence[tuple[int, int]],
    ) -> None:
        super().__init__(clock, timeout, verdict)
        self._path = path
        self._expect = expect
        self._answer = _Answer(self)
        self._request = (
            f"GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: twisted_mesh-health\r\n"
            "accept: */*\r\nconnection: close\r\n\r\n"
        ).encode("latin-1")
        self.wait(connector.connect(target, self._answer, timeout))

    def connected(self, value: Any) -> None:
        transport: Any = self._answer.transport
        if transport is None:
            self.ended("the connection was closed before an answer")
        else:
            transport.write(self._request)

    def close(self) -> None:
        transport: Any = self._answer.transport
        if transport is not None:
            transport.abortConnection()

    def status(self, status: int) -> None:
        """The final status is known."""
        good = any(first <= status <= last for first, last in self._expect)
        self.tell(SUCCESS if good else FAILURE, f"GET {self._path} answered {status}")

    def ended(self, reason: str) -> None:
        """Nothing more comes."""
        self.finish()
        self.tell(FAILURE, reason)


class _Answer(Protocol):
    """Reads the answer to a check."""

    def __init__(self, probe: HttpProbe) -> None:
        self._probe = probe
        self._buffer = b""
        self._size = 0
        self._known = False

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if not self._known:
            self._buffer += data
            self._look()
        if self._size > ANSWER_LIMIT:
            self._stop("the answer has no end")

    def connectionLost(self, reason: Any = None) -> None:
        self.transport = None
        self._probe.ended("the connection was closed before an answer")

    def _look(self) -> None:
        """Find the status, past any interim answers (RFC 9110, section 15.2)."""
        while True:
            found = _STATUS.match(self._buffer)
            if found is None:
                if b"\n" in self._buffer:
                    self._stop("the answer is not HTTP/1.1")
                return
            status = int(found[1])
            if status >= 200:
                self._known = True
                self._buffer = b""
                self._probe.status(status)
                return
            end = _HEAD_END.search(self._buffer)
            if end is None:
                return
            self._buffer = self._buffer[end.end() :]

    def _stop(self, why: str) -> None:
        transport: Any = self.transport
        self._probe.ended(why)
        transport.abortConnection()

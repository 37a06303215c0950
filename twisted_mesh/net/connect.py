"""Connecting to one address, without a Deferred or a Task.

Names are not resolved here: an address holds a literal IP address or the path of a unix socket.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import TYPE_CHECKING, Any, Optional

from twisted.internet.protocol import Protocol

from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.net.accept import attach
from twisted_mesh.net.timers import later
from twisted_mesh.net.transport import LoopTransport
from twisted_mesh.park import Parked

if TYPE_CHECKING:
    from twisted_mesh.model import Address

# Where Linux starts to take the ports of outgoing connections from; other systems start higher.
_FIRST_EPHEMERAL = 32768
# What is our own trouble and not the endpoint's.
_OURS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}


class Connector:
    """Opens connections on one loop.

    What it returns fires once the connection is made, and fails with a `MeshError` that is always retryable:
    `Kind.CONNECT_FAILED` or `Kind.CONNECT_TIMEOUT`, of the upstream's origin unless this process or machine has run
    out of something.  If nobody waits any more when the connection is made, as the call was cancelled, it is closed.
    """

    __slots__ = ("loop",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def connect(self, address: Address, protocol: Any, timeout: float) -> Parked[None]:
        """Connect a Twisted protocol; its ``makeConnection`` has been called when this fires.

        :param timeout: seconds.
        """
        attempt = _ForProtocol(self.loop, address, protocol)
        attempt.start(timeout)
        return attempt.parked

    def connect_socket(self, address: Address, timeout: float) -> Parked[socket.socket]:
        """Connect and give the non-blocking socket itself.

        :param timeout: seconds.
        """
        attempt = _ForSocket(self.loop, address)
        attempt.start(timeout)
        return attempt.parked


def _open(address: Address) -> tuple[socket.socket, Any]:
    """Return a new non-blocking socket for `address`, and the address as the socket wants it.

    :raises ValueError: the host is no literal IP address; connecting would block the loop with resolving it.
    """
    name: Any
    proto = 0
    if address.path:
        family, name = socket.AF_UNIX, address.path
    else:
        # Said, as asyncio's transports switch Nagle's delay off only for sockets that say so.
        proto = socket.IPPROTO_TCP
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        name = (address.host, address.port)
        try:
            socket.inet_pton(family, address.host.partition("%")[0])
        except OSError:
            raise ValueError("not a literal IP address") from None
    sock = socket.socket(family, socket.SOCK_STREAM, proto)
    sock.setblocking(False)
    return sock, name


class _Attempt:
    """One connection being made."""

    __slots__ = ("_address", "_loop", "_sock", "_timeout", "_timer", "parked")

    def __init__(self, loop: asyncio.AbstractEventLoop, address: Address) -> None:
        self._loop = loop
        self._address = address
        self._sock: Optional[socket.socket] = None
        self._timer: Optional[asyncio.TimerHandle] = None
        self._timeout = 0.0
        self.parked: Parked[Any] = Parked()

    def start(self, timeout: float) -> None:
        try:
            sock, name = _open(self._address)
        except (OSError, ValueError) as error:
            self._failed(error)
            return
        self._sock = sock
        number = sock.connect_ex(name)
        if number == errno.EINPROGRESS:
            # An address of this machine has answered by now, and asking once more costs a tenth of waiting for it.
            number = sock.connect_ex(name)
        if number in (errno.EALREADY, errno.EINPROGRESS):
            self._timeout = timeout
            self._timer = later(self._loop, timeout, self._timed_out)
            self._loop.add_writer(sock.fileno(), self._writable)
        elif number:
            self._errno(number)
        else:
            self._check(sock)

    def _writable(self) -> None:
        sock = self._sock
        assert sock is not None
        self._loop.remove_writer(sock.fileno())
        if self._timer is not None:
            self._timer.cancel()
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._errno(number)
        elif self.parked.resume is None:
            sock.close()
        else:
            self._check(sock)

    def _check(self, sock: socket.socket) -> None:
        if self._address.port >= _FIRST_EPHEMERAL and sock.getsockname() == sock.getpeername():
            # Nobody listens, and the kernel gave us the very port that we connect to: we have reached ourselves.
            self._errno(errno.ECONNREFUSED)
        else:
            self._connected(sock)

    def _connected(self, sock: socket.socket) -> None:
        raise NotImplementedError

    def _timed_out(self) -> None:
        assert self._sock is not None
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        detail = f"{self._address}: no connection within {self._timeout:g} s"
        self.parked.fail(MeshError(Kind.CONNECT_TIMEOUT, detail, origin=Origin.UPSTREAM, retryable=True))

    def _errno(self, number: int) -> None:
        # Only a unix socket says EAGAIN, and it would not tell when its backlog has room again.
        self._failed(OSError(number, "its backlog is full" if number == errno.EAGAIN else os.strerror(number)))

    def _failed(self, error: Exception) -> None:
        if self._sock is not None:
            self._sock.close()
        number, why = None, str(error)
        if isinstance(error, OSError):
            number, why = error.errno, (error.strerror or why).lower()
        origin = Origin.MESH if number in _OURS else Origin.UPSTREAM
        failed = MeshError(Kind.CONNECT_FAILED, f"{self._address}: {why}", origin=origin, retryable=True)
        failed.__cause__ = error
        self.parked.fail(failed)


class _ForSocket(_Attempt):
    __slots__ = ()

    def _connected(self, sock: socket.socket) -> None:
        if not self._address.path:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parked.fire(sock)


class _ForProtocol(_Attempt):
    __slots__ = ("_protocol",)

    def __init__(self, loop: asyncio.AbstractEventLoop, address: Address, protocol: Any) -> None:
        super().__init__(loop, address)
        self._protocol = protocol

    def _connected(self, sock: socket.socket) -> None:
        try:
            attach(self._loop, _Outgoing(self._loop, sock, self._protocol, self.parked))
        except OSError as error:
            self._failed(error)


class _Outgoing(LoopTransport):
    """A transport that says when its connection is made."""

    __slots__ = ("_waiting",)

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: Any, waiting: Parked[None]
    ) -> None:
        super().__init__(loop, sock, protocol)
        self._waiting: Optional[Parked[None]] = waiting

    def connection_made(self, transport: Any) -> None:
        waiting, self._waiting = self._waiting, None
        assert waiting is not None
        if waiting.resume is None:
            # Cancelled: the protocol never hears of the connection.
            self.protocol = Protocol()
            transport.abort()
            return
        super().connection_made(transport)
        if self._aborted:
            waiting.fail(MeshError(Kind.INTERNAL, f"{self.protocol!r} failed in makeConnection"))
        else:
            waiting.fire(None)

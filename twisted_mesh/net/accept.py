"""Accepting connections.

We accept ourselves, not the loop, because some sockets never become transports of the loop (the TCP relay moves their
bytes in the kernel), and because running out of file descriptors and closing a listening socket need more care than
the loops give them.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Optional
from weakref import WeakSet

from twisted.logger import Logger

from twisted_mesh.families import Families
from twisted_mesh.net.bind import Inode, inode_of, listen_on, remove_file, shown
from twisted_mesh.net.timers import later
from twisted_mesh.net.transport import LoopTransport

if TYPE_CHECKING:
    from twisted_mesh.metrics import Registry
    from twisted_mesh.model import Address

log = Logger()

# Connections taken at one wake, so that a storm of them does not starve those that are open: 64 take about 2 ms.
BATCH = 64
# Seconds that accepting pauses when the process or the machine has no file descriptors or memory left; doubled up to
# the longest each time it happens again.
PAUSE = 0.1
LONGEST_PAUSE = 1.0
# Descriptors that clients do not get, an eighth of all at most: what was accepted needs some to reach its upstream, and
# an operator one to see what is going on.
RESERVE = 64
# Most connections that are still taken when accepting stops: under a storm the backlog never looks empty.
LAST_CALL = 4096

_NEARLY = OSError(errno.EMFILE, "nearly too many open files")
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Accepted:
    """A connection just accepted: a non-blocking socket, and who is at the other end.

    `peer` is "host:port", "[host]:port" or "unix:", `peer_host` the host alone ("" for a unix socket).
    Whoever is given one either lets a protocol have it (`adopt`) or takes the socket (`detach`).
    """

    __slots__ = ("loop", "peer", "peer_host", "sock")

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, name: Any) -> None:
        self.loop = loop
        self.sock = sock
        # What accept() gives for a unix socket is no pair; asking the socket for its family costs a microsecond.
        if isinstance(name, tuple):
            self.peer_host = name[0]
            self.peer = shown(name)
        else:
            self.peer, self.peer_host = "unix:", ""

    def __repr__(self) -> str:
        return f"<Accepted from {self.peer}>"

    @property
    def port(self) -> int:
        """The port that the client has connected to; 0 for a unix socket."""
        name = self.sock.getsockname()
        return name[1] if isinstance(name, tuple) else 0

    def adopt(self, protocol: Any) -> LoopTransport:
        """Connect a Twisted protocol to it; ``makeConnection`` follows in the loop's next turn."""
        transport = LoopTransport(self.loop, self.sock, protocol)
        attach(self.loop, transport)
        return transport

    def detach(self) -> socket.socket:
        """Return the socket, for somebody who reads and writes it without the loop's transports."""
        if self.peer_host:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.sock


def attach(loop: asyncio.AbstractEventLoop, transport: LoopTransport) -> None:
    """Have the loop read and write a connected socket for `transport`.

    The loop only has a coroutine for it.  It waits once, for ``connection_made``; stepping it by hand saves a Task.
    """
    coroutine: Any = loop.connect_accepted_socket(transport.itself, transport.sock)
    try:
        waiter = coroutine.send(None)
    except StopIteration:
        return
    # Both loops have queued ``connection_made`` by now, so this comes right behind it.
    loop.call_soon(transport.settle)
    waiter._asyncio_future_blocking = False
    waiter.add_done_callback(partial(_attached, coroutine))


def _attached(coroutine: Any, waiter: Any) -> None:
    try:
        coroutine.send(None)
    except StopIteration:
        return
    except Exception:
        # What failed in connection_made was logged there, and the transport is closed.
        log.debug("a connection ended while it was being set up")


# The ports of this process that are open: one that comes may take the port number of one that is about to go.
_OPEN: WeakSet[Port] = WeakSet()


class Port:
    """A bound, listening socket that hands what it accepts to `accepted`.

    `accepted` may be replaced at any time: a reload changes what a listener does and keeps its socket.

    :param loop: the running loop.
    :param bind: where to listen; port 0 takes a free one, and `address` tells which.
    :param name: the listener's, for logs and metrics; `protocol` the listener's too.
    :param mode: permissions of a unix socket, such as 0o660.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        bind: Address,
        accepted: Callable[[Accepted], None],
        *,
        name: str,
        metrics: Registry,
        protocol: str = "tcp",
        backlog: int = 1024,
        mode: Optional[int] = None,
        reserve: int = RESERVE,
    ) -> None:
        self._loop = loop
        self._reserve = reserve
        # The number of a descriptor from which on accepting pauses.
        self._ceiling = sys.maxsize
        self.bind = bind
        self.accepted = accepted
        self.name = name
        self._backlog = backlog
        self._mode = mode
        self._sock: Optional[socket.socket] = None
        self._inode: Optional[Inode] = None
        self._pause = PAUSE
        self._paused: Optional[asyncio.TimerHandle] = None
        self._pauses = Families(metrics).accept_pauses.labels(protocol, name)
        self._failures = metrics.counter(
            "twisted_mesh_downstream_accept_failures_total",
            "Connections that were gone or could not be set up when they were accepted.",
            ("protocol", "listener"),
        ).labels(protocol, name)

    def __repr__(self) -> str:
        state = "closed" if self._sock is None else "paused" if self._paused is not None else "open"
        return f"<Port {self.name} {self.address} {state}>"

    @property
    def listening(self) -> bool:
        """Whether the socket is open."""
        return self._sock is not None

    @property
    def address(self) -> str:
        """Where it listens, as a configuration would write it; the real port once it is bound."""
        if self._sock is None or self._sock.family == socket.AF_UNIX:
            return str(self.bind)
        return shown(self._sock.getsockname())

    def start(self) -> None:
        """Bind, listen and accept.

        :raises OSError: it cannot; ``strerror`` is one line that says what and why.
        """
        self._ceiling = _most_descriptors(self._reserve)
        others = [each._sock for each in _OPEN if each._sock is not None and not each.bind.path]
        self._sock = listen_on(self.bind, self._backlog, self._mode, others)
        _OPEN.add(self)
        if self.bind.path:
            self._inode = inode_of(self.bind.path)
        self._loop.add_reader(self._sock.fileno(), self._readable)

    def adjust(self, backlog: int, mode: Optional[int] = None) -> None:
        """Have another backlog, and a unix socket other permissions, from now on; the socket stays open."""
        if self._sock is None or (backlog, mode) == (self._backlog, self._mode):
            return
        self._backlog, self._mode = backlog, mode
        try:
            # Listening again changes nothing but the backlog.
            self._sock.listen(backlog)
            if mode is not None and self._inode is not None and inode_of(self.bind.path) == self._inode:
                os.chmod(self.bind.path, mode)
        except OSError as error:
            log.warn("{port!r}: backlog and mode stay as they were: {why}", port=self, why=error.strerror)

    def hold(self) -> None:
        """Leave new connections waiting in the backlog, until `resume`."""
        if self._sock is not None:
            self._loop.remove_reader(self._sock.fileno())

    def resume(self) -> None:
        """Accept again after `hold`."""
        if self._sock is not None and self._paused is None:
            self._loop.add_reader(self._sock.fileno(), self._readable)

    def stop_accepting(self) -> None:
        """Accept what already waits, then close: closing the socket would reset those connections."""
        sock = self._sock
        if sock is None:
            return
        _OPEN.discard(self)
        self._loop.remove_reader(sock.fileno())
        self._end_pause()
        self._ceiling = sys.maxsize
        self._accept(sock, LAST_CALL)
        if self._end_pause():
            log.error("{port!r}: closing with connections not accepted, for want of file descriptors", port=self)
        if self._inode is not None:
            remove_file(self.bind.path, self._inode)
            self._inode = None
        self._sock = None
        sock.close()

    # --- accepting

    def _readable(self) -> None:
        if self._sock is not None:
            self._accept(self._sock, BATCH)

    def _accept(self, sock: socket.socket, limit: int) -> None:
        for _ in range(limit):
            try:
                new, name = sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause_accepting(error)
                    return
                # The client was gone before we came to it (ECONNABORTED and, on Linux, any network error).
                self._failures.value += 1
                continue
            # Numbers are given out from the lowest: this one says how many are in use at least.
            full = new.fileno() >= self._ceiling
            if not full:
                self._pause = PAUSE
            new.setblocking(False)
            try:
                self.accepted(Accepted(self._loop, new, name))
            except Exception:
                self._failures.value += 1
                log.failure("listener {name}: a connection could not be set up", name=self.name)
                new.close()
            if full:
                self._pause_accepting(_NEARLY)
                return

    def _pause_accepting(self, error: OSError) -> None:
        """Stop for a moment: the socket stays readable, and the loop would do nothing else."""
        self._pauses.value += 1
        log.error(
            "listener {name}: accepting pauses for {pause} s: {why}",
            name=self.name,
            pause=self._pause,
            why=error.strerror,
        )
        assert self._sock is not None
        self._loop.remove_reader(self._sock.fileno())
        self._paused = later(self._loop, self._pause, self._accept_again)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _end_pause(self) -> bool:
        """Returns whether there was one."""
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.cancel()
        return paused is not None

    def _accept_again(self) -> None:
        self._paused = None
        if self._sock is not None and self._nearly_out(self._sock):
            self._pause_accepting(_NEARLY)
        elif self._sock is not None:
            self._loop.add_reader(self._sock.fileno(), self._readable)

    def _nearly_out(self, sock: socket.socket) -> bool:
        """Whether another connection would take one of the reserve."""
        try:
            number = os.dup(sock.fileno())
        except OSError:
            return True
        os.close(number)
        return number >= self._ceiling


def _most_descriptors(reserve: int) -> int:
    """Return how many descriptors may be open when a connection is accepted."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit - min(reserve, limit // 8)

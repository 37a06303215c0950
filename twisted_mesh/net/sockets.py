"""What is asked of a connected socket itself."""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import termios
from typing import Any, Optional, Union

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

TwistedAddress = Union[IPv4Address, IPv6Address, UNIXAddress]

# Errors and hang-ups are always reported; only Linux tells of a FIN that stands behind unread bytes.
_LEFT: int = getattr(select, "POLLRDHUP", select.POLLHUP)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def reset_on_close(sock: socket.socket) -> None:
    """Have the kernel send a RST, and drop what is unsent, when the socket is closed."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    except OSError:
        # The peer's own reset came first (EINVAL on some systems), or the socket is closed: nothing is left to say.
        return


def queued(sock: socket.socket) -> int:
    """Return how many bytes the kernel holds that the peer has not taken; 0 where the system does not tell."""
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):
        # ValueError: it is closed.
        return 0
    size: int = struct.unpack("i", answer)[0]
    return size


def departed(sock: socket.socket) -> str:
    """Return whether the peer has left, also where what it sent before has not been read.

    "reset": the connection is broken; "end": the peer sends no more; "": neither, as far as the system tells.
    """
    look = select.poll()
    try:
        look.register(sock.fileno(), _LEFT)
    except ValueError:
        # It is closed.
        return "reset"
    events = look.poll(0)
    if not events:
        return ""
    return "reset" if events[0][1] & (select.POLLERR | select.POLLNVAL) else "end"


def twisted_address(name: Any) -> Optional[TwistedAddress]:
    """Return Twisted's address object for what a socket calls its address."""
    if name is None:
        return None
    if isinstance(name, tuple):
        if len(name) == 2:
            return IPv4Address("TCP", name[0], name[1])
        return IPv6Address("TCP", *name)
    return UNIXAddress(name or None)

"""A client's end of a TCP call that speaks TLS: its bytes are read from the start, as the kernel cannot decrypt."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Optional

from twisted_mesh.net.side import OnDemand, Side
from twisted_mesh.stream import ByteStream

if TYPE_CHECKING:
    from twisted_mesh.errors import Kind
    from twisted_mesh.net.handshakes import SecureAccepted


class SecureSide(Side):
    """As `Side`, over TLS.  `open_for` has to be called first: what the client sends waits, bounded, until then."""

    __slots__ = ("_accepted",)

    def __init__(self, accepted: SecureAccepted, kind: Kind, name: str) -> None:
        super().__init__(accepted.loop, accepted.sock, kind, name)
        self._accepted: Optional[SecureAccepted] = accepted

    @property
    def whole(self) -> bool:
        """False: nobody else may have the socket."""
        return False

    def take(self) -> socket.socket:
        """Refuse.

        :raises RuntimeError: always.
        """
        raise RuntimeError(f"{self!r} speaks TLS and cannot be taken")

    def open_for(self, stream: OnDemand) -> None:
        """Read into this stream from now on, so that a client that leaves is noticed."""
        accepted, self._accepted = self._accepted, None
        assert accepted is not None
        self.opened = True
        self.stream = stream
        accepted.adopt(self)

    def open(self, stream: Optional[ByteStream] = None) -> None:
        """Do nothing: it is open."""

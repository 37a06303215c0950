"""A reactor for the DNS client whose sockets keep quiet.

Twisted logs a line when a UDP socket opens and one when it closes, and its DNS client takes a socket for each question:
a few names of a short TTL would fill the log.  Here these lines are debug messages.
"""

from __future__ import annotations

from typing import Any, Callable

from twisted.internet.udp import Port
from twisted.logger import LogLevel
from twisted.python.log import callWithContext


class QuietUdp:
    """The part of a reactor that `twisted.names.client.Resolver` uses."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.callLater: Callable[..., Any] = reactor.callLater
        self.connectTCP: Callable[..., Any] = reactor.connectTCP

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> Port:
        """See `twisted.internet.interfaces.IReactorUDP`."""
        make: Callable[..., Port] = _QuietPort
        made = make(port, protocol, interface, maxPacketSize, self._reactor)
        made.startListening()
        return made


class _QuietPort(Port):
    def startListening(self) -> None:
        callWithContext({"log_level": LogLevel.debug}, super().startListening)

    def connectionLost(self, reason: Any = None) -> None:
        callWithContext({"log_level": LogLevel.debug}, super().connectionLost, reason)

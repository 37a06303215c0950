"""UDP sockets that say nothing at the usual level."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher

from twisted_mesh.upstream.quiet import QuietUdp


class Reactor(Clock):
    """As much of a reactor as a UDP port needs."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.addReader = self.readers.add
        self.removeReader = self.readers.discard
        self.removeWriter = self.readers.discard

    def connectTCP(self, *arguments: Any) -> None:
        raise AssertionError("nothing is connected here")


def test_opening_and_closing_are_debug_messages() -> None:
    reactor = Reactor()
    said: list[Any] = []
    globalLogPublisher.addObserver(said.append)
    try:
        port = QuietUdp(reactor).listenUDP(0, DatagramProtocol(), "127.0.0.1")
        assert reactor.readers == {port}
        port.stopListening()
        reactor.advance(0)
    finally:
        globalLogPublisher.removeObserver(said.append)
    assert reactor.readers == set()
    assert len(said) >= 2
    assert {each["log_level"] for each in said} == {LogLevel.debug}

"""What is asked of a connected socket itself."""

from __future__ import annotations

import socket
import sys

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from tests.net.support import tcp_pair
from twisted_mesh.net.sockets import departed, queued, reset_on_close, twisted_address


def test_reset_on_close() -> None:
    """The peer sees a RST; a closed socket is no trouble."""
    ours, theirs = tcp_pair()
    reset_on_close(ours)
    ours.close()
    theirs.setblocking(True)
    with pytest.raises(ConnectionResetError):
        theirs.recv(1)
    theirs.close()
    reset_on_close(ours)


def test_queued() -> None:
    """It counts what the peer has not taken, and is 0 for a socket that is gone."""
    ours, theirs = socket.socketpair()
    assert queued(ours) == 0
    ours.send(b"x" * 1000)
    assert queued(ours) >= 1000
    theirs.recv(1000)
    assert queued(ours) == 0
    theirs.close()
    ours.close()
    assert queued(ours) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell less")
def test_departed() -> None:
    """A peer that leaves is noticed behind what it sent, which nobody reads."""
    ours, theirs = tcp_pair()
    assert departed(ours) == ""
    theirs.sendall(b"x" * 1000)
    assert departed(ours) == ""
    theirs.shutdown(socket.SHUT_WR)
    assert departed(ours) == "end"
    ours.shutdown(socket.SHUT_WR)
    assert departed(ours) == "end"
    theirs.close()
    ours.close()
    assert departed(ours) == "reset"
    ours, theirs = tcp_pair()
    theirs.sendall(b"x" * 1000)
    reset_on_close(theirs)
    theirs.close()
    assert departed(ours) == "reset"
    ours.close()


def test_twisted_address() -> None:
    """Every kind of address has its Twisted object."""
    assert twisted_address(("127.0.0.1", 80)) == IPv4Address("TCP", "127.0.0.1", 80)
    assert twisted_address(("::1", 80, 0, 0)) == IPv6Address("TCP", "::1", 80, 0, 0)
    assert twisted_address("/run/s") == UNIXAddress("/run/s")
    assert twisted_address("") == UNIXAddress(None)
    assert twisted_address(None) is None

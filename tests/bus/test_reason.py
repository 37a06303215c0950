"""Why a connection is gone, in a few words."""

from __future__ import annotations

import errno

import pytest
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import error
from twisted.python.failure import Failure

from twisted_mesh.bus.reason import reason


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (error.ConnectionRefusedError(), "connection refused"),
        (error.ConnectionDone(), "the server closed the connection"),
        (error.ConnectionLost(), "the connection was lost"),
        (error.ConnectionAborted(), "the connection was dropped"),
        (error.DNSLookupError("no a.example"), "the name was not found: "),
        (error.TimeoutError(), "no connection in time"),
        (error.NoRouteError(errno.EHOSTUNREACH), "No route to host"),
        (error.ConnectError("what"), "what"),
        (SSL.Error([("SSL routines", "", "certificate verify failed")]), "TLS: certificate verify failed"),
        (SSL.Error(), "TLS: the handshake failed"),
        (VerificationError(errors=[]), "TLS: the certificate is for another name"),
        (ValueError("odd"), "ValueError: odd"),
    ],
)
def test_each_has_its_words(raised: Exception, text: str) -> None:
    assert reason(raised).startswith(text)
    assert reason(Failure(raised)) == reason(raised)
    assert "\n" not in reason(raised)

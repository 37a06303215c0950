"""Why a connection could not be made or was lost, in a few words."""

from __future__ import annotations

import os
from typing import Any, Union

from twisted.internet.error import (
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
)
from twisted.python.failure import Failure


def reason(why: Union[Failure, BaseException]) -> str:
    """Return one line for people."""
    error: Any = why.value if isinstance(why, Failure) else why
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionDone):
        return "the server closed the connection"
    if isinstance(error, ConnectionAborted):
        return "the connection was dropped"
    if isinstance(error, ConnectionLost):
        return "the connection was lost"
    if isinstance(error, DNSLookupError):
        return f"the name was not found: {error}"
    if isinstance(error, TimeoutError):
        return "no connection in time"
    if isinstance(error, ConnectError) and error.osError:
        number = error.osError
        return os.strerror(number) if isinstance(number, int) else str(number)
    return _tls(error) or f"{type(error).__name__}: {error}"


def _tls(error: Any) -> str:
    """Return what OpenSSL or the check of the certificate's name says, "" if it is neither."""
    module = type(error).__module__
    if module.startswith("OpenSSL"):
        found = error.args[0] if error.args and isinstance(error.args[0], (list, tuple)) else []
        words = [each[-1] for each in found if isinstance(each, tuple) and each]
        return f"TLS: {', '.join(words) or 'the handshake failed'}"
    if module.startswith("service_identity"):
        return "TLS: the certificate is for another name"
    return ""

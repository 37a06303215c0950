"""From connections that were accepted to clients of TLS: the handshakes of one listener."""

from __future__ import annotations

import ssl
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Optional

from twisted_mesh.families import Families
from twisted_mesh.net.accept import Accepted, attach
from twisted_mesh.net.certificates import identity_of
from twisted_mesh.net.tls_transport import Gone, Late, TlsTransport

if TYPE_CHECKING:
    from twisted_mesh.interfaces import Env

# Seconds between two log lines about handshakes that failed for the same reason.
LOG_EVERY = 10.0
# What OpenSSL calls it, and what we do; whatever has ALERT in it is the client's own refusal.
_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no_certificate",
    "CERTIFICATE_VERIFY_FAILED": "bad_certificate",
    "UNSUPPORTED_PROTOCOL": "version",
    "UNKNOWN_PROTOCOL": "version",
    "VERSION_TOO_LOW": "version",
    "NO_SHARED_CIPHER": "cipher",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "cipher",
    "NO_SHARED_SIGNATURE_ALGORITHMS": "cipher",
    "NO_SUITABLE_KEY_SHARE": "cipher",
    "NO_SUITABLE_GROUPS": "cipher",
    "HTTP_REQUEST": "not_tls",
    "HTTPS_PROXY_REQUEST": "not_tls",
    "WRONG_VERSION_NUMBER": "not_tls",
    "UNEXPECTED_MESSAGE": "not_tls",
    "PACKET_LENGTH_TOO_LONG": "not_tls",
}
REASONS = ("no_certificate", "bad_certificate", "version", "cipher", "not_tls", "refused", "closed", "timeout", "other")


class SecureAccepted(Accepted):
    """A connection whose handshake is over.

    `identity` is who the client is by its certificate, None if it has shown none.
    """

    __slots__ = ("identity", "transport")

    def __init__(self, accepted: Accepted, transport: TlsTransport, identity: Optional[str]) -> None:
        self.loop = accepted.loop
        self.sock = accepted.sock
        self.peer = accepted.peer
        self.peer_host = accepted.peer_host
        self.transport = transport
        self.identity = identity

    def adopt(self, protocol: Any) -> TlsTransport:
        """Connect a Twisted protocol to it; ``makeConnection`` is called now."""
        self.transport.adopt(protocol)
        return self.transport

    def detach(self) -> Any:
        """Refuse: nobody can read it without the transport.

        :raises TypeError: always.
        """
        raise TypeError("a connection of TLS cannot be detached")


class Handshakes:
    """Makes handshakes, and hands on who has come through.

    `context` and `timeout` may be replaced at any time, for the handshakes that begin from then on.

    :param protocol: the listener's, and `name` too, for metrics and logs.
    :param welcome: takes a client whose handshake went well.
    """

    def __init__(self, protocol: str, name: str, env: Env, welcome: Callable[[SecureAccepted], None]) -> None:
        self.context: Optional[ssl.SSLContext] = None
        self.timeout = 10.0
        self._name = name
        self._protocol = protocol
        self._welcome = welcome
        self._env = env
        self._pending: set[TlsTransport] = set()
        # When a reason may be logged again, and how often it was met since the last line.
        self._quiet: dict[str, tuple[float, int]] = {}
        families = Families(env.metrics)
        self._done = families.handshakes
        self._failed = families.handshake_failures

    def __repr__(self) -> str:
        return f"<Handshakes of {self._name}: {len(self)} going on>"

    def __len__(self) -> int:
        return len(self._pending)

    def accepted(self, accepted: Accepted) -> None:
        """Take a new connection."""
        assert self.context is not None
        transport = TlsTransport(accepted.loop, accepted.sock, self.context, partial(self._over, accepted))
        self._pending.add(transport)
        try:
            attach(accepted.loop, transport)
        except Exception:
            self._pending.discard(transport)
            raise
        transport.limit(self.timeout)

    def close_all(self) -> None:
        """End those that go on."""
        for each in list(self._pending):
            each.reset()

    def _over(self, accepted: Accepted, transport: TlsTransport, error: Optional[BaseException]) -> None:
        self._pending.discard(transport)
        if error is not None:
            self._count(accepted, error)
            return
        session = transport.session
        certificate = session.getpeercert()
        if certificate and session.session_reused and _ends(certificate) < self._env.wall():
            # It was good when the session began, and nobody has looked since.
            self._count(accepted, _Expired())
            transport.reset()
            return
        self._done.labels(self._protocol, self._name, session.version() or "").value += 1
        try:
            self._welcome(SecureAccepted(accepted, transport, identity_of(certificate)))
        except Exception:
            self._env.log.failure("listener {name}: a connection could not be set up", name=self._name)
            transport.reset()

    def _count(self, accepted: Accepted, error: BaseException) -> None:
        reason, said = explained(error)
        self._failed.labels(self._protocol, self._name, reason).value += 1
        now = self._env.now()
        until, missed = self._quiet.get(reason, (0.0, 0))
        if now < until:
            self._quiet[reason] = (until, missed + 1)
            return
        self._quiet[reason] = (now + LOG_EVERY, 0)
        self._env.log.warn(
            "listener {name}: no TLS with {peer}: {said}{more}",
            name=self._name,
            peer=accepted.peer,
            said=said,
            more=f" (and {missed} more since the last such line)" if missed else "",
        )


class _Expired(Exception):
    """The certificate of a session that goes on has ended."""


def _ends(certificate: Any) -> float:
    return ssl.cert_time_to_seconds(certificate["notAfter"])


def explained(error: BaseException) -> tuple[str, str]:
    """Return which of `REASONS` it is, and a line for people."""
    if isinstance(error, Late):
        return "timeout", "the handshake took too long"
    if isinstance(error, Gone):
        return "closed", "the client left during the handshake"
    if isinstance(error, _Expired):
        return "bad_certificate", "its certificate has expired"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "bad_certificate", f"its certificate is not good: {error.verify_message}"
    reason = getattr(error, "reason", None) or ""
    known = _REASONS.get(reason, "refused" if "ALERT" in reason else "other")
    words = reason.replace("_", " ").lower() or str(error)
    return known, f"the client says {words}" if known == "refused" else words

"""Endpoints for one address: TCP, TLS or a unix socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from OpenSSL import crypto
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from twisted_mesh.bus.errors import BusError
from twisted_mesh.model.redis import BEGIN

if TYPE_CHECKING:
    from twisted_mesh import model
    from twisted_mesh.model.redis import Redis

_BEGIN = BEGIN.encode()
_END_OF_CERTIFICATE = b"-----END CERTIFICATE-----"


def endpoint_for(address: model.Address, settings: Redis, reactor: Any) -> IStreamClientEndpoint:
    """Return how to reach `address`.

    :raises BusError: the files of TLS cannot be used; they are read now, so that new ones take effect.
    """
    if address.path:
        unix: IStreamClientEndpoint = UNIXClientEndpoint(reactor, address.path, timeout=settings.timeout)
        return unix
    tcp = HostnameEndpoint(reactor, address.host, address.port, timeout=settings.timeout)
    return TlsEndpoint(tcp, _tls_options(address, settings), reactor) if settings.secure else tcp


@implementer(IStreamClientEndpoint)
class TlsEndpoint:
    """TLS over another endpoint.

    Twisted's `wrapClientTLS` would do, but its protocol flushes by the clock of the global reactor.
    """

    def __init__(self, plain: IStreamClientEndpoint, options: Any, reactor: Any) -> None:
        self._plain = plain
        self._options = options
        self._reactor = reactor

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect; the handshake goes on when this fires."""
        wrapped = TLSMemoryBIOFactory(self._options, True, protocolFactory, self._reactor)
        connected: Deferred[Any] = self._plain.connect(wrapped)
        return connected.addCallback(lambda outer: outer.wrappedProtocol)


def _tls_options(address: model.Address, settings: Redis) -> Any:
    more: dict[str, Any] = {}
    if settings.certificate is not None:
        chain = _certificates("certificate", settings.certificate)
        more = {
            "certificate": chain[0],
            "extraCertChain": chain[1:],
            "privateKey": _key(settings.key or settings.certificate),
        }
    trusted = None
    if settings.ca is not None:
        trusted = trustRootFromCertificates([Certificate(each) for each in _certificates("ca", settings.ca)])
    try:
        return optionsForClientTLS(
            settings.server_name or address.host, trustRoot=trusted, extraCertificateOptions=more or None
        )
    except Exception as error:
        raise BusError("down", f"TLS cannot be used: {error or type(error).__name__}", server=str(address)) from error


def _certificates(name: str, value: str) -> list[crypto.X509]:
    text = _pem(name, value)
    parts = [each[each.rindex(_BEGIN) :] for each in text.split(_END_OF_CERTIFICATE)[:-1] if _BEGIN in each]
    try:
        found = [crypto.load_certificate(crypto.FILETYPE_PEM, each + _END_OF_CERTIFICATE + b"\n") for each in parts]
    except (crypto.Error, ValueError) as error:
        raise BusError("down", f"redis.{name} holds a certificate that cannot be read") from error
    if not found:
        raise BusError("down", f"redis.{name} holds no certificate in PEM")
    return found


def _key(value: str) -> crypto.PKey:
    try:
        # Without a passphrase OpenSSL would ask the terminal for one.
        return crypto.load_privatekey(crypto.FILETYPE_PEM, _pem("key", value), passphrase=b"")
    except (crypto.Error, ValueError, TypeError) as error:
        raise BusError("down", "redis.key holds no key in PEM that can be read without a passphrase") from error


def _pem(name: str, value: str) -> bytes:
    if BEGIN in value:
        return value.encode()
    try:
        with open(value, "rb") as file:
            return file.read(1 << 20)
    except OSError as error:
        raise BusError("down", f"redis.{name}: {value} cannot be read: {error.strerror or error}") from error

"""Certificates from PEM to what makes handshakes, and from a handshake to who the other end is."""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import tempfile
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Iterator, Mapping, NamedTuple, NoReturn, Optional, Sequence

from twisted_mesh.model.redis import BEGIN

if TYPE_CHECKING:
    from twisted_mesh.model import Certificate, ListenerTls

# A chain has a few KiB, a list of authorities a quarter of a MiB.
MAX_FILE = 1 << 20
# Longer names are of nobody.
MAX_NAME = 512
_CERTIFICATE = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----")
_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
# What OpenSSL says of a key that is not the certificate's, by what it had before.
_FOREIGN_KEY = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
_TIME = "%Y%m%d%H%M%SZ"
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_ASKS = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}

FileState = tuple[str, int, int, int]


class CertificateError(ValueError):
    """A certificate, a key or a list of authorities cannot be used.

    :ivar path: the setting below ``tls`` that is to blame, such as ``("certificates", 0, "key")``.
    """

    def __init__(self, path: Sequence[Any], message: str) -> None:
        super().__init__(message)
        self.path = tuple(path)


class Shown(NamedTuple):
    """A certificate that is shown to the other end: the names in it, and when it begins and ends."""

    names: tuple[str, ...]
    begins: datetime
    ends: datetime


class Served(NamedTuple):
    """What a listener makes handshakes with.

    `files` tells what each file was like just before it was read, `digest` what was read, and of which settings.
    """

    context: ssl.SSLContext
    certificates: tuple[Shown, ...]
    files: tuple[FileState, ...]
    digest: bytes


class _Read(NamedTuple):
    pem: bytes
    key: bytes


def file_state(path: str) -> FileState:
    """Return what tells whether a file has changed: its name, inode, size and time; zeros if it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return (path, 0, 0, 0)
    return (path, status.st_ino, status.st_size, status.st_mtime_ns)


def paths_of(tls: ListenerTls) -> list[str]:
    """Return the files that the settings name."""
    values = [tls.client_ca]
    for each in tls.certificates:
        values += [each.certificate, each.key]
    return list(dict.fromkeys(each for each in values if each is not None and BEGIN not in each))


def serve(tls: ListenerTls, protocols: Sequence[str] = (), before: Optional[Served] = None) -> Served:
    """Return what makes handshakes by these settings; `before` itself, if nothing has changed since.

    A new one knows no sessions of clients: who is to be trusted may be another than before.

    :param protocols: what is spoken over TLS, by its names in ALPN (RFC 7301).
    :raises CertificateError: something cannot be read or used; says what, and what would be right.
    """
    files = tuple(file_state(each) for each in paths_of(tls))
    read = [_read_pair(index, each) for index, each in enumerate(tls.certificates)]
    authorities = _pem(("client_ca",), tls.client_ca) if tls.client_ca is not None else b""
    digest = _digest(
        repr((tls.asks, tls.min_version, tuple(protocols))).encode(), authorities, *(b for a in read for b in a)
    )
    if before is not None and before.digest == digest:
        return before._replace(files=files)
    contexts = _Contexts(tls, protocols, authorities)
    for index, each in enumerate(read):
        contexts.add(index, each)
    return Served(contexts.first(), tuple(contexts.shown), files, digest)


def identity_of(certificate: Optional[Mapping[str, Any]]) -> Optional[str]:
    """Return who a verified certificate is for: its SPIFFE ID or other URI, or its DNS name, or its common name.

    What cannot be printed, and what is longer than `MAX_NAME`, is no name.

    :param certificate: as `ssl.SSLObject.getpeercert` gives it; empty or None if there is none.
    """
    if not certificate:
        return None
    alternatives = certificate.get("subjectAltName", ())
    uris = [value for kind, value in alternatives if kind == "URI"]
    uris.sort(key=lambda each: not each.startswith("spiffe://"))
    hosts = [value for kind, value in alternatives if kind == "DNS"]
    common = [value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"]
    for name in (*uris, *hosts, *common):
        if name and len(name) <= MAX_NAME and name.isprintable():
            return str(name)
    return None


# --- reading


def _read_pair(index: int, config: Certificate) -> _Read:
    where = ("certificates", index)
    pem = _pem((*where, "certificate"), config.certificate)
    if _CERTIFICATE.search(pem) is None:
        raise CertificateError((*where, "certificate"), f"{_of(config.certificate)} holds no certificate in PEM")
    if config.key is not None:
        key = _pem((*where, "key"), config.key)
        if _KEY.search(key) is None:
            raise CertificateError((*where, "key"), f"{_of(config.key)} holds no private key in PEM")
        return _Read(pem, key)
    if _KEY.search(pem) is None:
        message = f"{_of(config.certificate)} holds no private key; say with key: where it is"
        raise CertificateError((*where, "certificate"), message)
    return _Read(pem, pem)


def _pem(where: Sequence[Any], value: str) -> bytes:
    """Return the PEM that a setting stands for."""
    if BEGIN in value:
        return value.encode()
    try:
        with open(value, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise CertificateError(where, f"{value} cannot be read: {why}") from error
    if len(data) > MAX_FILE:
        raise CertificateError(where, f"{value} is larger than {MAX_FILE:,} bytes")
    return data


def _of(value: str) -> str:
    return "this text" if BEGIN in value else value


def _digest(*parts: bytes) -> bytes:
    made = hashlib.sha256()
    for each in parts:
        made.update(b"%d:" % len(each))
        made.update(each)
    return made.digest()


# --- making


class _Contexts:
    """The contexts of one listener: one for each set of names, with a certificate for each kind of key."""

    def __init__(self, tls: ListenerTls, protocols: Sequence[str], authorities: bytes) -> None:
        self._tls = tls
        self._protocols = list(protocols)
        self._authorities = authorities
        # Each with the kinds of keys that it has.
        self._by_names: dict[tuple[str, ...], tuple[ssl.SSLContext, set[str]]] = {}
        self._by_name: dict[str, ssl.SSLContext] = {}
        self.shown: list[Shown] = []

    def add(self, index: int, read: _Read) -> None:
        """Take in a certificate and its key."""
        where = ("certificates", index)
        shown, kind = _look(where, _of(self._tls.certificates[index].certificate), read.pem)
        names = tuple(sorted(shown.names)) or (f"#{index}",)
        known = self._by_names.get(names)
        if known is not None and kind in known[1]:
            message = (
                f"another one before it has the same names and a key of the same kind ({kind}), and is always first"
            )
            raise CertificateError(where, message)
        context, kinds = known or (self._new(), set())
        self._load(where, context, read)
        kinds.add(kind)
        self._by_names[names] = (context, kinds)
        for name in shown.names:
            self._by_name.setdefault(name, context)
        self.shown.append(shown)

    def first(self) -> ssl.SSLContext:
        """Return the context that handshakes begin with; it knows the others by their names."""
        first = next(iter(self._by_names.values()))[0]
        if len(self._by_names) > 1:
            by_name = self._by_name

            def chosen(session: Any, name: Optional[str], context: ssl.SSLContext) -> None:
                found = by_name.get((name or "").lower()) or by_name.get(f"*.{(name or '').lower().partition('.')[2]}")
                if found is not None and found is not context:
                    session.context = found

            first.sni_callback = chosen
        return first

    def _new(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[self._tls.min_version]
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        if self._protocols:
            context.set_alpn_protocols(self._protocols)
        context.verify_mode = _ASKS[self._tls.asks]
        if self._authorities:
            # Whoever is named there is trusted, also one whom somebody else has signed.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            self._trust(context)
        return context

    def _trust(self, context: ssl.SSLContext) -> None:
        value = _of(self._tls.client_ca or "")
        if _CERTIFICATE.search(self._authorities) is None:
            raise CertificateError(("client_ca",), f"{value} holds no certificate in PEM")
        try:
            context.load_verify_locations(cadata=self._authorities.decode("ascii", "replace"))
        except (ssl.SSLError, ValueError) as error:
            message = f"{value} holds a certificate that cannot be read: {_reason(error)}"
            raise CertificateError(("client_ca",), message) from error

    def _load(self, where: Sequence[Any], context: ssl.SSLContext, read: _Read) -> None:
        key = (*where, "key") if self._tls.certificates[where[1]].key is not None else (*where, "certificate")

        def encrypted() -> NoReturn:
            raise CertificateError(
                key, "the key is encrypted; expected one without a passphrase, in a file that others cannot read"
            )

        try:
            with _as_file(read.pem) as certificate_path, _as_file(read.key) as key_path:
                context.load_cert_chain(certificate_path, key_path, password=encrypted)
        except ssl.SSLError as error:
            if error.reason in _FOREIGN_KEY:
                message = "the key does not belong to the certificate (of several in a file, the first is meant)"
                raise CertificateError(key, message) from error
            raise CertificateError(where, f"cannot be used: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return reason.replace("_", " ").lower() if reason else str(error)


def _look(where: Sequence[Any], value: str, pem: bytes) -> tuple[Shown, str]:
    """Return what the first certificate says, and the kind of its key."""
    # Late: who speaks no TLS does not need it.
    from OpenSSL import crypto

    try:
        found = crypto.load_certificate(crypto.FILETYPE_PEM, pem)
        begins, ends = (_time(each) for each in (found.get_notBefore(), found.get_notAfter()))
        names = _names(found.to_cryptography())
        kind = type(found.get_pubkey().to_cryptography_key()).__name__.strip("_").removesuffix("PublicKey")
    except (crypto.Error, ValueError, TypeError) as error:
        raise CertificateError((*where, "certificate"), f"{value} holds a certificate that cannot be read") from error
    return Shown(names, begins, ends), kind


def _names(certificate: Any) -> tuple[str, ...]:
    """Return the DNS names in a certificate; its common name if it has no alternatives at all (RFC 6125, 6.4.4)."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return tuple(
            str(each.value).lower() for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        )
    return tuple(dict.fromkeys(each.lower() for each in alternatives.get_values_for_type(x509.DNSName)))


def _time(text: Optional[bytes]) -> datetime:
    return datetime.strptime((text or b"").decode("ascii"), _TIME).replace(tzinfo=timezone.utc)


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """Give what OpenSSL reads from files a name, without a disk where that can be had."""
    descriptor = os.memfd_create("pem") if hasattr(os, "memfd_create") else -1
    try:
        path = f"/proc/self/fd/{descriptor}"
        # A process that has changed its user may not look there.
        if descriptor >= 0 and os.access(path, os.R_OK):
            os.write(descriptor, data)
            yield path
            return
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.name

"""Certificates from PEM to what makes handshakes."""

from __future__ import annotations

import datetime
import os
import ssl
from pathlib import Path
from typing import Any, Optional

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.net.tls_support import client_side
from tests.tls_front import Authority
from twisted_mesh.model import ListenerTls
from twisted_mesh.net import certificates as module
from twisted_mesh.net.certificates import CertificateError, identity_of, paths_of, serve


def settings(certificates: Any, **more: Any) -> ListenerTls:
    return ListenerTls.model_validate({"certificates": certificates, **more})


def shake_hands(
    server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost"
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Make a handshake in memory; return what the server and the client know then."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up, server_hostname=name),
        server.wrap_bio(up, down, server_side=True),
    ]
    for _ in range(10):
        for each in ends:
            try:
                each.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert ends[0].version() and ends[1].version()
    return ends[1], ends[0]


def names(found: ssl.SSLObject) -> list[str]:
    certificate: Any = found.getpeercert()
    return [value for _, value in certificate.get("subjectAltName", ())]


def test_a_certificate_with_its_key(authority: Authority, tmp_path: Path) -> None:
    """In one file, in two, or as PEM itself."""
    both = authority.issue("localhost", ["localhost"])
    pem = both.read_text()
    at = pem.index("-----BEGIN PRIVATE")
    (tmp_path / "c").write_text(pem[:at])
    (tmp_path / "k").write_text("a note\n" + pem[at:])
    for each in (
        str(both),
        pem,
        {"certificate": str(tmp_path / "c"), "key": str(tmp_path / "k")},
        {"certificate": pem[:at], "key": pem[at:]},
    ):
        served = serve(settings(each))
        assert names(shake_hands(served.context, client_side(authority))[1]) == ["localhost"]
        assert served.certificates[0].names == ("localhost",)
        assert served.certificates[0].ends.year == 2100


def test_where_there_is_no_memory_for_files(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL reads files only: a process that may not look at its own has others."""
    tls = settings(str(authority.issue("localhost", ["localhost"])))
    monkeypatch.setattr(module.os, "access", lambda *arguments: False)
    assert shake_hands(serve(tls).context, client_side(authority))
    monkeypatch.delattr(module.os, "memfd_create", raising=False)
    assert shake_hands(serve(tls).context, client_side(authority))


def test_the_name_that_is_asked_for_chooses(authority: Authority) -> None:
    """Exactly, by a wildcard of one label, or the first."""
    first = authority.issue("a.example", ["a.example"])
    second = authority.issue("b.example", ["b.example", "*.b.example"])
    context = serve(settings([str(first), str(second)])).context
    client = client_side(authority)
    for name, shown in (("a.example", "a.example"), ("b.example", "b.example"), ("x.b.example", "b.example")):
        assert shown in names(shake_hands(context, client, name)[1])
    client.check_hostname = False
    for other in ("c.example", "x.y.b.example"):
        assert names(shake_hands(context, client, other)[1]) == ["a.example"]


def test_a_kind_of_key_for_each_client(authority: Authority) -> None:
    """The same names with two kinds of keys: the client's ciphers choose; the same kind twice means nothing."""
    key = rsa.generate_private_key(65537, 2048)
    elliptic = authority.issue("ec", ["localhost"])
    other = authority.issue("rsa", ["localhost"], key=key)
    context = serve(settings([str(elliptic), str(other)])).context
    client = client_side(authority)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    for cipher in ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"):
        client.set_ciphers(cipher)
        found = shake_hands(context, client)[1].cipher()
        assert found is not None and found[0] == cipher
    with pytest.raises(CertificateError, match=r"another one before it has the same names .*EC"):
        serve(settings([str(elliptic), str(authority.issue("ec2", ["localhost"]))]))


def test_clients_show_certificates(authority: Authority, tmp_path: Path) -> None:
    server = str(authority.issue("localhost", ["localhost"]))
    other = Authority(tmp_path, "other")
    own = client_side(authority, authority.issue("app", ["spiffe://shop/app", "app.example"]))
    foreign, nobody = client_side(authority, other.issue("app")), client_side(authority)
    optional = serve(settings(server, client_ca=str(authority.ca), client_certificate="optional")).context
    required = serve(settings(server, client_ca=authority.ca.read_text())).context
    for each in (optional, required):
        assert identity_of(shake_hands(each, own)[0].getpeercert()) == "spiffe://shop/app"
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(each, foreign)
    assert identity_of(shake_hands(optional, nobody)[0].getpeercert()) is None
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        shake_hands(required, nobody)
    assert shake_hands(serve(settings(server)).context, foreign)[0].getpeercert() is None


def test_versions_and_protocols(authority: Authority) -> None:
    server = str(authority.issue("localhost", ["localhost"]))
    client = client_side(authority)
    client.set_alpn_protocols(["h2", "http/1.1"])
    context = serve(settings(server), ("http/1.1",)).context
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert shake_hands(context, client)[0].selected_alpn_protocol() == "http/1.1"
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert shake_hands(context, client)[0].version() == "TLSv1.2"
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        shake_hands(serve(settings(server, min_version="1.3")).context, client)


def test_what_is_equal_stays(authority: Authority) -> None:
    """As long as neither files nor settings say something else, sessions of clients go on."""
    path = authority.issue("localhost", ["localhost"])
    tls = settings(str(path))
    before = serve(tls)
    os.utime(path, ns=(1, 1))
    touched = serve(tls, (), before)
    assert touched.context is before.context and touched.files != before.files
    assert serve(settings(str(path), min_version="1.3"), (), before).context is not before.context
    assert serve(tls, ("http/1.1",), before).context is not before.context
    authority.issue("localhost", ["localhost"])
    assert serve(tls, (), before).context is not before.context
    assert paths_of(settings([str(path), path.read_text()], client_ca=str(path))) == [str(path)]


def test_when_it_ends(authority: Authority) -> None:
    ends = datetime.datetime(2021, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc)
    assert serve(settings(str(authority.issue("old", ends=ends)))).certificates[0].ends == ends


def pieces(authority: Authority) -> dict[str, str]:
    """Everything that may be wrong, by what it is called in the cases below."""
    good, other = authority.issue("good"), authority.issue("second")
    pem, second = good.read_text(), other.read_text()
    at = pem.index("-----BEGIN PRIVATE")
    closed = authority.issue("closed", password="secret").read_text()
    return {
        "good": pem,
        "certificate": pem[:at],
        "key": pem[at:],
        "other": second[second.index("-----BEGIN PRIVATE") :],
        "rsa": authority.issue("rsa", key=rsa.generate_private_key(65537, 2048)).read_text(),
        "closed": closed,
        "empty": "-----BEGIN NOTHING",
        "broken": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + pem[at:],
        "broken key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    }


@pytest.mark.parametrize(
    ("certificate", "key", "client_ca", "path", "said"),
    [
        ("/no/such", None, None, "certificates 0 certificate", "/no/such cannot be read: No such file or directory"),
        ("/", None, None, "certificates 0 certificate", "/ cannot be read: Is a directory"),
        ("certificate", "/no/such", None, "certificates 0 key", "/no/such cannot be read"),
        ("certificate", None, None, "certificates 0 certificate", "no private key; say with key: where it is"),
        ("empty", None, None, "certificates 0 certificate", "holds no certificate in PEM"),
        ("broken", None, None, "certificates 0 certificate", "holds a certificate that cannot be read"),
        ("certificate", "empty", None, "certificates 0 key", "holds no private key in PEM"),
        ("certificate", "broken key", None, "certificates 0", "cannot be used"),
        ("certificate", "other", None, "certificates 0 key", "the key does not belong to the certificate"),
        ("certificate", "rsa", None, "certificates 0 key", "the key does not belong to the certificate"),
        ("closed", None, None, "certificates 0 certificate", "the key is encrypted; expected one without a passphrase"),
        ("good", None, "/no/such", "client_ca", "/no/such cannot be read"),
        ("good", None, "empty", "client_ca", "holds no certificate in PEM"),
        ("good", None, "broken", "client_ca", "holds a certificate that cannot be read"),
    ],
)
def test_what_cannot_be_used(
    authority: Authority, certificate: str, key: Optional[str], client_ca: Optional[str], path: str, said: str
) -> None:
    there = pieces(authority)
    tls = settings(
        {"certificate": there.get(certificate, certificate), "key": key and there.get(key, key)},
        client_ca=client_ca and there.get(client_ca, client_ca),
    )
    with pytest.raises(CertificateError) as caught:
        serve(tls)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert " ".join(map(str, caught.value.path)) == path


def test_a_file_that_is_too_large(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (module.MAX_FILE + 1))
    with pytest.raises(CertificateError, match="larger than"):
        serve(settings(str(tmp_path / "large")))


@pytest.mark.parametrize(
    ("alternatives", "common", "identity"),
    [
        ([("DNS", "a.example"), ("URI", "https://a"), ("URI", "spiffe://shop/a")], "a", "spiffe://shop/a"),
        ([("DNS", "a.example"), ("URI", "https://a")], "a", "https://a"),
        ([("DNS", "a.example"), ("DNS", "b.example")], "a", "a.example"),
        ([("IP Address", "127.0.0.1")], "a", "a"),
        ([], "a", "a"),
        ([], "", None),
        ([("URI", "spiffe://shop/\n")], "a", "a"),
        ([("DNS", "x" * 513)], "a", "a"),
    ],
)
def test_who_a_certificate_is_for(alternatives: list[tuple[str, str]], common: str, identity: Optional[str]) -> None:
    certificate = {"subjectAltName": tuple(alternatives), "subject": ((("commonName", common),),)}
    assert identity_of(certificate) == identity


def test_no_certificate_is_nobody() -> None:
    assert identity_of(None) is None
    assert identity_of({}) is None

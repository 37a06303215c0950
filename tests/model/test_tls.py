"""What a listener says of TLS."""

from __future__ import annotations

import pytest

from twisted_mesh.control.load import load_text
from twisted_mesh.errors import ConfigError
from twisted_mesh.model import ListenerTls

TEXT = "listeners:\n  a:\n    bind: 127.0.0.1:80\n    protocol: {protocol}\n    tls: {tls}\n    {more}routes: []\n"


def tls_of(tls: str, protocol: str = "http", more: str = "") -> ListenerTls:
    text = TEXT.replace("{protocol}", protocol).replace("{tls}", tls).replace("{more}", more)
    found = load_text(text).listeners["a"].tls
    assert found is not None
    return found


def problem(tls: str, protocol: str = "http", more: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        tls_of(tls, protocol, more)
    return str(caught.value)


def test_a_certificate_is_a_path_or_an_object_or_one_of_several() -> None:
    assert [each.certificate for each in tls_of("{certificates: /a}").certificates] == ["/a"]
    found = tls_of("{certificates: [/a, {certificate: /b, key: /c}]}").certificates
    assert [(each.certificate, each.key) for each in found] == [("/a", None), ("/b", "/c")]
    assert "/c" not in repr(found)


def test_what_is_asked_of_clients() -> None:
    assert tls_of("{certificates: /a}").asks == "none"
    assert tls_of("{certificates: /a, client_ca: /b}").asks == "required"
    assert tls_of("{certificates: /a, client_ca: /b, client_certificate: optional}").asks == "optional"
    assert tls_of("{certificates: /a, client_certificate: none}").asks == "none"


def test_the_oldest_version() -> None:
    assert tls_of("{certificates: /a}").min_version == "1.2"
    assert tls_of("{certificates: /a, min_version: 1.3}").min_version == "1.3"


USERS = "redis: {users: [{name: a, identities: x}, {name: b, identities: [x, y]}]}\n    "


@pytest.mark.parametrize(
    ("tls", "protocol", "more", "said"),
    [
        ("{}", "http", "", "listeners.a.tls: certificates is missing"),
        ("{certificates: []}", "http", "", "listeners.a.tls.certificates: expected at least one"),
        ("{certificates: a.pem}", "http", "", "expected an absolute path, PEM itself, or file:PATH"),
        ("{certificates: [{key: /a}]}", "http", "", "listeners.a.tls.certificates[0]: certificate is missing"),
        ("{certificates: /a, client_certificate: required}", "http", "", "required needs a client_ca"),
        ("{certificates: /a, client_certificate: optional}", "http", "", "optional needs a client_ca"),
        ("{certificates: /a, client_ca: /b, client_certificate: none}", "http", "", "client_ca has no effect"),
        ("{certificates: /a, min_version: 1.1}", "http", "", 'expected 1.2 or 1.3, got "1.1"'),
        ("{certificates: /a, mode: strict}", "http", "", "known, not supported yet"),
        ("{certificates: /a, alpn: h2}", "http", "", "listeners.a.tls.alpn: means nothing for http listeners"),
        ("{certificates: /a, alpn: [h 2]}", "tcp", "", "expected the name of a protocol"),
        ("{certificates: /a}", "redis", USERS, "identities: no client shows a certificate here"),
        ("{certificates: /a, client_ca: /b}", "redis", USERS, "users[1].identities: x is a already"),
        ("{certificates: /a, client_ca: /b}", "redis", USERS.replace("x", '""'), "expected the name in a certificate"),
    ],
)
def test_what_is_refused(tls: str, protocol: str, more: str, said: str) -> None:
    assert said in problem(tls, protocol, more)

"""Addresses: what is read, what is written, what is refused and how."""

from __future__ import annotations

import socket

import pytest
from pydantic import TypeAdapter

from twisted_mesh.model.address import Address, literal_family


@pytest.mark.parametrize(
    ("text", "address", "family"),
    [
        ("127.0.0.1:80", Address("127.0.0.1", 80), socket.AF_INET),
        ("[::1]:80", Address("::1", 80), socket.AF_INET6),
        ("[fe80::1%eth0]:0", Address("fe80::1%eth0", 0), socket.AF_INET6),
        ("localhost:5432", Address("localhost", 5432), None),
        ("db_1.example:65535", Address("db_1.example", 65535), None),
        ("unix:/run/app.sock", Address("", 0, "/run/app.sock"), socket.AF_UNIX),
    ],
)
def test_an_address_reads_back_from_its_text(text: str, address: Address, family: object) -> None:
    assert Address.parse(text) == address
    assert str(address) == text
    assert address.family == family


def test_names_are_lower_case() -> None:
    assert str(Address.parse("DB.Example:1")) == "db.example:1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (":8080", "expected a host before the port, such as 127.0.0.1:8080; to listen on every address 0.0.0.0:8080"),
        ("8080", 'expected an address with a port, such as 127.0.0.1:8080, got "8080"'),
        ("db.example", 'expected an address with a port, such as db.example:8080, got "db.example"'),
        (8080, "expected an address such as 127.0.0.1:8080, [::1]:8080 or unix:/path, got 8080"),
        (None, "expected an address such as 127.0.0.1:8080, [::1]:8080 or unix:/path, got nothing"),
        ("::1:80", 'expected an IPv6 address in brackets, such as [::1]:8080, got "::1:80"'),
        ("[db]:80", 'expected an IPv6 address within the brackets, got "[db]:80"'),
        ("http://db:80", 'expected an address without a scheme, host:port, got "http://db:80"'),
        ("a b:80", 'expected an IP address or a host name before the port, got "a b:80"'),
        ("-a:80", 'expected an IP address or a host name before the port, got "-a:80"'),
        ("127.0.0.256:80", 'expected an IPv4 address such as 127.0.0.1 before the port, got "127.0.0.256:80"'),
        ("db:99999", 'expected a port from 0 to 65535 after the colon, got "db:99999"'),
        ("db:http", 'expected a port from 0 to 65535 after the colon, got "db:http"'),
        ("db:\u0663", 'expected a port from 0 to 65535 after the colon, got "db:\u0663"'),
        ("unix:app.sock", 'expected an absolute path, unix:/path, got "unix:app.sock"'),
        ("unix:/a\0b", 'expected a path of at most 107 bytes without NUL, got "unix:/a\\u0000b"'),
    ],
)
def test_what_is_wrong_says_what_would_be_right(text: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Address.parse(text)
    assert str(caught.value) == message


def test_a_path_must_fit_into_a_socket_address() -> None:
    assert Address.parse("unix:/" + "a" * 106).path == "/" + "a" * 106
    with pytest.raises(ValueError, match="at most 107 bytes"):
        Address.parse("unix:/" + "a" * 107)


def test_models_take_the_text_and_the_address_and_write_the_text() -> None:
    adapter = TypeAdapter(Address)
    address = adapter.validate_python("[::1]:80")
    assert adapter.validate_python(address) is address
    assert adapter.dump_python(address, mode="json") == "[::1]:80"
    assert adapter.json_schema()["type"] == "string"


def test_a_literal_has_a_family_and_a_name_has_none() -> None:
    assert literal_family("10.0.0.1") == socket.AF_INET
    assert literal_family("::") == socket.AF_INET6
    assert literal_family("example") is None
    assert literal_family("a\0b") is None

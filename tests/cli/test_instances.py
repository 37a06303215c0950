"""How an instance is named."""

from __future__ import annotations

from tests.cli.conftest import Meshctl


def test_an_address_that_two_have_names_neither(meshctl: Meshctl) -> None:
    meshctl("register", "web", "127.0.0.1:80", "--id", "one")
    meshctl("register", "web", "127.0.0.1:80", "--id", "two")
    said = meshctl("drain", "web", "127.0.0.1:80", status=1)
    assert said.err == "meshctl: web has several instances at 127.0.0.1:80: name one by its id: one, two\n"

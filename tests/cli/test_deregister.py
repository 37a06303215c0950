"""``meshctl deregister``."""

from __future__ import annotations

from tests.cli.conftest import Meshctl


def test_by_its_id_or_by_its_address(meshctl: Meshctl) -> None:
    meshctl("register", "web", "127.0.0.1:80", "--id", "one")
    meshctl("register", "web", "127.0.0.1:81", "--id", "two")
    assert meshctl("deregister", "web", "one").out == "web/one: deregistered\n"
    said = meshctl("deregister", "web", "127.0.0.1:81", "-o", "json")
    assert said.json == {"service": "web", "id": "two", "deregistered": True}
    assert meshctl("services").rows == [["web", "0", "-"]]


def test_what_is_not_there(meshctl: Meshctl) -> None:
    assert meshctl("deregister", "web", "x", status=1).err == "meshctl: web has no instance x; it has none at all\n"
    meshctl("register", "web", "127.0.0.1:80", "--id", "one")
    assert meshctl("deregister", "web", "x", status=1).err == "meshctl: web has no instance x; there are one\n"

"""``meshctl services``."""

from __future__ import annotations

from tests.cli.conftest import Meshctl


def test_services_and_how_many_instances_they_have(meshctl: Meshctl) -> None:
    for service, port in (("web", 80), ("web", 81), ("api", 82)):
        meshctl("register", service, f"127.0.0.1:{port}")
    assert meshctl("services").rows == [["api", "1", "-"], ["web", "2", "-"]]
    assert meshctl("services", "-o", "names").out == "api\nweb\n"
    found = meshctl("services", "-o", "json").json
    assert [(each["service"], each["instances"], each["suspects"]) for each in found] == [("api", 1, 0), ("web", 2, 0)]


def test_meshes_know_nothing_of_each_other(meshctl: Meshctl) -> None:
    meshctl("register", "web", "127.0.0.1:80")
    assert meshctl("--mesh", "other", "services").rows == []
    assert meshctl("services", "--mesh", "default").rows == [["web", "1", "-"]]

"""``meshctl maintenance``."""

from __future__ import annotations

from tests.cli.conftest import Meshctl


def test_the_switch_is_turned_listed_and_turned_back(meshctl: Meshctl) -> None:
    said = meshctl("maintenance", "api", "on", "--ttl", "5m", "--percent", "25%", "--reason", "disk")
    assert said.out == "cluster api: under maintenance for 300 s, 25 % of the calls are turned away\n"
    meshctl("maintenance", "--service", "web", "on")
    meshctl("override", "web", "one", "drain")
    assert meshctl("maintenance").rows == [
        ["cluster", "api", "25", "4m", "ann", "disk"],
        ["service", "web", "100", "59m", "ann", "-"],
    ]
    assert [each["id"] for each in meshctl("maintenance", "-o", "json").json] == ["cluster/api/*", "service/web/*"]
    assert meshctl("maintenance", "api", "off").out == "cluster api: under maintenance no more\n"
    assert meshctl("maintenance", "api", "off", status=1).err == "meshctl: cluster api is not under maintenance\n"
    assert len(meshctl("maintenance").rows) == 1
    assert meshctl("override", "web", "*", "none").out == "service/web/*: the override has ended\n"


def test_what_makes_no_sense(meshctl: Meshctl) -> None:
    assert meshctl("maintenance", "api", status=2).err.startswith("meshctl: say both of CLUSTER STATE")
    assert 'unknown STATE "maybe"' in meshctl("maintenance", "api", "maybe", status=2).err
    assert "percentage" in meshctl("maintenance", "api", "on", "--percent", "0", status=2).err
    assert meshctl("maintenance", "api", "on", "--ttl", "1ms", status=1).err.startswith("meshctl: ttl: expected")

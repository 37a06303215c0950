"""``meshctl override``."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Meshctl


def test_overrides_are_put_listed_and_ended(meshctl: Meshctl) -> None:
    said = meshctl("override", "web", "one", "weight=5", "--ttl", "5m", "--reason", "slow")
    assert said.out == "service/web/one: weight=5 for 300 s\n"
    meshctl("override", "--cluster", "db", "10.0.0.1:5432", "maintenance")
    assert meshctl("override").rows == [
        ["cluster", "db", "10.0.0.1:5432", "maintenance", "59m", "ann", "-"],
        ["service", "web", "one", "weight=5", "4m", "ann", "slow"],
    ]
    [one] = meshctl("override", "-o", "json").json[1:]
    assert 290 < one.pop("expires_in") <= 300
    assert one.pop("expires") > one.pop("at") > 1e9
    assert one == {
        "id": "service/web/one",
        "scope": "service",
        "name": "web",
        "endpoint": "one",
        "kind": "weight",
        "weight": 5,
        "percent": 100.0,
        "ttl": 300.0,
        "author": "ann",
        "reason": "slow",
    }
    assert meshctl("override", "web", "one", "none").out == "service/web/one: the override has ended\n"
    said = meshctl("override", "web", "one", "none", "-o", "json", status=1)
    assert json.loads(said.out) == {"error": "there is no override of service/web/one"}
    assert said.err == "meshctl: there is no override of service/web/one\n"
    assert len(meshctl("override").rows) == 1


def test_an_endpoint_that_nobody_knows_is_mentioned(meshctl: Meshctl) -> None:
    """It may come, so the override holds; a slip of the pen does not go unseen."""
    meshctl("register", "web", "10.0.0.1:80", "--id", "one")
    note = "meshctl: note: web has no instance oen; there are one: the override waits for it\n"
    assert meshctl("override", "web", "oen", "drain").err == note
    note = "meshctl: note: wbe has no instance one; it has none at all: the override waits for it\n"
    assert meshctl("override", "wbe", "one", "drain").err == note
    assert meshctl("override", "web", "one", "drain").err == ""
    assert meshctl("override", "web", "10.0.0.1:80", "drain").err == ""
    assert meshctl("override", "web", "*", "maintenance").err == ""
    assert meshctl("override", "--cluster", "db", "oen", "drain").err == ""
    note = "meshctl: note: wbe has no instance\n"
    assert meshctl("maintenance", "--service", "wbe", "on").err == note
    assert meshctl("maintenance", "--service", "web", "on").err == ""


@pytest.mark.parametrize("what", ["weight", "weight=x", "up"])
def test_what_is_no_override(meshctl: Meshctl, what: str) -> None:
    said = meshctl("override", "web", "one", what, status=2)
    assert said.err == f'meshctl: expected weight=N, drain, maintenance or none, got "{what}"\n'


def test_all_or_nothing(meshctl: Meshctl) -> None:
    assert meshctl("override", "web", "one", status=2).err.startswith("meshctl: say all of SERVICE ENDPOINT WHAT")
    assert meshctl("override", "web", "one", "drain", "--ttl", "1ms", status=1).err.startswith("meshctl: ttl: expected")

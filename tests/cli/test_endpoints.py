"""``meshctl endpoints``."""

from __future__ import annotations

import json

from tests.cli.conftest import Meshctl


def test_the_instances_of_all_services_or_of_some(meshctl: Meshctl) -> None:
    meshctl("register", "web", "127.0.0.1:80", "--label", "a=1", "--label", "b=2", "--zone", "z", "--lease", "2h")
    meshctl("register", "api", "[::1]:81", "--id", "one", "--version", "v2", "--lease", "90s")
    rows = meshctl("endpoints").rows
    assert rows == [
        ["api", "one", "[::1]:81/http", "up", "-", "1", "v2", "-", "1m", "-"],
        ["web", "127.0.0.1:80", "127.0.0.1:80/http", "up", "z", "1", "-", "a=1,b=2", "1h", "-"],
    ]
    assert meshctl("endpoints", "web").rows == rows[1:]
    assert meshctl("endpoints", "-o", "names").out == "one\n127.0.0.1:80\n"


def test_a_service_without_instances_is_a_no(meshctl: Meshctl) -> None:
    meshctl("register", "web", "127.0.0.1:80")
    said = meshctl("endpoints", "web", "nope", status=1)
    assert (len(said.rows), said.err) == (1, "meshctl: nope has no instance\n")
    assert json.loads(meshctl("endpoints", "nope", "-o", "json", status=1).out) == []
    assert meshctl("endpoints").status == 0


def test_what_an_operator_says_stands_apart(meshctl: Meshctl) -> None:
    meshctl("register", "web", "127.0.0.1:80", "--id", "one", "--weight", "3")
    meshctl("register", "web", "127.0.0.1:81", "--id", "two")
    meshctl("override", "web", "one", "weight=5", "--ttl", "10m")
    meshctl("override", "web", "127.0.0.1:81", "drain", "--ttl", "2h")
    first, second = meshctl("endpoints", "web").rows
    assert (first[5], first[9:]) == ("3", ["weight=5", "by", "ann", "for", "9m"])
    assert second[9:] == ["drain", "by", "ann", "for", "1h"]
    found = meshctl("endpoints", "web", "-o", "json").json
    assert [(each["weight"], each["override"]["kind"]) for each in found] == [(3, "weight"), (1, "drain")]

"""``meshctl register``."""

from __future__ import annotations

from tests.cli.conftest import Meshctl


def test_an_instance_with_all_that_can_be_said(meshctl: Meshctl) -> None:
    said = meshctl(
        *("register", "web", "127.0.0.1:80", "--id", "one", "--protocol", "http", "--port", "tcp=81"),
        *(
            "--label",
            "tier=edge",
            "--label",
            "x=",
            "--version",
            "v1",
            "--zone",
            "a",
            "--weight",
            "3",
            "--lease",
            "600s",
        ),
    )
    assert said.out == "web/one at 127.0.0.1 (http 80, tcp 81): registered for 600 s\n"
    [found] = meshctl("endpoints", "web", "-o", "json").json
    assert 590 < found.pop("expires_in") <= 600
    assert found.pop("expires") > 1e9
    assert found == {
        "id": "one",
        "service": "web",
        "address": "127.0.0.1",
        "ports": {"http": 80, "tcp": 81},
        "zone": "a",
        "weight": 3,
        "labels": {"tier": "edge", "x": ""},
        "version": "v1",
        "status": "up",
        "lease": 600.0,
        "heartbeat": 0.0,
        "owner": "",
        "suspect": None,
        "override": None,
    }


def test_again_renews_and_changes_it(meshctl: Meshctl) -> None:
    meshctl("register", "web", "127.0.0.1:80", "--lease", "20s")
    said = meshctl("register", "web", "127.0.0.1:80", "--lease", "600s", "--weight", "2", "-o", "json").json
    assert (said["registered"]["weight"], said["replaced"]) == (2, None)
    [found] = meshctl("endpoints", "-o", "json").json
    assert (found["weight"], found["expires_in"] > 500) == (2, True)


def test_mistakes_are_one_line(meshctl: Meshctl) -> None:
    for arguments, status, line in (
        (["we b", "127.0.0.1:80"], 1, "meshctl: service: expected a name"),
        (["web", "unix:/run/x"], 2, "meshctl: expected HOST:PORT, which other machines can reach"),
        (["web", "127.0.0.1:80", "--port", "tcp=x"], 2, "meshctl: --port: expected PROTOCOL=PORT, got tcp=x"),
        (["web", "127.0.0.1:80", "--weight", "0"], 2, "meshctl register: --weight: expected a whole number from 1"),
        (["web", "127.0.0.1:80", "--lease", "1ms"], 1, "meshctl: lease: expected 500ms to a year"),
    ):
        said = meshctl("register", *arguments, status=status)
        assert said.err.startswith(line), said.err
        assert said.err.count("\n") == 1
    assert meshctl("services").rows == []

"""``meshctl drain``."""

from __future__ import annotations

from tests.cli.conftest import Meshctl


def test_draining_and_back(meshctl: Meshctl) -> None:
    meshctl("register", "web", "127.0.0.1:80")
    assert meshctl("drain", "web", "127.0.0.1:80").out == "web/127.0.0.1:80: draining (was up)\n"
    assert meshctl("endpoints", "web").rows[0][3] == "draining"
    said = meshctl("drain", "web", "127.0.0.1:80", "--undo", "-o", "json").json
    assert said == {"service": "web", "id": "127.0.0.1:80", "status": "up", "before": "draining"}

"""``meshctl tap``, against a sidecar."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.cli.conftest import Meshctl
from tests.e2e.test_upstreams import Moody, Server, Start, sidecar
from tests.support import environment, free_port, request, until
from twisted_mesh.cli.tap import _short


def test_calls_are_shown_as_they_end(mesh: Start, http_upstream: Server) -> None:
    one = Moody("one", http_upstream)
    tried = {"ratelimit": {"rate": "1/h", "mode": "shadow"}}
    running, port = sidecar(mesh, {"api": {"endpoints": [one.address]}}, [{"to": "api", "filters": [tried]}])
    assert request(port, "/before").status == 200

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "twisted_mesh.cli.main", "tap", "--admin", running.admin, *arguments]
        return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    tapping = [start("status=5xx", "--calls", "1"), start("shadow=ratelimit", "--calls", "1", "-o", "json")]
    try:

        def ended() -> bool:
            one.statuses = [500]
            request(port, "/a")
            return all(each.poll() is not None for each in tapping)

        until(ended, "both have seen a call", within=30.0)
        (short, _), (whole, _) = (each.communicate(timeout=30) for each in tapping)
    finally:
        for each in tapping:
            each.kill()
            each.wait()
    assert [each.returncode for each in tapping] == [0, 0]
    assert "  edge  GET  127.0.0.1/a  500  -  " in short
    assert short.rstrip().endswith(f"  edge[0]  {one.address}  shadow:ratelimit:refuse")
    assert json.loads(whole)["extra"] == {"shadow": {"ratelimit": "refuse"}}


@pytest.mark.parametrize(
    ("call", "line"),
    [
        ({"dropped": 3}, "(3 more, which came faster than they could be shown)"),
        (
            {"flags": ["UH"], "details": "no endpoint", "extra": "mine"},
            "12:00  db  CONNECT  -  -  UH  1.2ms  -  -  no endpoint",
        ),
    ],
)
def test_a_call_in_a_line(call: dict[str, Any], line: str) -> None:
    common = {"time": "12:00", "listener": "db", "method": "CONNECT", "status": 0, "duration_ms": 1.23}
    assert _short(call if "dropped" in call else {**common, **call}) == line


def test_what_cannot_be_shown(meshctl: Meshctl) -> None:
    assert 'expected NAME=VALUE, such as status=5xx, got "5xx"' in meshctl("tap", "5xx", status=2).err
    nobody = meshctl("tap", "--admin", f"127.0.0.1:{free_port()}", status=3).err
    assert "cannot be asked" in nobody

"""The benchmarks run, also where no peer is installed, and print a table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import PATIENCE, ROOT, environment, free_port, request, until


def test_run(tmp_path: Path) -> None:
    """Two short rows of the sidecar beside the backend: a Markdown table on stdout, the samples in a file."""
    samples = tmp_path / "samples.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--peers", "direct,mesh", "--json", str(samples)]
    done = subprocess.run(
        [*command, "--only", "tcp", "--only", "start", "--rounds", "1", "--seconds", "0.5"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ") and "mesh" in line]
    assert len(rows) == 2, done.stdout + done.stderr
    assert json.loads(samples.read_text())["rows"]["start"]["mesh"][0]["start"] > 0


def test_backend_of_our_own() -> None:
    """What stands in for nginx answers every path that the rows ask for."""
    port = free_port()
    process = subprocess.Popen([sys.executable, str(ROOT / "benchmarks" / "backend.py"), str(port)])
    try:
        until(lambda: request(port, "/").status == 200, "the backend", PATIENCE)
        assert len(request(port, "/10k", "POST", b"x" * 10240).body) == 10240
        assert len(request(port, "/1m").body) == 1024 * 1024
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("via", ["file", "bus"])
def test_apply(via: str) -> None:
    """A few resources change under a little load, and the gaps are shown."""
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "apply.py"),
        "--via",
        via,
        "--resources",
        "20",
        "--rounds",
        "1",
    ]
    done = subprocess.run(
        [*command, "--after", "0.2", "--before", "0.2", "--rate", "100"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "change 1: in force after" in done.stdout
    assert "largest gap: " in done.stdout


@pytest.mark.parametrize("name", ["mesh.yaml", "mesh-careful.yaml"])
def test_what_the_sidecar_is_measured_with_is_a_configuration(name: str, tmp_path: Path) -> None:
    text = (ROOT / "benchmarks" / "peers" / name).read_text()
    for port, key in enumerate(("ADMIN", "HTTP", "TCP", "BACKEND", "BULK"), 8001):
        text = text.replace(f"@{key}@", str(port))
    path = tmp_path / name
    path.write_text(text.replace("@LOG@", str(tmp_path / "access.log")))
    command = [sys.executable, "-m", "twisted_mesh.cli.main", "check", str(path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

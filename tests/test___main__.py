"""``python -m twisted_mesh``: what it prints where, and with which status it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import PATIENCE, environment, free_port, request, until

COMMAND = [sys.executable, "-m", "twisted_mesh"]


def ended(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=directory,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )


def config(port: int, more: str = "") -> str:
    routes = "[{reply: {body: here}}]"
    return f"drain: {{wait: 0}}\n{more}listeners: {{edge: {{bind: '127.0.0.1:{port}', routes: {routes}}}}}\n"


def test_the_log_goes_to_stderr_and_stdout_is_the_access_logs(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "mesh.yaml").write_text(config(port, "admin: off\naccess_log: {path: '-', format: json}\n"))
    process = subprocess.Popen(
        COMMAND,
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert until(lambda: request(port, "/x").text, "an answer") == "here"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE * 2)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines and all(line["path"] == "/x" for line in lines)
    assert "1 listeners" in err
    assert '"path"' not in err


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--nonsense"], 2, "mesh: option --nonsense not recognized"),
        (["--config", "nowhere.yaml"], 1, "nowhere.yaml: cannot be read: No such file or directory"),
    ],
)
def test_what_it_cannot_do_is_one_line_and_a_status(
    arguments: list[str], status: int, says: str, tmp_path: Path
) -> None:
    done = ended(*arguments, directory=tmp_path)
    assert (done.returncode, done.stdout) == (status, "")
    [line] = [each for each in done.stderr.splitlines() if each]
    assert line.endswith(says)


def test_a_configuration_that_is_wrong_is_refused_by_line(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text("admin: off\nlisteners: {edge: {bond: 1}}\n")
    done = ended(directory=tmp_path)
    assert done.returncode == 1
    assert "mesh.yaml:2:" in done.stderr and "bond" in done.stderr
    assert "Traceback" not in done.stderr

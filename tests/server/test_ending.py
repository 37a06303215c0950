"""The exit status, past everything that would make it 0."""

from __future__ import annotations

import subprocess
import sys

from tests.support import environment


def run(code: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout


def test_the_status_counts_when_the_interpreter_ends() -> None:
    status, printed = run(
        "import atexit\n"
        "from twisted_mesh.server.ending import ending\n"
        "ending.prepare()\n"
        "ending.prepare()\n"
        "atexit.register(print, 'others first')\n"
        "ending.status = 3\n"
    )
    assert (status, printed) == (3, "others first\n")


def test_without_one_nothing_changes() -> None:
    assert run("from twisted_mesh.server.ending import ending; ending.prepare(); import sys; sys.exit(7)") == (7, "")

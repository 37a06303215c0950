"""Processes of `meshctl run`; what becomes of them is in test_run.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import PATIENCE
from twisted_mesh.cli.processes import children, runnable


def test_what_can_be_run(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.touch()
    assert runnable("sh") == (0, "")
    assert runnable(sys.executable) == (0, "")
    assert runnable("no-such-command") == (127, "no such command on PATH")
    assert runnable(str(tmp_path / "no")) == (127, "no such file")
    assert runnable(str(text)) == (126, "it may not be executed")
    assert runnable(str(tmp_path)) == (126, "it is a directory")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children")
@pytest.mark.parametrize("listed", [True, False])
def test_children_are_found_also_where_the_kernel_keeps_no_list(listed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not listed:
        read = Path.read_text

        def without(self: Path, *arguments: str) -> str:
            if self.name == "children":
                raise FileNotFoundError
            return read(self, *arguments)

        monkeypatch.setattr(Path, "read_text", without)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert child.pid in children()
        assert os.getpid() not in children()
    finally:
        child.kill()
        child.wait(PATIENCE)
        assert child.stdin is not None
        child.stdin.close()

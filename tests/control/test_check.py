"""A child process loads, and its parent gets the same."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT
from twisted_mesh.control.load import load
from twisted_mesh.errors import Problem


def run(*arguments: str, path: str = "") -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([path, str(ROOT)]) if path else str(ROOT)}
    command = [sys.executable, "-m", "twisted_mesh.control.check", *arguments]
    return subprocess.run(command, env=env, capture_output=True, timeout=60, check=False)


def test_a_good_configuration_comes_back() -> None:
    path = str(ROOT / "config" / "complete.yaml")
    done = run(path)
    assert done.returncode == 0
    assert pickle.loads(done.stdout) == load(path, {})


def test_problems_come_back(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text("mesh: a b\nnod: 5\n")
    path = str(tmp_path / "mesh.yaml")
    done = run(path)
    assert done.returncode == 0
    assert [(type(each), each.file, each.line, each.path) for each in pickle.loads(done.stdout)] == [
        (Problem, path, 1, "mesh"),
        (Problem, path, 2, "nod"),
    ]


def test_what_a_plugin_prints_is_not_taken_for_the_result(tmp_path: Path) -> None:
    directory = tmp_path / "twisted_mesh" / "filters"
    directory.mkdir(parents=True)
    (directory / "loud.py").write_text("import os\nprint('hello')\nos.write(1, b'there')\n")
    (tmp_path / "mesh.yaml").write_text("listeners: {a: {bind: 'a:1', routes: [], filters: [loud]}}\n")
    done = run(str(tmp_path / "mesh.yaml"), path=str(tmp_path))
    assert b"hello" in done.stderr
    assert b"there" in done.stderr
    [problem] = pickle.loads(done.stdout)
    assert 'there is no filter "loud"' in problem.message


def test_it_wants_one_path() -> None:
    done = run()
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"usage: python -m twisted_mesh.control.check PATH\n"

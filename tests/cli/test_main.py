"""The entry of meshctl."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support import ROOT
from twisted_mesh import __version__
from twisted_mesh.cli.main import COMMANDS, main


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert all(module.NAME in shown and module.HELP in shown for module in COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["check"], ["check", "a", "b"], ["schema", "x"]])
def test_a_wrong_command_line_has_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("meshctl")
    assert line.endswith(("`meshctl --help` says more", "--help` says more"))


def test_it_knows_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"meshctl {__version__}\n"


def test_a_reader_may_stop_reading() -> None:
    """As in ``meshctl schema | head -1``."""
    command = [sys.executable, "-m", "twisted_mesh.cli.main", "schema"]
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, cwd=ROOT, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, b"")


def test_what_talks_to_no_redis_does_not_load_what_would() -> None:
    """`meshctl run` stays in memory for as long as its application, and completion is to be quick."""
    heavy = ("twisted.internet", "pydantic", "txredisapi", "yaml")
    code = f"import sys; from twisted_mesh.cli.main import parser; parser(); print([each for each in {heavy} if each in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"

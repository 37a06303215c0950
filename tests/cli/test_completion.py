"""``meshctl completion``; what the scripts do is in test_shells.py."""

from __future__ import annotations

import pytest

from twisted_mesh.cli import shells
from twisted_mesh.cli.main import main, parser
from twisted_mesh.cli.words import words_of


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert capsys.readouterr().out == getattr(shells, shell)(words_of(parser()))

"""Completion scripts, in the shells that are there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Callable

import pytest

from twisted_mesh.cli import shells
from twisted_mesh.cli.main import parser
from twisted_mesh.cli.words import words_of

Complete = Callable[[str], set[str]]
COMMANDS = {each.name.partition(" ")[2] for each in words_of(parser()).commands}


def _bash(script: Path, line: str) -> str:
    words = line.split(" ")
    ask = f"""
source {script}
COMP_WORDS=({" ".join(f"'{each}'" for each in words)})
COMP_CWORD={len(words) - 1}
compopt() {{ :; }}
_meshctl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    return _run(["bash", "--norc", "-c", ask], script.parent)


def _fish(script: Path, line: str) -> str:
    ask = f"source {script}; complete --do-complete '{line}'"
    return _run(["fish", "--no-config", "-c", ask], script.parent)


def _zsh(script: Path, line: str, expected: str) -> str:
    """zsh has no way to ask: at a terminal of its own, it lists what it would insert until `expected` is among it."""
    ask = f"""
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z 'PROMPT=; autoload -U compinit; compinit -u -D; source {script}'
zpty -w z 'bindkey "^I" list-choices; LISTMAX=1000; print re""ady'
zpty -r -m z seen '*ready*'
zpty -w -n z $'{line}\\t'
zpty -r -m z seen '*{expected}*'
print -r -- "$seen"
zpty -d z
"""
    return _run(["zsh", "-f", "-c", ask], script.parent)


def _run(command: list[str], directory: Path) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=30, check=False)
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.fixture(params=["bash", "fish"])
def complete(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Complete:
    shell = request.param
    # What the scripts ask of the mesh, which is not there.
    tool = tmp_path / "bin" / "meshctl"
    tool.parent.mkdir()
    tool.write_text(
        '#!/bin/sh\ncase "$*" in "services -o names") echo web; echo wiki; echo api;; *) echo clusters/web;; esac\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    (tmp_path / "some-file.yaml").touch()
    script = tmp_path / f"meshctl.{shell}"
    script.write_text(getattr(shells, shell)(words_of(parser())))
    ask = {"bash": _bash, "fish": _fish}[shell]
    return lambda line: {each.partition("\t")[0] for each in ask(script, line).splitlines()}


def test_commands(complete: Complete) -> None:
    assert complete("meshctl ") >= COMMANDS
    assert complete("meshctl comp") == {"completion"}
    assert complete("meshctl --redis redis://x comp") == {"completion"}


def test_options_of_a_command(complete: Complete) -> None:
    assert {"--config", "--kill-after"} <= complete("meshctl run --")
    assert "--config" not in complete("meshctl check --")
    assert "--redis" in complete("meshctl --")


def test_values(complete: Complete) -> None:
    assert complete("meshctl completion ") == {"bash", "fish", "zsh"}
    assert {"configuration", "meshctl"} == complete("meshctl docs --of ")


def test_files(complete: Complete) -> None:
    assert complete("meshctl check some") == {"some-file.yaml"}
    assert complete("meshctl run --config some") == {"some-file.yaml"}


def test_names_that_the_mesh_knows(complete: Complete, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESHCTL_REDIS", raising=False)
    assert complete("meshctl endpoints w") <= {""}
    monkeypatch.setenv("MESHCTL_REDIS", "redis://127.0.0.1:1")
    assert complete("meshctl endpoints w") == {"web", "wiki"}
    assert complete("meshctl delete ") == {"clusters/web"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_sound(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    script = tmp_path / "script"
    script.write_text(getattr(shells, shell)(words_of(parser())))
    assert _run([shell, "-n", str(script)], tmp_path) == ""


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
def test_zsh_lists_commands_options_and_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin" / "meshctl"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho web; echo wiki\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MESHCTL_REDIS", "redis://127.0.0.1:1")
    script = tmp_path / "_meshctl"
    script.write_text(shells.zsh(words_of(parser())))
    for line, expected in (
        ("meshctl ", "print the completion of a shell"),
        ("meshctl run --", "--kill-after"),
        ("meshctl completion ", "fish"),
        ("meshctl endpoints w", "wiki"),
    ):
        assert expected in _zsh(script, line, expected)

"""``meshctl edit``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Callable

import pytest

from tests.cli.conftest import Meshctl

Write = Callable[..., str]
WEB = "clusters: {web: {endpoints: [127.0.0.1:80]}}\n"


@pytest.fixture
def editor(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """``editor("sed -i ...")`` is what a person does to the file."""
    monkeypatch.delenv("VISUAL", raising=False)
    return lambda command: monkeypatch.setenv("EDITOR", command)


def test_an_edit(meshctl: Meshctl, write: Write, editor: Callable[[str], None]) -> None:
    meshctl("apply", "-f", write(WEB))
    editor("sed -i s/:80/:81/")
    said = meshctl("edit", "clusters/web", "--reason", "moved")
    assert "-      - 127.0.0.1:80\n+      - 127.0.0.1:81\n" in said.out
    assert said.out.endswith("version 2: clusters/web applied\n")
    editor("true")
    assert meshctl("edit", "clusters/web").err == "meshctl: nothing was changed\n"


def test_what_is_not_there_yet(meshctl: Meshctl, editor: Callable[[str], None]) -> None:
    editor("sed -i 's/api:/api: {endpoints: [\"127.0.0.1:80\"]}/'")
    assert meshctl("edit", "clusters/api").out.endswith("version 1: clusters/api applied\n")


def test_what_is_wrong_is_not_lost(meshctl: Meshctl, write: Write, editor: Callable[[str], None]) -> None:
    meshctl("apply", "-f", write(WEB))
    editor("sed -i s/endpoints/endpints/")
    said = meshctl("edit", "clusters/web", status=1)
    found = re.search(r"what you wrote is in (\S+)", said.err)
    assert found is not None
    assert "endpints" in Path(found[1]).read_text()
    Path(found[1]).unlink()
    assert meshctl("history", "-o", "json").json[0]["version"] == 1


def test_an_editor_that_fails(meshctl: Meshctl, editor: Callable[[str], None]) -> None:
    editor("false")
    assert meshctl("edit", "clusters/web", status=1).err == "meshctl: false ended with status 1: nothing was changed\n"
    editor("no-such-editor")
    assert "the editor cannot be started: no-such-editor" in meshctl("edit", "clusters/web", status=1).err

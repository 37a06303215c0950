"""``meshctl diff``."""

from __future__ import annotations

from typing import Callable

import pytest

from tests.cli.conftest import Meshctl

Write = Callable[..., str]
WEB = "clusters: {web: {endpoints: [127.0.0.1:80]}}\n"
CHANGE = "@@ -1,4 +1,4 @@\n clusters:\n   web:\n     endpoints:\n-      - 127.0.0.1:80\n+      - 127.0.0.1:81\n"


def test_what_apply_would_change(meshctl: Meshctl, write: Write) -> None:
    meshctl("apply", "-f", write(WEB))
    assert meshctl("diff", "-f", "a.yaml", "--exit-code").out == ""
    write(WEB.replace("80", "81"))
    said = meshctl("diff", "-f", "a.yaml", "--exit-code", status=1)
    assert said.out == "--- clusters/web version 1\n+++ clusters/web\n" + CHANGE
    assert meshctl("diff", "-f", "a.yaml").status == 0
    assert meshctl("history", "-o", "json").json[0]["version"] == 1


def test_what_has_changed(meshctl: Meshctl, write: Write) -> None:
    meshctl("apply", "-f", write(WEB))
    meshctl("apply", "-f", write(WEB.replace("80", "81")))
    meshctl("delete", "clusters/web")
    assert meshctl("diff", "1", "2").out == "--- clusters/web version 1\n+++ clusters/web\n" + CHANGE
    [change] = meshctl("diff", "2", "-o", "json").json
    assert (change["name"], change["change"], change["after"]) == ("clusters/web", "deleted", None)
    said = meshctl("diff", "9", status=1)
    assert said.err.startswith("meshctl: there is no version 9 yet; the newest is 3")


@pytest.mark.parametrize("arguments", [[], ["-f", "a", "1"], ["1", "2", "3"]])
def test_one_of_the_two(meshctl: Meshctl, arguments: list[str]) -> None:
    said = meshctl("diff", *arguments, status=2)
    assert said.err == "meshctl: expected either files, with -f, or one or two versions\n"

"""``meshctl history``."""

from __future__ import annotations

from typing import Callable

from tests.cli.conftest import Meshctl

Write = Callable[..., str]


def cluster(name: str, port: int) -> str:
    return f"clusters: {{{name}: {{endpoints: [127.0.0.1:{port}]}}}}\n"


def test_who_changed_what_when_and_why(meshctl: Meshctl, write: Write) -> None:
    meshctl("apply", "-f", write(cluster("web", 80)), "--reason", "first")
    meshctl("apply", "-f", write(cluster("api", 81)), "--author", "bob")
    meshctl("rollback", "--to", "1")
    assert meshctl("history").rows == [
        ["3", "0s", "rollback", "to", "1", "ann", "clusters/api", "-"],
        ["2", "0s", "apply", "bob", "clusters/api", "-"],
        ["1", "0s", "apply", "ann", "clusters/web", "first"],
    ]
    assert [each["version"] for each in meshctl("history", "-n", "1", "-o", "json").json] == [3]
    assert [row[0] for row in meshctl("history", "clusters/web").rows] == ["1"]


def test_a_resource_that_never_changed(meshctl: Meshctl, write: Write) -> None:
    """A slip of the pen is no empty history."""
    meshctl("apply", "-f", write(cluster("web", 80)))
    said = meshctl("history", "clusters/wbe")
    assert said.err == ('meshctl: in what is kept clusters/wbe has not changed; did you mean "clusters/web"?\n')
    assert meshctl("history", "clusters/web").err == ""
    assert meshctl("history", "clusters/wbe", "-o", "json").json == []


def test_how_much_is_kept(meshctl: Meshctl, write: Write) -> None:
    meshctl("history", "--keep", "2")
    for port in range(80, 85):
        meshctl("apply", "-f", write(cluster("web", port)))
    assert [row[0] for row in meshctl("history").rows] == ["5", "4"]
    said = meshctl("history", "--keep", "1", status=1)
    assert said.err == "meshctl: the history needs 2 versions at least, got 1\n"

"""``meshctl delete``."""

from __future__ import annotations

from typing import Callable

from tests.cli.conftest import Meshctl, Sidecar

Write = Callable[..., str]
BOTH = "clusters: {web: {endpoints: [127.0.0.1:80]}, api: {endpoints: [127.0.0.1:81]}}\n"


def test_some_go_and_the_rest_stays(meshctl: Meshctl, write: Write, sidecar: Callable[[str], Sidecar]) -> None:
    sidecar("one")
    meshctl("apply", "-f", write(BOTH))
    said = meshctl("delete", "clusters/web", "clusters/web", "--wait")
    assert said.out == "version 2: 1 resource deleted; 1 sidecar acknowledged\n"
    assert [row[0] for row in meshctl("get").rows] == ["clusters/api"]


def test_what_is_not_there(meshctl: Meshctl, write: Write) -> None:
    meshctl("apply", "-f", write(BOTH))
    said = meshctl("delete", "clusters/x1", "clusters/web", status=1)
    assert said.err == 'meshctl: there is no clusters/x1 on the bus; did you mean "clusters/web"?\n'
    assert len(meshctl("get").rows) == 2


def test_who_still_refers_to_it_is_said(meshctl: Meshctl, write: Write) -> None:
    meshctl("apply", "-f", write(BOTH + "routes: {shop: [{to: web}, {to: elsewhere}]}"))
    said = meshctl("delete", "clusters/web", "clusters/api")
    assert said.err == (
        "meshctl: note: routes.shop[0].to: there is no clusters/web on the bus: the sidecars need it in their own files\n"
    )


def test_who_still_selects_a_group_is_said(meshctl: Meshctl, write: Write) -> None:
    meshctl("apply", "-f", write("select: {group: edges}\ngroups: {edges: {service: edge}}\n" + BOTH))
    said = meshctl("delete", "groups/edges", "clusters/api")
    assert said.err == "meshctl: note: clusters/web selects groups/edges: the sidecars will refuse it without\n"


def test_who_refuses_something_else_because_of_it(
    meshctl: Meshctl, write: Write, sidecar: Callable[[str], Sidecar]
) -> None:
    """What selects a group is refused without it, and has not changed itself."""
    one = sidecar("one")
    one.refuses["clusters/api"] = "no room"
    meshctl(
        "apply", "-f", write("select: {group: edges}\ngroups: {edges: {service: web}}\n" + BOTH), "--wait", status=1
    )
    one.refuses["clusters/web"] = "no group"
    said = meshctl("delete", "groups/edges", "--wait", status=1)
    assert said.err.splitlines()[-1] == "meshctl: one refuses clusters/web: no group"
    assert "no room" not in said.err

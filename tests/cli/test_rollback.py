"""``meshctl rollback``."""

from __future__ import annotations

from typing import Callable

from tests.cli.conftest import Meshctl, Sidecar

Write = Callable[..., str]
WEB = "clusters: {web: {endpoints: [127.0.0.1:80]}}\n"


def test_back_and_forth(meshctl: Meshctl, write: Write, sidecar: Callable[[str], Sidecar]) -> None:
    sidecar("one")
    meshctl("apply", "-f", write(WEB))
    meshctl("apply", "-f", write(WEB.replace("80", "81")))
    said = meshctl("rollback", "--wait", "--reason", "too much")
    assert said.out == "version 3: rolled back (clusters/web); 1 sidecar acknowledged\n"
    assert meshctl("get", "clusters/web", "-o", "json").json[0]["value"] == {"endpoints": ["127.0.0.1:80"]}
    said = meshctl("rollback", "--to", "2", "-o", "json").json
    assert said == {"version": 4, "new": True, "names": ["clusters/web"]}
    assert meshctl("rollback", "--to", "2").out == "version 4: nothing differs\n"


def test_many_names_are_not_all_said(meshctl: Meshctl, write: Write) -> None:
    meshctl("apply", "-f", write("clusters: {" + ", ".join(f"c{at}: {{endpoints: [a:1]}}" for at in range(12)) + "}\n"))
    some = ", ".join(f"clusters/c{at}" for at in range(10))
    assert meshctl("rollback", "--to", "0").out == f"version 2: rolled back to version 0 ({some} and 2 more)\n"


def test_the_end_of_a_canary(meshctl: Meshctl, write: Write) -> None:
    meshctl("apply", "-f", write(WEB))
    meshctl("apply", "-f", write(WEB.replace("80", "81")), "--canary", "10%")
    meshctl("rollback")
    assert meshctl("status", "-o", "json").json["canary"] is None
    assert meshctl("get", "clusters/web", "-o", "json").json[0]["version"] == 1


def test_where_there_is_no_way_back(meshctl: Meshctl) -> None:
    assert meshctl("rollback", status=1).err.startswith("meshctl: there is nothing to undo")
    assert meshctl("rollback", "--to", "7", status=1).err == "meshctl: there is no version 7: nothing was written yet\n"

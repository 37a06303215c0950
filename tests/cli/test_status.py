"""``meshctl status``."""

from __future__ import annotations

from typing import Callable

from tests.cli.conftest import Meshctl, Sidecar
from tests.support import until

Write = Callable[..., str]
WEB = "clusters: {web: {endpoints: [127.0.0.1:80]}}\n"


def test_a_mesh_in_which_nothing_happened(meshctl: Meshctl) -> None:
    said = meshctl("--mesh", "shop", "status")
    assert said.out == "mesh shop: version 0, 0 live sidecars, 0 not in step, 0 with a NACK\n"


def test_what_each_sidecar_makes_of_it(meshctl: Meshctl, write: Write, sidecar: Callable[[str], Sidecar]) -> None:
    sidecar("one")
    sidecar("two").refuses["clusters/web"] = "no room"
    sidecar("three").deaf = True
    meshctl("apply", "-f", write(WEB))
    until(lambda: "1 with a NACK" in meshctl("status").out)
    until(lambda: meshctl("status", "-o", "json").json["sidecars"][0]["version"] == 1)
    lines = meshctl("status").out.splitlines()
    assert lines[0] == "mesh default: version 1, 3 live sidecars, 1 not in step, 1 with a NACK"
    assert [line.split()[:6] for line in lines[3:6]] == [
        ["one", "web", "a", "1", "in", "step"],
        ["three", "web", "a", "0", "behind", "ACK"],
        ["two", "web", "a", "1", "in", "step"],
    ]
    assert "two: NACK clusters/web (version 1): no room" in lines
    found = {each["node"]: each for each in meshctl("status", "-o", "json").json["sidecars"]}
    assert (found["two"]["state"], found["two"]["nacks"]) == (
        "nack",
        [{"name": "clusters/web", "version": 1, "reason": "no room"}],
    )
    assert (found["one"]["state"], found["one"]["step"], found["one"]["labels"]) == ("ack", "in step", {"tier": "edge"})
    assert found["three"]["step"] == "behind"


def test_a_canary(meshctl: Meshctl, write: Write) -> None:
    meshctl("apply", "-f", write(WEB))
    meshctl("apply", "-f", write(WEB.replace("80", "81")), "--canary", "10%")
    assert meshctl("status").out.splitlines()[1] == (
        "canary of version 2 (clusters/web) for 10 %, 0 sidecars: none of its calls failed, none of the others'"
    )


def test_two_sidecars_of_one_name(meshctl: Meshctl, sidecar: Callable[[str], Sidecar]) -> None:
    sidecar("one")
    sidecar("one")
    until(lambda: "one: several sidecars go by this name; give each a node.id of its own" in meshctl("status").out)
    assert meshctl("status", "-o", "json").json["sidecars"][0]["twins"] is True

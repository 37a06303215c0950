"""``meshctl apply``."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Callable

import pytest

from tests.cli.conftest import Meshctl, Sidecar
from tests.support import environment, until
from twisted_mesh.cli import apply as command
from twisted_mesh.cli.main import main

Write = Callable[..., str]
WEB = 'clusters:\n  web: {endpoints: ["127.0.0.1:80"]}\n'
SHOP = "routes:\n  shop: [{to: {web: 90, other: 10}}]\n"


def test_what_changes_is_shown_and_written_as_one_version(meshctl: Meshctl, write: Write) -> None:
    said = meshctl("apply", "-f", write(WEB), "-f", write(SHOP, "b.yaml"), "--reason", "first")
    assert said.out == (
        "--- nothing\n+++ clusters/web\n@@ -0,0 +1,4 @@\n"
        "+clusters:\n+  web:\n+    endpoints:\n+      - 127.0.0.1:80\n"
        "--- nothing\n+++ routes/shop\n@@ -0,0 +1,5 @@\n"
        "+routes:\n+  shop:\n+    - to:\n+        web: 90\n+        other: 10\n"
        "version 1: 2 resources applied\n"
    )
    assert said.err == (
        "meshctl: note: routes.shop[0].to.other: there is no clusters/other on the bus: the sidecars need it in their own files\n"
    )
    [entry] = meshctl("history", "-o", "json").json
    assert (entry["author"], entry["reason"], sorted(entry["names"])) == (
        "ann",
        "first",
        ["clusters/web", "routes/shop"],
    )


def test_what_is_there_already_is_no_new_version(meshctl: Meshctl, write: Write) -> None:
    meshctl("apply", "-f", write(WEB))
    said = meshctl("apply", "-f", "a.yaml", "-o", "json").json
    assert (said["version"], said["new"], said["changes"]) == (1, False, [])
    assert meshctl("apply", "-f", "a.yaml").out == "version 1: nothing differs\n"


def test_a_directory_and_standard_input(meshctl: Meshctl, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(WEB, "dir/one.yaml")
    write("clusters: {api: {endpoints: [127.0.0.1:81]}}", "dir/two.yaml")
    assert [each["name"] for each in meshctl("apply", "-f", "dir", "-o", "json").json["changes"]] == [
        "clusters/web",
        "clusters/api",
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO(WEB.replace("80", "82")))
    [change] = meshctl("apply", "-f", "-", "-o", "json").json["changes"]
    assert (change["change"], change["version"]) == ("changed", 1)
    assert change["after"]["value"] == {"endpoints": ["127.0.0.1:82"]}


def test_a_dry_run_writes_nothing(meshctl: Meshctl, write: Write) -> None:
    said = meshctl("apply", "-f", write(WEB), "--dry-run", "--wait")
    assert "+  web:" in said.out
    assert said.out.endswith("version 0 stays: 1 resource would be applied\n")
    assert meshctl("get", "-o", "json").json == []
    assert meshctl("apply", "-f", "a.yaml").out.endswith("version 1: 1 resource applied\n")
    assert meshctl("apply", "-f", "a.yaml", "--dry-run").out == "version 1: nothing differs\n"


def test_all_that_is_wrong_is_said_with_its_place_and_nothing_is_written(meshctl: Meshctl, write: Write) -> None:
    write('clusters:\n  web: {endpoints: ["127.0.0.1:80"], conect_timeout: 5s}\nadmin: off\n')
    said = meshctl("apply", "-f", "a.yaml", "-o", "json", status=1)
    assert said.err == (
        'meshctl: a.yaml:2:38: clusters.web.conect_timeout: unknown name; did you mean "connect_timeout"?\n'
        "meshctl: a.yaml:3:1: admin: expected one of listeners, routes, clusters, groups and select; "
        "the rest is no matter of the bus\n"
    )
    assert [(each["line"], each["path"]) for each in said.json["problems"]] == [
        (2, "clusters.web.conect_timeout"),
        (3, "admin"),
    ]
    assert meshctl("history", "-o", "json").json == []


def test_a_sidecar_s_own_file_as_the_base(meshctl: Meshctl, write: Write) -> None:
    write("clusters: {other: {endpoints: [127.0.0.1:81]}}\n", "mesh.yaml")
    said = meshctl("apply", "-f", write(SHOP), "--base", "mesh.yaml", status=1)
    assert said.err == ('meshctl: a.yaml:2:16: routes.shop[0].to.web: there is no cluster "web"; known are other\n')
    meshctl("apply", "-f", write(WEB, "web.yaml"))
    assert meshctl("apply", "-f", "a.yaml", "--base", "mesh.yaml").err == ""


def test_a_selector_and_a_variant(meshctl: Meshctl, write: Write) -> None:
    meshctl("apply", "-f", write(WEB))
    meshctl("apply", "-f", write("select: {service: edge}\n" + WEB.replace("web:", "web@edge:").replace("80", "81")))
    found = {each["name"]: each["select"] for each in meshctl("get", "-o", "json").json}
    assert found == {"clusters/web": None, "clusters/web@edge": {"service": "edge"}}
    said = meshctl("apply", "-f", write("select: {servce: edge}\n" + WEB), status=1)
    assert said.err.startswith("meshctl: a.yaml:1:9: select: unknown condition 'servce'; known are ")
    assert said.out == ""
    said = meshctl("apply", "-f", write("groups: {edge: {service: edge}, none: {}}\nclusters: {'a b': 1}"), status=1)
    assert said.err.splitlines()[0].startswith("meshctl: a.yaml:1:39: groups.none: expected at least one of node")
    assert said.err.splitlines()[1].startswith('meshctl: a.yaml:2:12: clusters."a b": expected KIND/NAME')


def test_only_who_has_seen_what_is_there_may_change_it(
    meshctl: Meshctl, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at once: the second one reads before the first one writes."""
    meshctl("apply", "-f", write(WEB))
    write(WEB.replace("80", "81"), "first.yaml")
    write(WEB.replace("80", "82"), "second.yaml")
    real = command._say

    def meanwhile(*arguments: object) -> None:
        monkeypatch.setattr(command, "_say", real)
        # In a process of its own, as by another person.
        words = [sys.executable, "-m", "twisted_mesh.cli.main", "apply", "-f", "first.yaml", "--author", "bob"]
        subprocess.run(words, env=environment(), check=True, capture_output=True, timeout=60)

    monkeypatch.setattr(command, "_say", meanwhile)
    said = meshctl("apply", "-f", "second.yaml", "-o", "json", status=1)
    assert said.err.startswith("meshctl: conflict: clusters/web was changed in version 2 by bob at ")
    [clash] = said.json["conflict"]
    assert (clash["name"], clash["seen"], clash["version"], clash["author"]) == ("clusters/web", 1, 2, "bob")
    assert meshctl("get", "clusters/web", "-o", "json").json[0]["value"] == {"endpoints": ["127.0.0.1:81"]}


# --- waiting


def test_waiting_for_every_sidecar(meshctl: Meshctl, write: Write, sidecar: Callable[[str], Sidecar]) -> None:
    assert meshctl("apply", "-f", write(WEB), "--wait").out.endswith("applied; no sidecar is live\n")
    sidecar("one")
    sidecar("two")
    said = meshctl("apply", "-f", write(WEB.replace("80", "81")), "--wait")
    assert said.out.splitlines()[-1] == "version 2: 1 resource applied; 2 sidecars acknowledged"


def test_who_refuses_it(meshctl: Meshctl, write: Write, sidecar: Callable[[str], Sidecar]) -> None:
    sidecar("one")
    sidecar("two").refuses["clusters/web"] = "no room"
    said = meshctl("apply", "-f", write(WEB), "--wait", "-o", "json", status=1)
    assert said.err == "meshctl: two refuses clusters/web: no room\n"
    assert said.json["waited"] == {
        "acknowledged": False,
        "sidecars": 2,
        "late": [],
        "refused": [{"node": "two", "name": "clusters/web", "reason": "clusters/web: no room"}],
    }
    # What somebody refuses of another resource is no matter of this one.
    meshctl("apply", "-f", write("clusters: {api: {endpoints: [127.0.0.1:81]}}"), "--wait")
    # Who tries again is told again, although nothing is written.
    said = meshctl("apply", "-f", write(WEB), "--wait", status=1)
    assert said.err == "meshctl: two refuses clusters/web: no room\n"


def test_who_does_not_answer(meshctl: Meshctl, write: Write, sidecar: Callable[[str], Sidecar]) -> None:
    sidecar("one")
    sidecar("two").deaf = True
    said = meshctl("apply", "-f", write(WEB), "--wait", "--timeout", "300ms", status=1)
    assert said.err == "meshctl: two has not taken it: it has version 0\n"


# --- canaries


def test_a_canary_for_some(meshctl: Meshctl, write: Write, sidecar: Callable[[str], Sidecar]) -> None:
    for node in ("one", "two"):
        sidecar(node)
    meshctl("apply", "-f", write(WEB), "--wait")
    said = meshctl("apply", "-f", write(WEB.replace("80", "81")), "--canary", "50%", "--wait")
    assert (
        said.out.splitlines()[-1] == "version 2: 1 resource applied for 50 % of the sidecars; 2 sidecars acknowledged"
    )
    until(lambda: sum(each["canary"] for each in meshctl("status", "-o", "json").json["sidecars"]) == 1)
    said = meshctl("apply", "-f", write(WEB.replace("80", "82")), status=1)
    assert "clusters/web is in the canary of version 2 by ann" in said.err


@pytest.mark.parametrize("percent", ["0", "101%", "x"])
def test_a_share_that_is_none(percent: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["apply", "-f", "x", "--canary", percent])
    assert capsys.readouterr().err.startswith("meshctl apply: --canary: expected a percentage such as 10%")


def test_a_canary_that_is_refused_is_no_success(
    meshctl: Meshctl, write: Write, sidecar: Callable[[str], Sidecar]
) -> None:
    """It is rolled back in the very moment in which it is refused."""
    both = [sidecar("one"), sidecar("two")]
    meshctl("apply", "-f", write(WEB), "--wait")
    for each in both:
        each.refuses["clusters/web"] = "no room"
    said = meshctl("apply", "-f", write(WEB.replace("80", "81")), "--canary", "50%", "--wait", "-o", "json", status=1)
    ended = said.json["waited"]["rolled_back"]
    assert ended["version"] == 3
    assert ended["reason"].startswith("canary of version 2: ")
    assert ended["reason"].endswith(" refused clusters/web: no room")
    assert f"rolled back in version 3: {ended['reason']}" in said.err

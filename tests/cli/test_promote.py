"""``meshctl promote``."""

from __future__ import annotations

from typing import Callable

from tests.cli.conftest import Meshctl

Write = Callable[..., str]
WEB = "clusters: {web: {endpoints: [127.0.0.1:80]}}\n"


def test_a_canary_becomes_what_all_have(meshctl: Meshctl, write: Write) -> None:
    meshctl("apply", "-f", write(WEB))
    meshctl("apply", "-f", write(WEB.replace("80", "81")), "--canary", "10%")
    assert meshctl("get", "clusters/web", "-o", "json").json[0]["value"] == {"endpoints": ["127.0.0.1:80"]}
    assert meshctl("promote", "--reason", "good").out == "version 3: promoted (clusters/web)\n"
    assert meshctl("get", "clusters/web", "-o", "json").json[0]["value"] == {"endpoints": ["127.0.0.1:81"]}


def test_without_a_canary_or_with_another_one(meshctl: Meshctl, write: Write) -> None:
    assert meshctl("promote", status=1).err == "meshctl: there is no canary\n"
    meshctl("apply", "-f", write(WEB))
    meshctl("apply", "-f", write(WEB.replace("80", "81")), "--canary", "10%")
    assert meshctl("promote", "1", status=1).err.startswith("meshctl: the canary of version 1 has ended")
    assert meshctl("promote", "2", "-o", "json").json["names"] == ["clusters/web"]

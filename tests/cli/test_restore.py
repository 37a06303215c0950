"""``meshctl restore``."""

from __future__ import annotations

import json
from typing import Callable

import pytest

from tests.cli.conftest import Meshctl, Sidecar
from tests.servers import Server
from tests.support import until
from twisted_mesh.bus.store import ConfigStore

Write = Callable[..., str]


def test_what_the_redis_has_lost_comes_back_from_a_sidecar(
    meshctl: Meshctl, write: Write, sidecar: Callable[[str], Sidecar], bus_server: Server
) -> None:
    sidecar("one")
    meshctl("apply", "-f", write("clusters: {web: {endpoints: [127.0.0.1:80]}}\n"), "--wait")
    bus_server.flush()
    until(lambda: "the store is behind the sidecars" in meshctl("status").out)
    said = meshctl("apply", "-f", write("clusters: {api: {endpoints: [127.0.0.1:81]}}\n"), status=1)
    assert "`meshctl restore` writes that back" in said.err
    said = meshctl("restore", "--from", "one", "--wait")
    assert "restored (clusters/web); 1 sidecar acknowledged" in said.out
    assert said.err == "meshctl: the history before that is lost, and so is a canary that was open: apply it again\n"
    assert [row[0] for row in meshctl("get").rows] == ["clusters/web"]
    assert "behind" not in meshctl("status").out.replace("0 not in step", "")


def test_where_nothing_was_lost(meshctl: Meshctl) -> None:
    said = meshctl("restore", "--timeout", "200ms", "-o", "json", status=1)
    assert said.err.startswith("meshctl: no sidecar has more than the store")
    assert json.loads(said.out)["error"].startswith("no sidecar has more than the store")


def test_where_all_sidecars_are_in_step_nobody_is_waited_for(
    meshctl: Meshctl, write: Write, sidecar: Callable[[str], Sidecar], monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar("one")
    meshctl("apply", "-f", write("clusters: {web: {endpoints: [127.0.0.1:80]}}\n"), "--wait")
    monkeypatch.delattr(ConfigStore, "restore")
    assert "there is nothing to restore" in meshctl("restore", status=1).err

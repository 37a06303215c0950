"""What a sidecar had when it ran last."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.logger import capturedLogs, formatEvent

from twisted_mesh.bus.disk import Disk, Ending, Good, Kept, KeptOverrides
from twisted_mesh.bus.instance import Instance, encode
from twisted_mesh.bus.stored import EMPTY, Stored
from twisted_mesh.server.remembered import Remembered

INSTANCE = Instance(id="a", service="web", address="127.0.0.1", ports={"http": 80})
OVERRIDES = KeptOverrides(3, "1", (Ending("{}", 9.0),))
STORE = "".join(Stored("1-x", 7).dump())


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(str(tmp_path / "kept"))


def remembered(disk: Disk) -> tuple[Remembered, list[str]]:
    with capturedLogs() as logs:
        found = Remembered(disk, "shop", lambda: 8.0)
    return found, [formatEvent(each) or "" for each in logs]


def test_everything_comes_back(disk: Disk) -> None:
    good = Good("clusters/web", 3, '{"endpoints":[]}')
    disk.save(Kept("shop", STORE, (good,), {"web": (encode(INSTANCE).decode(),)}, 5.0, OVERRIDES))
    found, [said] = remembered(disk)
    assert found
    assert found.kept is not None
    assert found.kept.overrides == OVERRIDES
    assert found.stored == Stored("1-x", 7)
    assert {name: each.value for name, each in found.good.items()} == {"clusters/web": {"endpoints": []}}
    assert found.instances("web") == {"a": INSTANCE}
    assert found.instances("other") == {}
    assert said.endswith(f"as kept in {disk.path}: 1 resources, 1 services, 1 overrides, written 3 s ago")


def test_where_nothing_was_kept(disk: Disk) -> None:
    found, said = remembered(disk)
    assert (bool(found), found.stored, found.good, said) == (False, EMPTY, {}, [])
    assert found.instances("web") == {}


def test_that_of_another_mesh_is_not_used(disk: Disk) -> None:
    disk.save(Kept("other", STORE))
    found, [said] = remembered(disk)
    assert not found
    assert "of the mesh other, not of shop" in said


def test_what_cannot_be_used_is_said_and_the_rest_is(disk: Disk) -> None:
    disk.save(Kept("shop", "{}", (Good("clusters/web", 3, "{}"),), {"web": ("{", encode(INSTANCE).decode())}))
    found, [first, _] = remembered(disk)
    assert "the configuration there cannot be used: not a dump of the store" in first
    assert found.stored is EMPTY
    assert list(found.good) == ["clusters/web"]
    with capturedLogs() as logs:
        assert list(found.instances("web")) == ["a"]
    assert "an instance of web: " in (formatEvent(logs[0]) or "")

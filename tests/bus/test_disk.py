"""What is kept on disk comes back whole or is refused."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from twisted_mesh.bus.disk import FEW, LETTERS, SPOILT, Disk, DiskError, Ending, Good, Kept, KeptOverrides

KEPT = Kept(
    "shop",
    '{"version": 3, "records": {}}',
    (Good("clusters/web", 3, '{"endpoints":[]}'),),
    {"web": ('{"id":"a"}',)},
    5.0,
    KeptOverrides(7, "1", (Ending('{"kind":"drain"}', 65.5),)),
)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(str(tmp_path / "state" / "shop" / "web-1.kept"))


def test_it_comes_back(disk: Disk) -> None:
    assert disk.load("shop") is None
    disk.save(KEPT)
    assert disk.load("shop") == KEPT
    later = Kept("shop", at=6.0)
    disk.save(later)
    assert disk.load("shop") == later


def test_much_of_it_comes_back_and_whoever_waits_has_turns_meanwhile(disk: Disk) -> None:
    much = Kept(
        "sh\u00f6p",
        '"\\\u20ac' * LETTERS,
        tuple(Good(f"clusters/c{at}", at, '{"a":"\\n"}') for at in range(2 * FEW + 1)),
        {"web": tuple(str(at) for at in range(FEW + 1)), "empty": (), 'a"b': ("x",)},
        6.5,
    )
    turns: list[None] = []
    disk.save(much, lambda: turns.append(None))
    assert disk.load("sh\u00f6p") == much
    assert len(turns) > 10


def test_a_file_from_before_overrides_were_kept_is_read(disk: Disk) -> None:
    body = b'{"mesh":"shop","at":5.0,"store":"x","good":[],"services":{"web":["y"]}}'
    os.makedirs(os.path.dirname(disk.path))
    head = b'{"format":1,"bytes":%d,"sha256":"%b"}\n' % (len(body), sha256(body).hexdigest().encode())
    Path(disk.path).write_bytes(head + body)
    assert disk.load("shop") == Kept("shop", "x", (), {"web": ("y",)}, 5.0)


def test_only_the_owner_may_read_it_and_nothing_else_stays(disk: Disk) -> None:
    disk.save(KEPT)
    assert os.stat(disk.path).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(disk.path)).st_mode & 0o777 == 0o700
    assert os.listdir(os.path.dirname(disk.path)) == ["web-1.kept"]


def test_what_was_left_half_written_is_no_hindrance(disk: Disk, tmp_path: Path) -> None:
    disk.save(KEPT)
    (tmp_path / "elsewhere").write_text("mine")
    os.symlink(tmp_path / "elsewhere", disk.path + ".new")
    disk.save(Kept("shop", at=7.0))
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert disk.load("shop") == Kept("shop", at=7.0)


def test_every_truncation_is_seen(disk: Disk) -> None:
    disk.save(KEPT)
    whole = Path(disk.path).read_bytes()
    for length in range(len(whole)):
        Path(disk.path).write_bytes(whole[:length])
        with pytest.raises(DiskError, match=r"truncated|not a file of ours"):
            disk.load("shop")


def test_every_changed_byte_is_seen(disk: Disk) -> None:
    disk.save(KEPT)
    whole = Path(disk.path).read_bytes()
    for at in range(len(whole)):
        Path(disk.path).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(DiskError):
            disk.load("shop")


def test_what_is_spoilt_is_put_away_once(disk: Disk) -> None:
    disk.save(KEPT)
    Path(disk.path).write_bytes(Path(disk.path).read_bytes() + b"x")
    with pytest.raises(DiskError, match=r"web-1\.kept: too long: .*; renamed to web-1\.kept\.spoilt"):
        disk.load("shop")
    assert os.path.exists(disk.path + SPOILT)
    assert disk.load("shop") is None


def test_another_format_is_named(disk: Disk) -> None:
    os.makedirs(os.path.dirname(disk.path))
    Path(disk.path).write_bytes(b'{"format":9,"bytes":0,"sha256":""}\n')
    with pytest.raises(DiskError, match="written by another version of the mesh"):
        disk.load("shop")


def test_that_of_another_mesh_is_left_alone(disk: Disk) -> None:
    disk.save(KEPT)
    with pytest.raises(DiskError, match="of the mesh shop, not of other"):
        disk.load("other")
    assert disk.load("shop") == KEPT


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match=r"cannot be written: "):
        Disk(str(tmp_path / "file" / "kept")).save(KEPT)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"cannot be read: "):
        Disk(str(tmp_path)).load("shop")

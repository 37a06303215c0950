"""A changed configuration is noticed, whatever way it was changed in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

import pytest
from twisted.internet.task import Clock

from twisted_mesh.server.watch import INTERVAL, SOON, Watch, state_of


class Watching:
    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.changes = 0
        self.watch = Watch(str(path), self.clock, self._changed)
        self.watch.start()

    def _changed(self) -> None:
        self.changes += 1

    def look(self) -> int:
        """Let it look until all is quiet again, and return how many changes it saw."""
        before = self.changes
        self.clock.pump([INTERVAL, SOON, SOON])
        return self.changes - before


def rewrite(path: Path) -> None:
    path.write_text("b: 2")


def rename_over(path: Path) -> None:
    """What editors do that write a new file first."""
    other = path.with_suffix(".new")
    other.write_text("b: 2")
    os.replace(other, path)


def same_size_and_time(path: Path) -> None:
    """A new file of the same size and time: its inode tells."""
    status = path.stat()
    other = path.with_suffix(".new")
    other.write_text("c: 3")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(other, path)


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [rewrite, rename_over, same_size_and_time, touch, remove])
def test_a_change_of_a_file_is_noticed_once(change: Callable[[Path], None], tmp_path: Path) -> None:
    file = tmp_path / "mesh.yaml"
    file.write_text("a: 1")
    watching = Watching(file)
    assert watching.look() == 0
    change(file)
    assert watching.look() == 1
    assert watching.look() == 0


def test_a_symlink_that_moves_is_noticed(tmp_path: Path) -> None:
    """The way a Kubernetes ConfigMap changes."""
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "mesh.yaml").write_text("a: 1")
    (tmp_path / "now").symlink_to("1")
    (tmp_path / "mesh.yaml").symlink_to("now/mesh.yaml")
    watching = Watching(tmp_path / "mesh.yaml")
    (tmp_path / "next").symlink_to("2")
    os.replace(tmp_path / "next", tmp_path / "now")
    assert watching.look() == 1


def test_files_of_a_directory_come_change_and_go(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1")
    watching = Watching(tmp_path)
    (tmp_path / "b.yml").write_text("b: 1")
    assert watching.look() == 1
    (tmp_path / "a.yaml").write_text("a: 22")
    assert watching.look() == 1
    (tmp_path / "b.yml").unlink()
    assert watching.look() == 1
    (tmp_path / "notes.txt").write_text("not ours")
    assert watching.look() == 0


def test_what_still_changes_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "mesh.yaml"
    file.write_text("a: 1")
    watching = Watching(file)
    file.write_text("a: 12")
    watching.clock.advance(INTERVAL)
    file.write_text("a: 123")
    watching.clock.advance(SOON)
    assert watching.changes == 0
    watching.clock.advance(SOON)
    assert watching.changes == 1


def test_what_is_known_is_no_news(tmp_path: Path) -> None:
    file = tmp_path / "mesh.yaml"
    file.write_text("a: 1")
    watching = Watching(file)
    file.write_text("a: 12")
    watching.watch.known(state_of(str(file)))
    assert watching.look() == 0


def test_it_starts_from_what_was_read_and_not_from_what_is_there(tmp_path: Path) -> None:
    """A file that changes while the process starts is a change."""
    file = tmp_path / "mesh.yaml"
    file.write_text("a: 1")
    clock = Clock()
    seen: list[int] = []
    watch = Watch(str(file), clock, lambda: seen.append(1))
    watch.known(state_of(str(file)))
    file.write_text("a: 12")
    watch.start()
    clock.pump([INTERVAL, SOON, SOON])
    assert seen == [1]


def test_stopping_leaves_no_timer(tmp_path: Path) -> None:
    watching = Watching(tmp_path)
    watching.watch.stop()
    assert watching.clock.getDelayedCalls() == []

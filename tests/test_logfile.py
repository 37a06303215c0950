"""Lines gathered for a moment and handed over; trouble told once; reopening, resting and closing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher

from tests.support import until
from twisted_mesh.families import Families
from twisted_mesh.logfile import CLOSE_LIMIT, FLUSH_INTERVAL, HAND_OVER, REPORT_INTERVAL, LogFile, LogFiles
from twisted_mesh.logwriter import LogWriter
from twisted_mesh.metrics import Registry


class FakeWriter(LogWriter):
    """A writer whose disk is the test."""

    def __init__(self, limit: int = 1 << 20) -> None:
        super().__init__("/log", limit)
        self.taken: list[tuple[bytes, int]] = []
        self.asked: list[str] = []
        self.ended = True

    def write(self, data: bytes, lines: int) -> bool:
        if len(data) > self.room:
            self.dropped += lines
            return False
        self.taken.append((data, lines))
        return True

    def reopen(self) -> None:
        self.asked.append("reopen")

    def finish(self) -> None:
        self.asked.append("finish")

    def abandon(self) -> None:
        self.asked.append("abandon")

    @property
    def idle(self) -> bool:
        return self.ended

    def hold(self, size: int) -> None:
        self._queued = size


class Lines:
    def __init__(self, file: LogFile) -> None:
        self.file = file
        self.left: list[bytes] = []

    def add(self, line: bytes) -> None:
        self.left.append(line)
        self.file.wake(self)

    def flush(self) -> None:
        left, self.left = self.left, []
        for each in left:
            self.file.write(each, 1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def writer() -> FakeWriter:
    return FakeWriter()


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def file(clock: Clock, writer: FakeWriter, registry: Registry) -> LogFile:
    return LogFile("/log", clock, Families(registry), writer)


@pytest.fixture
def errors() -> Any:
    found: list[dict[str, Any]] = []

    def observe(event: dict[str, Any]) -> None:
        if event["log_level"] is LogLevel.error:
            found.append(event)

    globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]
    yield found
    globalLogPublisher.removeObserver(observe)  # type: ignore[arg-type]


def value(registry: Registry, name: str) -> float:
    registry.refresh()
    family: Any = registry.family(f"twisted_mesh_access_log_{name}_total")
    found: float = family.labels("/log").value
    return found


def test_lines_of_several_filters_go_out_together_after_the_interval(
    file: LogFile, clock: Clock, writer: FakeWriter
) -> None:
    first, second = Lines(file), Lines(file)
    first.add(b"a\n")
    second.add(b"b\n")
    first.add(b"c\n")
    clock.advance(FLUSH_INTERVAL * 0.9)
    assert writer.taken == []
    clock.advance(FLUSH_INTERVAL * 0.2)
    assert writer.taken == [(b"a\nc\nb\n", 3)]
    assert clock.getDelayedCalls() == []


def test_what_is_worth_a_system_call_does_not_wait(file: LogFile, writer: FakeWriter) -> None:
    file.write(b"x" * (HAND_OVER - 1), 1)
    assert writer.taken == []
    file.write(b"\n", 0)
    assert [len(data) for data, _ in writer.taken] == [HAND_OVER]


def test_when_the_writer_is_full_lines_are_lost_unformatted_and_counted(
    file: LogFile, writer: FakeWriter, registry: Registry
) -> None:
    assert not file.full
    writer.hold(writer.room)
    assert file.full
    file.lose(5)
    writer.dropped = 2
    assert value(registry, "dropped") == 7


def test_the_writers_counts_are_metrics(file: LogFile, writer: FakeWriter, registry: Registry) -> None:
    writer.written, writer.errors, writer.reopens = 3, 2, 1
    assert [value(registry, name) for name in ("lines", "errors", "reopens")] == [3, 2, 1]


def test_trouble_is_told_once_and_again_when_it_goes_on(
    file: LogFile, clock: Clock, writer: FakeWriter, errors: list[dict[str, Any]]
) -> None:
    lines = Lines(file)
    writer.errors, writer.error = 1, "No space left on device"
    writer.hold(10)
    lines.add(b"a\n")
    clock.advance(FLUSH_INTERVAL)
    assert len(errors) == 1
    assert errors[0]["reason"] == "No space left on device"
    for _ in range(int(REPORT_INTERVAL / FLUSH_INTERVAL) - 1):
        writer.errors += 1
        writer.dropped += 1
        clock.advance(FLUSH_INTERVAL)
    assert len(errors) == 1
    clock.advance(2 * FLUSH_INTERVAL)
    assert len(errors) == 2
    assert errors[1]["dropped"] == writer.dropped
    writer.hold(0)
    clock.advance(FLUSH_INTERVAL)
    assert clock.getDelayedCalls() == []


def test_trouble_that_comes_after_the_batch_is_told_all_the_same(
    file: LogFile, clock: Clock, writer: FakeWriter, errors: list[dict[str, Any]]
) -> None:
    Lines(file).add(b"a\n")
    writer.hold(2)
    clock.advance(FLUSH_INTERVAL)
    assert errors == []
    writer.errors, writer.error = 1, "Input/output error"
    clock.advance(FLUSH_INTERVAL)
    assert len(errors) == 1


def test_reopening_writes_what_was_gathered_first(file: LogFile, writer: FakeWriter) -> None:
    Lines(file).add(b"a\n")
    file.reopen()
    assert writer.taken == [(b"a\n", 1)]
    assert writer.asked == ["reopen"]


def test_closing_waits_until_all_is_written(file: LogFile, clock: Clock, writer: FakeWriter) -> None:
    Lines(file).add(b"a\n")
    writer.ended = False
    closed: list[None] = []
    file.close().addCallback(closed.append)
    assert writer.taken == [(b"a\n", 1)]
    clock.advance(0.1)
    assert closed == []
    writer.ended = True
    clock.advance(0.1)
    assert closed == [None]
    assert writer.asked == ["finish"]
    assert clock.getDelayedCalls() == []


def test_closing_gives_up_a_stuck_disk_and_says_what_was_lost(
    file: LogFile, clock: Clock, writer: FakeWriter, errors: list[dict[str, Any]]
) -> None:
    writer.ended = False
    closed: list[None] = []
    file.close().addCallback(closed.append)
    writer.dropped = 9
    for _ in range(300):
        clock.advance(CLOSE_LIMIT / 200)
    assert closed == [None]
    assert writer.asked == ["finish", "abandon"]
    assert [each["dropped"] for each in errors] == [9]
    assert clock.getDelayedCalls() == []


def files_of(clock: Clock) -> LogFiles:
    return LogFiles(clock, lambda: 0.0, Families(Registry()))


def test_one_path_is_one_file(clock: Clock) -> None:
    files = files_of(clock)
    assert files.get("/a") is files.get("/a")
    assert files.get("/a") is not files.get("/b")
    assert "LogFile /a" in repr(files)


def test_files_are_renamed_rested_and_closed_on_a_real_disk(clock: Clock, tmp_path: Path) -> None:
    files = files_of(clock)
    kept, gone = str(tmp_path / "kept"), str(tmp_path / "gone")
    for path in (kept, gone):
        Lines(files.get(path)).add(b"1\n")
    files.keep([kept])
    until(lambda: files.get(gone)._writer.idle)
    assert (tmp_path / "gone").read_bytes() == b"1\n"
    Lines(files.get(gone)).add(b"2\n")
    files.reopen()
    until(lambda: files.get(kept)._writer.reopens)
    done: list[None] = []
    files.close().addCallback(done.append)
    until(lambda: clock.advance(0.01) or done)
    assert (tmp_path / "gone").read_bytes() == b"1\n2\n"
    assert (tmp_path / "kept").read_bytes() == b"1\n"
    assert clock.getDelayedCalls() == []

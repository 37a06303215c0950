"""The thread that writes: full and stuck disks, readers that come and go, renames."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Iterator

import pytest

from tests.support import until
from twisted_mesh import logwriter
from twisted_mesh.logwriter import LogWriter


@pytest.fixture
def made() -> Iterator[list[LogWriter]]:
    writers: list[LogWriter] = []
    yield writers
    for each in writers:
        each.abandon()
        until(lambda each=each: each.idle, "the thread ends")


def writer_to(made: list[LogWriter], path: object, limit: int = 1 << 20) -> LogWriter:
    made.append(LogWriter(str(path), limit, retry=0.01))
    return made[-1]


def done(writer: LogWriter) -> bool:
    return writer.pending == 0


def test_lines_are_appended_in_order(tmp_path: Path, made: list[LogWriter]) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b"before\n")
    writer = writer_to(made, path)
    for number in range(100):
        assert writer.write(b"line %d\n" % number, 1)
    until(lambda: done(writer))
    assert path.read_bytes() == b"before\n" + b"".join(b"line %d\n" % number for number in range(100))
    assert (writer.written, writer.dropped, writer.error) == (100, 0, "")


def test_a_new_file_is_not_for_everybody(tmp_path: Path, made: list[LogWriter]) -> None:
    path = tmp_path / "access.log"
    writer = writer_to(made, path)
    writer.write(b"a\n", 1)
    until(lambda: done(writer))
    assert path.stat().st_mode & 0o007 == 0


def test_no_thread_and_no_file_before_the_first_line(tmp_path: Path, made: list[LogWriter]) -> None:
    writer = writer_to(made, tmp_path / "access.log")
    writer.reopen()
    writer.finish()
    assert writer.idle
    assert list(tmp_path.iterdir()) == []


def test_finish_writes_what_there_is_and_the_next_line_starts_again(tmp_path: Path, made: list[LogWriter]) -> None:
    path = tmp_path / "access.log"
    writer = writer_to(made, path)
    writer.write(b"a\n", 1)
    writer.finish()
    until(lambda: writer.idle)
    assert path.read_bytes() == b"a\n"
    writer.write(b"b\n", 1)
    writer.finish()
    until(lambda: writer.idle)
    assert path.read_bytes() == b"a\nb\n"


def test_rename_and_reopen_lose_nothing_and_split_between_lines(tmp_path: Path, made: list[LogWriter]) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    writer = writer_to(made, path)
    for number in range(50):
        writer.write(b"%d\n" % number, 1)
    until(lambda: done(writer))
    path.rename(old)
    for number in range(50, 100):
        writer.write(b"%d\n" % number, 1)
    writer.reopen()
    for number in range(100, 150):
        writer.write(b"%d\n" % number, 1)
    until(lambda: done(writer))
    assert old.read_bytes() == b"".join(b"%d\n" % number for number in range(100))
    assert path.read_bytes() == b"".join(b"%d\n" % number for number in range(100, 150))
    assert writer.reopens == 1


def test_a_reopen_that_fails_keeps_the_old_file(tmp_path: Path, made: list[LogWriter]) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    writer = writer_to(made, folder / "access.log")
    writer.write(b"a\n", 1)
    until(lambda: done(writer))
    moved = tmp_path / "moved"
    folder.rename(moved)
    writer.reopen()
    writer.write(b"b\n", 1)
    until(lambda: done(writer))
    assert (moved / "access.log").read_bytes() == b"a\nb\n"
    assert writer.errors == 1
    assert writer.dropped == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_costs_lines_and_no_memory(made: list[LogWriter]) -> None:
    writer = writer_to(made, "/dev/full", limit=1000)
    taken = [writer.write(b"x" * 99 + b"\n", 1) for _ in range(50)]
    assert taken.count(True) == 10
    assert writer.dropped == 40
    until(lambda: "No space" in writer.error)
    assert writer.pending <= 1000
    assert writer.room == 0
    writer.finish()
    until(lambda: writer.idle)
    assert (writer.written, writer.dropped, writer.pending) == (0, 50, 0)


def test_what_failed_is_tried_again(tmp_path: Path, made: list[LogWriter]) -> None:
    folder = tmp_path / "later"
    writer = writer_to(made, folder / "access.log")
    writer.write(b"a\n", 1)
    until(lambda: writer.errors > 1)
    assert "No such file" in writer.error
    folder.mkdir()
    until(lambda: done(writer))
    assert (folder / "access.log").read_bytes() == b"a\n"
    assert (writer.written, writer.dropped, writer.error) == (1, 0, "")


def test_a_line_that_was_torn_by_an_error_is_ended_first(
    tmp_path: Path, made: list[LogWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.log"
    real = os.write
    answers = iter([3, OSError(5, "Input/output error")])

    def write(fd: int, data: bytes) -> int:
        answer = next(answers, None)
        if isinstance(answer, OSError):
            raise answer
        return real(fd, bytes(data)[:answer])

    monkeypatch.setattr(logwriter.os, "write", write)
    writer = writer_to(made, path)
    writer.write(b"first line\nsecond\n", 2)
    until(lambda: done(writer))
    assert path.read_bytes() == b"fir\nfirst line\nsecond\n"
    assert (writer.written, writer.errors) == (2, 1)


def test_a_disk_that_was_full_for_a_moment_leaves_whole_lines(
    tmp_path: Path, made: list[LogWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.log"
    real = os.write
    answers = iter([3, OSError(28, "No space left on device"), 4])

    def write(fd: int, data: bytes) -> int:
        answer = next(answers, None)
        if isinstance(answer, OSError):
            raise answer
        return real(fd, bytes(data)[:answer])

    monkeypatch.setattr(logwriter.os, "write", write)
    writer = writer_to(made, path)
    writer.write(b"first line\nsecond\n", 2)
    until(lambda: done(writer))
    assert path.read_bytes() == b"first line\nsecond\n"


def test_a_fifo_that_nobody_reads_holds_nobody_up_and_loses_nothing_that_fits(
    tmp_path: Path, made: list[LogWriter]
) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writer = writer_to(made, path, limit=1000)
    for number in range(200):
        writer.write(b"%08d\n" % number, 1)
    until(lambda: writer.errors > 0)
    assert writer.dropped == 200 - 111
    with open(path, "rb") as reader:
        assert [reader.readline() for _ in range(111)] == [b"%08d\n" % number for number in range(111)]
    until(lambda: done(writer))
    assert writer.written == 111


def test_a_fifo_whose_reader_does_not_read_is_given_up_at_the_end(tmp_path: Path, made: list[LogWriter]) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        writer = writer_to(made, path)
        line = b"x" * 1023 + b"\n"
        for _ in range(500):
            assert writer.write(line, 1)
        until(lambda: 0 < writer.pending < 500 * 1024)
        stuck = until(lambda: len(os.read(reader, 1 << 16)))
        assert stuck
        writer.finish()
        assert not writer.idle
        writer.abandon()
        until(lambda: writer.idle)
        assert writer.written + writer.dropped == 500
        assert writer.dropped > 0
        assert writer.pending == 0
        assert not writer.write(line, 1)
    finally:
        os.close(reader)


def test_a_reader_that_is_started_again_goes_on_with_whole_lines(tmp_path: Path, made: list[LogWriter]) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writer = writer_to(made, path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer.write(b"one\n", 1)
    until(lambda: done(writer))
    assert os.read(reader, 100) == b"one\n"
    os.close(reader)
    writer.write(b"two\n", 1)
    until(lambda: writer.errors > 0)
    with open(path, "rb") as again:
        assert again.readline() == b"two\n"


def test_standard_output_is_written_to_and_never_closed(
    made: list[LogWriter], capfd: pytest.CaptureFixture[str]
) -> None:
    writer = writer_to(made, "-")
    writer.write(b"to stdout\n", 1)
    writer.reopen()
    writer.finish()
    until(lambda: writer.idle)
    os.fstat(1)
    assert capfd.readouterr().out == "to stdout\n"


def test_without_a_thread_lines_are_dropped(
    tmp_path: Path, made: list[LogWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    writer = writer_to(made, tmp_path / "access.log")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        assert not writer.write(b"a\nb\n", 2)
    assert (writer.dropped, writer.pending, writer.error) == (2, 0, "can't start new thread")
    assert writer.write(b"c\n", 1)
    until(lambda: done(writer))
    assert (tmp_path / "access.log").read_bytes() == b"c\n"


def test_it_says_how_it_is(tmp_path: Path, made: list[LogWriter]) -> None:
    assert repr(writer_to(made, "/x")) == "<LogWriter /x written=0 dropped=0 queued=0>"

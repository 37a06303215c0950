"""The access log filter: one line for each call, in batches, and nothing else lost than what must be."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Awaitable

import pytest
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from tests.filters.test_log_format import a_call
from tests.support import until
from twisted_mesh.call import Call, Completion, Reply
from twisted_mesh.codec.commands import find
from twisted_mesh.families import Families
from twisted_mesh.filters.access_log import BATCH, AccessLog, AccessLogSettings, make_format, plugin
from twisted_mesh.filters.log_format import TextFormat
from twisted_mesh.filters.log_json import JsonFormat
from twisted_mesh.interfaces import IFilterPlugin
from twisted_mesh.logfile import FLUSH_INTERVAL, LogFiles
from twisted_mesh.metrics import Registry
from twisted_mesh.park import Parked
from twisted_mesh.redis_call import RedisCall


def failed(completion: Completion) -> None:
    raise AssertionError("a completion failed")


def inner(call: Call) -> Awaitable[Reply]:
    parked: Parked[Reply] = Parked()
    parked.fire(Reply(200))
    return parked


class World:
    """Log files on a disk, and a clock that starts at 1000 when people's clocks say 1,700,000,000."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.registry = Registry()
        self.set_back = 0.0
        self.logs = LogFiles(self.clock, self.wall, Families(self.registry), limit)
        self.env: Any = SimpleNamespace(logs=self.logs, now=self.clock.seconds, metrics=self.registry)

    def wall(self) -> float:
        return self.clock.seconds() + 1_700_000_000.0 - 1000.0 - self.set_back

    def filter(self, path: object, format: str = "json") -> AccessLog:
        return plugin.build(AccessLogSettings(str(path), format), self.env)

    def run(self, log: AccessLog, **fields: Any) -> None:
        call = a_call(started=self.clock.seconds(), **fields)
        log(call, inner)
        call.complete(self.clock.seconds(), failed)

    def close(self) -> None:
        closed: list[None] = []
        self.logs.close().addCallback(closed.append)
        until(lambda: self.clock.advance(0.01) or closed)
        assert self.clock.getDelayedCalls() == []

    def counted(self, name: str, path: object) -> float:
        self.registry.refresh()
        family: Any = self.registry.family(f"twisted_mesh_access_log_{name}_total")
        found: float = family.labels(str(path)).value
        return found


def ids(path: Path) -> list[str]:
    return [json.loads(each)["id"] for each in path.read_text().splitlines()]


def test_a_call_is_a_line_within_the_interval(tmp_path: Path) -> None:
    world, path = World(), tmp_path / "log"
    log = world.filter(path)
    world.run(log, id="one")
    world.clock.advance(FLUSH_INTERVAL)
    until(path.exists)
    until(lambda: path.read_bytes().endswith(b"\n"))
    assert ids(path) == ["one"]
    assert json.loads(path.read_text())["time"] == "2023-11-14T22:13:20.000Z"
    world.close()
    assert world.counted("lines", path) == 1


def test_many_calls_are_all_there_and_in_order(tmp_path: Path) -> None:
    world, path = World(), tmp_path / "log"
    log = world.filter(path)
    count = 10 * BATCH + 7
    for number in range(count):
        world.run(log, id=str(number))
    assert len(log._records) < BATCH
    world.close()
    assert ids(path) == [str(number) for number in range(count)]
    assert world.counted("lines", path) == count
    assert world.counted("dropped", path) == 0


def test_two_filters_share_a_file_each_in_its_format(tmp_path: Path) -> None:
    world, path = World(), tmp_path / "log"
    first, second = world.filter(path, "%ID% first"), world.filter(path, "second %ID%")
    for number in range(3 * BATCH):
        world.run(first, id=str(number))
        world.run(second, id=str(number))
    world.close()
    lines = path.read_text().splitlines()
    assert [each for each in lines if each.endswith("first")] == [f"{number} first" for number in range(3 * BATCH)]
    assert [each for each in lines if each.startswith("sec")] == [f"second {number}" for number in range(3 * BATCH)]


def test_nothing_is_kept_of_a_call_but_its_record(tmp_path: Path) -> None:
    import gc
    import weakref

    world = World()
    for format in ("json", "text"):
        log = world.filter(tmp_path / "log", format)
        call = a_call(body=b"x" * 1000)
        watched = weakref.ref(call)
        log(call, inner)
        call.complete(1001.0, failed)
        del call
        gc.collect()
        assert watched() is None
    world.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_costs_lines_that_are_counted_and_no_call(tmp_path: Path) -> None:
    world, path = World(limit=150_000), "/dev/full"
    log = world.filter(path)
    count = 100 * BATCH
    for number in range(count):
        world.run(log, id=str(number))
    world.clock.advance(FLUSH_INTERVAL)
    assert world.counted("dropped", path) > 0
    world.close()
    assert world.counted("dropped", path) == count
    assert world.counted("lines", path) == 0
    assert world.counted("errors", path) > 0


def test_a_log_that_is_renamed_and_reopened_loses_nothing(tmp_path: Path) -> None:
    world, path = World(), tmp_path / "log"
    log = world.filter(path)
    for number in range(200):
        world.run(log, id=str(number))
    world.clock.advance(FLUSH_INTERVAL)
    until(path.exists)
    path.rename(tmp_path / "log.1")
    for number in range(200, 300):
        world.run(log, id=str(number))
    world.logs.reopen()
    for number in range(300, 500):
        world.run(log, id=str(number))
    world.close()
    assert ids(tmp_path / "log.1") == [str(number) for number in range(300)]
    assert ids(path) == [str(number) for number in range(300, 500)]


def test_times_follow_a_wall_clock_that_was_set_while_spans_do_not(tmp_path: Path) -> None:
    world, path = World(), tmp_path / "log"
    log = world.filter(path)
    world.run(log)
    world.clock.advance(FLUSH_INTERVAL)
    world.set_back = 3600.0
    world.run(log)
    world.clock.advance(FLUSH_INTERVAL)
    world.run(log)
    world.close()
    lines = [json.loads(each) for each in path.read_text().splitlines()]
    assert lines[0]["time"] == "2023-11-14T22:13:20.000Z"
    assert lines[2]["time"].startswith("2023-11-14T21:13:20.")
    assert [each["duration_ms"] for each in lines] == [0.0, 0.0, 0.0]


def test_formats_are_chosen_by_name() -> None:
    assert isinstance(make_format("json"), JsonFormat)
    assert isinstance(make_format("text"), TextFormat)
    assert isinstance(make_format("%METHOD%"), TextFormat)
    with pytest.raises(ValueError, match="expected json, text or a line with fields"):
        make_format("jsn")
    with pytest.raises(ValueError, match="did you mean"):
        make_format("%METHOT%")


def test_the_plugin_is_one() -> None:
    assert verifyObject(IFilterPlugin, plugin)
    assert AccessLogSettings() == AccessLogSettings("-", "json")


def test_of_failed_and_slow_calls_alone(tmp_path: Path) -> None:
    world, path = World(), tmp_path / "log"
    log = plugin.build(AccessLogSettings(str(path), "json", 0.5), world.env)
    assert log.slow == 0.5

    def run(id: str, seconds: float = 0.0, **fields: Any) -> None:
        call = a_call(started=world.clock.seconds(), id=id, **{"flags": (), "status": 200, **fields})
        log(call, inner)
        call.complete(world.clock.seconds() + seconds, failed)

    run("well")
    run("slow", 0.5)
    run("nearly", 0.499)
    run("flagged", flags=("UF",))
    run("5xx", status=500)
    run("4xx", status=404)
    run("errors", errors=1)
    run("refused in shadow mode", _context={"log": {"shadow": {"ratelimit": "refuse"}}})
    run("of a filter", _context={"log": {"mine": 1}})
    world.clock.advance(FLUSH_INTERVAL)
    world.close()
    assert ids(path) == ["slow", "flagged", "5xx", "errors", "refused in shadow mode"]


def test_what_belongs_to_a_session_may_wait(tmp_path: Path) -> None:
    world, path = World(), tmp_path / "log"
    log = plugin.build(AccessLogSettings(str(path), "json", 0.5), world.env)
    for session in (None, object()):
        call = RedisCall("cache", find(b"BLPOP"), ((b"BLPOP", b"q", 3, 0, 0),), b"", b"")  # type: ignore[arg-type]
        call.session, call.started, call.key = session, world.clock.seconds(), b"own" if session else b"q"
        log(call, inner)
        call.complete(world.clock.seconds() + 9.0, failed)
    world.close()
    assert [json.loads(each)["path"] for each in path.read_text().splitlines()] == ["q"]

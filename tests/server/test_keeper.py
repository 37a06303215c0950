"""What is good is written some time after it has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest
from twisted.internet.task import Clock

from twisted_mesh.bus.disk import Disk, Kept
from twisted_mesh.bus.instance import Instance, decode
from twisted_mesh.bus.stored import EMPTY, Stored
from twisted_mesh.control.offers import Offer
from twisted_mesh.server.keeper import DELAY, REST, Keeper, State, kept


class Threads(Clock):
    """A reactor whose threads run when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.work: list[tuple[Callable[..., None], Callable[..., Any], Any]] = []

    def getThreadPool(self) -> Threads:
        return self

    def callInThreadWithCallback(self, done: Callable[..., None], act: Callable[..., Any], *arguments: Any) -> None:
        self.work.append((done, act, arguments))

    def callFromThread(self, act: Callable[..., None], *arguments: Any) -> None:
        act(*arguments)

    def run_thread(self) -> None:
        from twisted.python.failure import Failure

        done, act, arguments = self.work.pop(0)
        try:
            result = act(*arguments)
        except BaseException:
            done(False, Failure())
        else:
            done(True, result)


@pytest.fixture
def reactor() -> Threads:
    return Threads()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(str(tmp_path / "state" / "kept"))


def keeper(reactor: Threads, disk: Disk) -> Keeper:
    state = State(EMPTY, {"clusters/web": Offer.of("clusters/web", 3, {"endpoints": []})}, {})
    return Keeper(disk, "shop", reactor, lambda: 5.0, lambda: state)


def test_a_burst_of_changes_is_written_once(reactor: Threads, disk: Disk) -> None:
    one = keeper(reactor, disk)
    for _ in range(5):
        one.changed()
    assert reactor.work == []
    reactor.advance(DELAY)
    assert len(reactor.work) == 1
    # What changes while it is written is written again.
    one.changed()
    one.changed()
    reactor.run_thread()
    found = disk.load("shop")
    assert found is not None
    assert [(each.name, each.version, each.body) for each in found.good] == [("clusters/web", 3, '{"endpoints":[]}')]
    reactor.advance(DELAY)
    reactor.run_thread()
    assert (reactor.work, reactor.getDelayedCalls()) == ([], [])


def test_what_takes_long_to_write_is_written_less_often(reactor: Threads, disk: Disk) -> None:
    one = keeper(reactor, disk)
    one.changed()
    reactor.advance(DELAY)
    reactor.advance(0.1)
    reactor.run_thread()
    one.changed()
    reactor.advance(0.1 * REST - 0.01)
    assert reactor.work == []
    reactor.advance(0.02)
    reactor.run_thread()


def test_the_end_writes_what_was_not_written(reactor: Threads, disk: Disk) -> None:
    one = keeper(reactor, disk)
    one.changed()
    ended = one.stop()
    assert not ended.called
    reactor.run_thread()
    assert ended.called
    assert disk.load("shop") is not None
    assert reactor.getDelayedCalls() == []


def test_the_end_waits_for_what_is_being_written(reactor: Threads, disk: Disk) -> None:
    one = keeper(reactor, disk)
    one.changed()
    reactor.advance(DELAY)
    ended = one.stop()
    assert not ended.called
    reactor.run_thread()
    assert ended.called


def test_an_end_without_news_writes_nothing(reactor: Threads, disk: Disk) -> None:
    assert keeper(reactor, disk).stop().called
    assert reactor.work == []


def test_a_disk_that_cannot_be_written_is_trouble_until_it_can(reactor: Threads, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    one = keeper(reactor, Disk(str(tmp_path / "state" / "kept")))
    one.changed()
    reactor.advance(DELAY)
    reactor.run_thread()
    assert "cannot be written" in one.trouble
    (tmp_path / "state").unlink()
    one.changed()
    reactor.advance(DELAY)
    reactor.run_thread()
    assert one.trouble == ""


def test_all_of_it_comes_back(disk: Disk) -> None:
    instance = Instance(id="a", service="web", address="127.0.0.1", ports={"http": 80})
    disk.save(kept("shop", State(Stored("1-x", 7), {}, {"web": (instance,)}), 5.0))
    found = disk.load("shop")
    assert isinstance(found, Kept)
    assert Stored.load(found.store) == Stored("1-x", 7)
    assert [decode(each.encode()) for each in found.services["web"]] == [instance]

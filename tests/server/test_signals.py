"""What signals do."""

from __future__ import annotations

import os
import signal
from typing import Any, Callable, Iterator

import pytest

from twisted_mesh.server import signals

NUMBERS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class FakeReactor:
    """Keeps what is to run in its thread."""

    def __init__(self) -> None:
        self.later: list[Callable[[], Any]] = []

    def callFromThread(self, act: Callable[[], Any]) -> None:
        self.later.append(act)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {each: signal.getsignal(each) for each in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_an_act_runs_in_the_reactors_thread_and_not_in_the_signal() -> None:
    reactor = FakeReactor()
    done: list[str] = []
    restore = signals.install(reactor, {signal.SIGTERM: lambda: done.append("term")})
    os.kill(os.getpid(), signal.SIGTERM)
    assert done == []
    [act] = reactor.later
    act()
    assert done == ["term"]
    restore()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_somebody_elses_sigusr1_is_called_as_well() -> None:
    """With a log file of its own twistd rotates it at SIGUSR1."""
    rotated: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: rotated.append(number))
    reactor = FakeReactor()
    signals.install(reactor, {signal.SIGUSR1: lambda: None})
    os.kill(os.getpid(), signal.SIGUSR1)
    assert len(reactor.later) == 1
    assert rotated == [signal.SIGUSR1]


def test_a_reload_does_not_end_a_process_that_is_starting() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signals.ignore_until_started()
    os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_log_files_that_are_renamed_do_not_end_a_process_that_is_starting() -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    signals.ignore_until_started()
    os.kill(os.getpid(), signal.SIGUSR1)
    # What twistd looks at before it has its own log rotated then.
    assert not signal.getsignal(signal.SIGUSR1)


def test_somebody_elses_handlers_stay() -> None:
    def mine(number: int, frame: Any) -> None:
        """Do nothing."""

    signal.signal(signal.SIGUSR1, mine)
    signals.ignore_until_started()
    assert signal.getsignal(signal.SIGUSR1) is mine

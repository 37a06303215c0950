"""The sidecar's end of the line to `meshctl run`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Callable, Iterator

import pytest
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.support import PATIENCE
from twisted_mesh.server.supervised import LINE, LOOK, Group, Supervised, take_line


class Sidecar:
    """Notes what it is told."""

    leave_limit = 31.0

    def __init__(self) -> None:
        self.state = (False, "no configuration\nwas applied yet")
        self.told: list[str] = []
        self.left: Callable[[], None] = lambda: None

    def ready(self) -> tuple[bool, str]:
        return self.state

    def leave(self, left: Callable[[], None]) -> None:
        self.told.append("leave")
        self.left = left

    def end(self, reason: str) -> None:
        self.told.append(f"end: {reason}")

    def drain(self, reason: str) -> None:
        self.told.append(f"drain: {reason}")


class Line:
    """A conversation with a sidecar."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sidecar = Sidecar()
        self.supervised = Supervised(self.sidecar, self.clock)
        self.transport = StringTransport()
        self.supervised.makeConnection(self.transport)

    def says(self) -> list[str]:
        said = self.transport.value().decode().splitlines()
        self.transport.clear()
        return said

    def hears(self, text: str) -> None:
        self.supervised.dataReceived(text.encode())

    def breaks(self) -> None:
        self.supervised.connectionLost(Failure(ConnectionLost()))


@pytest.fixture
def line() -> Line:
    return Line()


def test_it_says_why_it_is_not_ready_once_and_when_it_is(line: Line) -> None:
    assert line.says() == ["waiting no configuration was applied yet"]
    line.clock.advance(LOOK)
    assert line.says() == []
    line.sidecar.state = (True, "ready")
    line.clock.advance(LOOK)
    assert line.says() == ["ready 31"]
    assert line.clock.getDelayedCalls() == []


def test_it_leaves_and_ends_as_it_is_told(line: Line) -> None:
    line.says()
    line.hears("lea")
    line.hears("ve\n")
    assert (line.sidecar.told, line.says()) == (["leave"], [])
    line.sidecar.left()
    assert line.says() == ["left"]
    line.hears("end\n")
    assert line.sidecar.told == ["leave", "end: the command has ended"]
    line.breaks()
    line.sidecar.left()
    assert line.sidecar.told == ["leave", "end: the command has ended"]


def test_a_line_that_breaks_is_the_end(line: Line) -> None:
    line.breaks()
    assert line.sidecar.told == ["drain: meshctl is gone"]
    assert not line.supervised.ask_to_end()
    assert line.clock.getDelayedCalls() == []


def test_others_who_want_it_to_end_are_referred_to_meshctl_once(line: Line) -> None:
    line.says()
    assert line.supervised.ask_to_end()
    assert line.says() == ["asked"]
    assert not line.supervised.ask_to_end()


def test_at_the_process_s_own_end_a_broken_line_means_nothing(line: Line) -> None:
    line.supervised.finish()
    line.breaks()
    assert line.sidecar.told == []


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    script = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: print('told', flush=True)); print('up', flush=True)\nwhile True: time.sleep(0.02)"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    yield process
    process.kill()
    process.wait(PATIENCE)
    process.stdout.close()


def test_with_meshctl_the_command_s_group_ends(line: Line, child: subprocess.Popen[bytes]) -> None:
    line.hears(f"command {child.pid} 2.5\n")
    line.breaks()
    assert child.stdout is not None
    assert child.stdout.readline() == b"told\n"
    line.clock.advance(2.4)
    assert child.poll() is None
    line.clock.advance(0.2)
    assert child.wait(PATIENCE) == -signal.SIGKILL


def test_the_command_s_group_does_not_outlive_the_sidecar(line: Line, child: subprocess.Popen[bytes]) -> None:
    line.hears(f"command {child.pid} 1000\n")
    line.breaks()
    line.supervised.finish()
    assert child.wait(PATIENCE) == -signal.SIGKILL
    assert line.clock.getDelayedCalls() == []


def test_a_command_that_has_ended_is_left_alone(line: Line, child: subprocess.Popen[bytes]) -> None:
    line.hears(f"command {child.pid} 1\ngone\n")
    line.breaks()
    line.supervised.finish()
    assert child.poll() is None


def test_a_group_that_is_empty(child: subprocess.Popen[bytes]) -> None:
    clock = Clock()
    child.kill()
    child.wait(PATIENCE)
    group = Group(child.pid, 1.0, clock)
    group.end()
    group.finish()
    assert clock.getDelayedCalls() == []


def test_the_line_is_in_the_environment_and_no_child_gets_it() -> None:
    read_end, write_end = os.pipe()
    try:
        os.set_inheritable(write_end, True)
        env = {LINE: str(write_end), "OTHER": "x"}
        assert take_line(env) == write_end
        assert env == {"OTHER": "x"}
        assert not os.get_inheritable(write_end)
        assert take_line(env) is None
        assert take_line({LINE: "nonsense"}) is None
    finally:
        os.close(read_end)
        os.close(write_end)
    assert take_line({LINE: str(write_end)}) is None

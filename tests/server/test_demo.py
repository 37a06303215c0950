"""``make run``: it comes up whatever is busy, serves what it says, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

from tests.support import PATIENCE, RawClient, environment, request, until
from twisted_mesh.server.demo import PORTS, choose_ports


class Running:
    """A demonstration as a process, and what it has printed."""

    def __init__(self, directory: Path) -> None:
        self._out = directory / "out"
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "twisted_mesh.server.demo"],
                env=environment(TMPDIR=str(directory)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        until(lambda: "Ctrl-C stops" in self.printed or self.process.poll() is not None, "the guide", 2 * PATIENCE)

    @property
    def printed(self) -> str:
        return self._out.read_text()

    def port(self, before: str, after: str = "") -> int:
        """The port in the line that shows how to try something."""
        found = re.search(rf"{before}127\.0\.0\.1:(\d+){after}", self.printed)
        assert found is not None, self.printed
        return int(found[1])

    def children(self) -> dict[int, str]:
        """The processes that it has started."""
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {int(each): Path(f"/proc/{each}/cmdline").read_text() for each in pids}

    def child(self, word: str) -> int:
        return next(pid for pid, command in self.children().items() if word in command)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    if running.process.poll() is None:
        running.process.send_signal(signal.SIGTERM)
    running.process.wait(PATIENCE)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_what_it_says_can_be_tried(demo: Running) -> None:
    http = demo.port("curl http://", "/ ")
    assert {request(http).text.split('"')[3] for _ in range(200)} == {"v1", "v2"}
    assert '"v2"' in request(http, headers={"x-version": "v2"}).text
    hello = request(http, "/hello")
    assert (hello.text, hello.header("x-served-by")) == ("hello from the mesh\n", "twisted_mesh")
    assert request(http, "/", "POST", b"x" * 1000).text == "1000 bytes\n"
    with RawClient(demo.port("telnet://")) as echo:
        echo.send(b"hello")
        assert echo.read_exactly(5) == b"hello"
    assert request(demo.port("admin +"), "/ready").status == 200


def test_ctrl_c_stops_all_of_it(demo: Running) -> None:
    children = demo.children()
    assert len(children) == 4
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(PATIENCE) == 0
    assert all(gone(each) for each in children)
    assert "stopping" in demo.printed
    assert "Traceback" not in demo.printed


def test_a_service_that_dies_is_mentioned_and_the_rest_stops_as_ever(demo: Running) -> None:
    children = demo.children()
    os.kill(demo.child("\0v1\0"), signal.SIGKILL)
    until(lambda: "v1 has ended with status -9" in demo.printed)
    assert demo.process.poll() is None
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(PATIENCE) == 0
    assert all(gone(each) for each in children)


def test_the_end_of_the_sidecar_is_the_end_of_all(demo: Running) -> None:
    children = demo.children()
    os.kill(demo.child("mesh.yaml"), signal.SIGTERM)
    assert demo.process.wait(PATIENCE) == 0
    assert all(gone(each) for each in children)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children")
def test_nothing_outlives_it_even_if_it_is_killed(demo: Running) -> None:
    children = demo.children()
    demo.process.kill()
    demo.process.wait(PATIENCE)
    until(lambda: all(gone(each) for each in children))


def test_a_busy_port_is_replaced_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        chosen = choose_ports({"http": port, "tcp": port})
    assert port not in chosen.values()
    assert chosen["http"] != chosen["tcp"]
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"port {port} (http) is busy: using {chosen['http']} instead"


def test_the_ports_that_are_wanted_are_all_different() -> None:
    assert len(set(PORTS.values())) == len(PORTS)

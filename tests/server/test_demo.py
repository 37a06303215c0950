"""``make run``: it comes up whatever is busy, serves what it says, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterator

import pytest

from tests.support import PATIENCE, RawClient, environment, request, until
from twisted_mesh.server.demo import PORTS, choose_ports


class Running:
    """A demonstration as a process, and what it has printed."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self._out = directory / "out"
        # The path of a unix socket must not be long.
        self.short = tempfile.mkdtemp(prefix="d-")
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "twisted_mesh.server.demo", *arguments],
                env=environment(TMPDIR=self.short),
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

    def descendants(self) -> list[int]:
        """All that was started, by whomever."""
        found, left = [], [self.process.pid]
        while left:
            pid = left.pop()
            left += [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
            found.append(pid)
        return found[1:]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path, "--no-show")
    yield running
    if running.process.poll() is None:
        running.process.send_signal(signal.SIGTERM)
    running.process.wait(PATIENCE)
    shutil.rmtree(running.short)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_change_is_shown_while_a_client_runs(tmp_path: Path) -> None:
    running = Running(tmp_path)
    try:
        counts = re.findall(r"(?:again and again|goes on): (.*)", running.printed)
        first, half, last = (
            {name: int(number) for number, name in re.findall(r"(\d+) from (\w+)", each)} for each in counts
        )
        assert set(first) == {"v1"}
        assert set(half) == {"v1", "v2"}
        assert set(last) == {"v2"}
        assert running.printed.count("3 sidecars acknowledged") == 3
        assert "Traceback" not in running.printed
    finally:
        running.process.send_signal(signal.SIGINT)
        status = running.process.wait(2 * PATIENCE)
        shutil.rmtree(running.short)
    assert status == 0


def test_what_it_says_can_be_tried_and_ctrl_c_stops_all_of_it(demo: Running) -> None:
    http = demo.port("curl -s http://", "/;")
    assert {request(http).text.split('"')[3] for _ in range(20)} == {"v1"}
    assert '"v2"' in request(http, headers={"x-version": "v2"}).text
    hello = request(http, "/hello")
    assert (hello.text, hello.header("x-served-by")) == ("hello from the mesh\n", "twisted_mesh")
    assert request(http, "/", "POST", b"x" * 1000).text == "1000 bytes\n"
    with RawClient(demo.port("telnet://")) as echo:
        echo.send(b"hello")
        assert echo.read_exactly(5) == b"hello"
    assert request(demo.port("admin +"), "/ready").status == 200
    for command, said in (
        (r"\S.* apply -f \S+all.yaml --wait --base \S+", "acknowledged"),
        (r"\S.* status", "3 live sidecars"),
    ):
        found = re.search(rf"^  ({command})   ", demo.printed, re.MULTILINE)
        assert found is not None
        env = environment(MESHCTL_REDIS=f"redis://127.0.0.1:{demo.port('MESHCTL_REDIS=redis://')}", MESHCTL_MESH="demo")
        done = subprocess.run(found[1].split(), env=env, capture_output=True, text=True, timeout=60, check=True)
        assert said in done.stdout
    assert '"v2"' in request(http).text

    children, all_of_it = demo.children(), demo.descendants()
    assert len(children) == 4
    # The edge and its Redis, the echo, and twice meshctl, a sidecar and a service.
    assert len(all_of_it) >= 9
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(PATIENCE) == 0
    assert all(gone(each) for each in children)
    until(lambda: all(gone(each) for each in all_of_it))
    assert "stopping" in demo.printed
    assert "Traceback" not in demo.printed


def test_a_service_that_dies_is_mentioned_and_the_end_of_the_edge_is_the_end_of_all(demo: Running) -> None:
    all_of_it = demo.descendants()
    os.kill(demo.child("v1.yaml"), signal.SIGKILL)
    until(lambda: "v1 has ended with status -9" in demo.printed)
    assert demo.process.poll() is None
    os.kill(demo.child("edge.yaml"), signal.SIGTERM)
    assert demo.process.wait(PATIENCE) == 0
    until(lambda: all(gone(each) for each in all_of_it))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children")
def test_nothing_outlives_it_even_if_it_is_killed(demo: Running) -> None:
    all_of_it = demo.descendants()
    demo.process.kill()
    demo.process.wait(PATIENCE)
    until(lambda: all(gone(each) for each in all_of_it), within=2 * PATIENCE)


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

"""``meshctl run`` with real processes: the order of starts and ends, statuses, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterator, Optional, Sequence

import pytest

from tests.support import PATIENCE, environment, free_ports, request, until
from twisted_mesh.cli.main import main

CONFIG = """\
node: {{id: one, service: web}}
admin: 127.0.0.1:{admin}
access_log: off
drain: {{wait: 50ms, limit: 5s}}
listeners:
  in: {{protocol: http, bind: "127.0.0.1:{inbound}", routes: [{{reply: {{body: here}}}}]}}
"""
# Notes that it has started, which signals come, and ends at the second word of its arguments.
COMMAND = """\
import os, signal, sys, time
from pathlib import Path
notes = Path(sys.argv[1])
def note(text):
    with notes.open("a") as file:
        file.write(text + "\\n")
def got(number, frame):
    note(signal.Signals(number).name)
    if number in (signal.SIGTERM, signal.SIGINT) and "stubborn" not in sys.argv:
        sys.exit(int(sys.argv[2]))
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, got)
note(f"started {os.getpid()}")
while True:
    # Not pause(): a signal that comes just before it would be looked at with the next one only.
    time.sleep(0.02)
"""


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has reaped yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class Run:
    """A running ``meshctl run``."""

    def __init__(self, directory: Path, command: Sequence[str], options: Sequence[str], config: Optional[str]) -> None:
        self.admin, self.inbound = free_ports(2)
        self.config = directory / "mesh.yaml"
        self.config.write_text((CONFIG if config is None else config).format(admin=self.admin, inbound=self.inbound))
        self._out, self._err = directory / "out", directory / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "twisted_mesh.cli.main",
                    "run",
                    "--config",
                    "mesh.yaml",
                    *options,
                    "--",
                    *command,
                ],
                cwd=directory,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def out(self) -> str:
        return self._out.read_text("utf-8", "replace")

    @property
    def err(self) -> str:
        return self._err.read_text("utf-8", "replace")

    def children(self) -> list[int]:
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(each) for each in found]

    def sidecar(self) -> int:
        return next(each for each in self.children() if "twisted_mesh\0" in Path(f"/proc/{each}/cmdline").read_text())

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        try:
            return self.process.wait(2 * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"does not end:\n{self.err}") from None


Start = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Run] = []

    def begin(*command: str, options: Sequence[str] = (), config: Optional[str] = None) -> Run:
        running.append(Run(tmp_path, command, options, config))
        return running[-1]

    yield begin
    for each in running:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait(PATIENCE)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def lines(notes: Path) -> list[str]:
    return notes.read_text().splitlines() if notes.exists() else []


def command(notes: Path, status: int = 0, *more: str) -> list[str]:
    return [sys.executable, "-c", COMMAND, str(notes), str(status), *more]


def started(run: Run, notes: Path) -> int:
    """Wait for the command and return its process id."""
    until(lambda: run.process.poll() is not None or lines(notes), "the command's start", 2 * PATIENCE)
    assert lines(notes), run.err
    return int(lines(notes)[0].split()[1])


# --- how it ends


def test_a_job_starts_when_the_sidecar_serves_and_its_status_is_the_status(start: Start, notes: Path) -> None:
    ask = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode()); sys.exit(7)"
    run = start("sh", "-c", f'exec {sys.executable} -c "{ask}" http://127.0.0.1:$(cat port)/')
    (run.config.parent / "port").write_text(str(run.inbound))
    assert run.wait() == 7
    assert run.out == "here\n"
    assert "the command has ended" in run.err


def test_a_command_that_dies_by_a_signal(start: Start) -> None:
    assert start("sh", "-c", "kill -KILL $$").wait() == 137


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_at_a_signal_the_mesh_is_left_before_the_command_hears_of_it(start: Start, notes: Path, number: int) -> None:
    run = start(*command(notes, 3))
    pid, sidecar = started(run, notes), run.sidecar()
    assert request(run.inbound).text == "here"
    run.send(number)
    assert run.wait() == 3
    assert lines(notes)[1:] == [signal.Signals(number).name]
    assert gone(pid)
    assert gone(sidecar)
    assert "the command has ended" in run.err


def test_other_signals_are_handed_on(start: Start, notes: Path) -> None:
    run = start(*command(notes))
    started(run, notes)
    run.config.write_text(run.config.read_text().replace("here", "there"))
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        run.send(number)
        until(lambda number=number: signal.Signals(number).name in lines(notes))
    until(lambda: request(run.inbound).text == "there", "the sidecar reads its configuration again")
    run.send(signal.SIGTERM)
    assert run.wait() == 0


def test_a_command_that_does_not_want_to_end_is_killed(start: Start, notes: Path) -> None:
    run = start(*command(notes, 0, "stubborn"), options=["--kill-after", "300ms"])
    pid = started(run, notes)
    run.send(signal.SIGTERM)
    assert run.wait() == 137
    assert gone(pid)
    assert "meshctl: the command has not ended within 0.3 s: it is killed" in run.err


def test_a_third_signal_kills(start: Start, notes: Path) -> None:
    run = start(*command(notes, 0, "stubborn"), options=["--kill-after", "1h"])
    started(run, notes)
    for count in (1, 2):
        run.send(signal.SIGTERM)
        until(lambda count=count: lines(notes).count("SIGTERM") >= count)
    run.send(signal.SIGTERM)
    assert run.wait() == 137


# --- what cannot start


def test_a_command_that_is_not_there_starts_nothing(start: Start) -> None:
    run = start("no-such-command-anywhere")
    assert run.wait() == 127
    assert run.err == "meshctl: no-such-command-anywhere: cannot be run: no such command on PATH\n"


def test_a_file_that_cannot_be_executed(start: Start) -> None:
    run = start("./mesh.yaml")
    assert run.wait() == 126
    assert run.err == "meshctl: ./mesh.yaml: cannot be run: it may not be executed\n"


def test_a_configuration_that_is_refused(start: Start, notes: Path) -> None:
    run = start(*command(notes), config="nod: 5\n")
    assert run.wait() == 125
    assert run.err.endswith('mesh.yaml:1:1: nod: unknown name; did you mean "node"?\n')
    assert not lines(notes)


def test_a_sidecar_that_is_never_ready(start: Start, notes: Path) -> None:
    config = (
        CONFIG + "clusters: {{out: {{endpoints: ['127.0.0.1:1'], health_check: {{tcp: true}}, require_ready: true}}}}\n"
    )
    run = start(*command(notes), options=["--ready-limit", "5s"], config=config)
    assert run.wait() == 125
    assert "meshctl: the sidecar is not ready within 5 s: cluster out: " in run.err
    assert not lines(notes)


@pytest.mark.parametrize("arguments", [["run"], ["run", "--"]])
def test_nothing_to_run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err == (
        "meshctl: say what to run, behind two dashes: meshctl run -- COMMAND [ARGUMENT ...]\n"
    )


# --- what is left behind: nothing


def test_what_the_command_leaves_behind_ends_with_it(start: Start, notes: Path) -> None:
    """Daemons that it has started, in sessions of their own, too."""
    daemon = "import os, sys, time; os.setsid(); open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    script = f'{sys.executable} -c "{daemon}" "$0.1" & {sys.executable} -c "{daemon}" "$0.2" & '
    script += 'while [ ! -s "$0.1" ] || [ ! -s "$0.2" ]; do :; done; exit 4'
    run = start("sh", "-c", script, str(notes))
    assert run.wait() == 4
    assert all(gone(int(Path(f"{notes}.{each}").read_text())) for each in (1, 2))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills with the parent")
def test_if_meshctl_is_killed_the_others_end(start: Start, notes: Path) -> None:
    run = start(*command(notes, 0, "stubborn"))
    pid, sidecar = started(run, notes), run.sidecar()
    run.process.kill()
    run.process.wait(PATIENCE)
    until(lambda: gone(pid) and gone(sidecar))


def test_if_meshctl_is_killed_the_command_s_children_end_too(start: Start, notes: Path) -> None:
    run = start(
        "sh",
        "-c",
        f'{sys.executable} -c "$1" "$0" 0 stubborn; true',
        str(notes),
        COMMAND,
        options=["--kill-after", "1s"],
    )
    pid = started(run, notes)
    run.process.kill()
    run.process.wait(PATIENCE)
    until(lambda: gone(pid))


# --- what happens to the sidecar


def test_a_sidecar_that_dies_is_started_again(start: Start, notes: Path) -> None:
    run = start(*command(notes))
    pid, sidecar = started(run, notes), run.sidecar()
    os.kill(sidecar, signal.SIGKILL)
    until(lambda: request(run.inbound).text == "here")
    assert not gone(pid)
    assert "the sidecar has ended by signal 9; it is started again in 0.5 s" in run.err
    until(lambda: json.loads(request(run.admin, "/config?format=json").text))
    run.send(signal.SIGTERM)
    assert run.wait() == 0
    assert lines(notes)[1:] == ["SIGTERM"]


def test_a_sidecar_that_is_told_to_end_has_meshctl_do_it_in_order(start: Start, notes: Path) -> None:
    run = start(*command(notes))
    started(run, notes)
    os.kill(run.sidecar(), signal.SIGTERM)
    assert run.wait() == 0
    assert lines(notes)[1:] == ["SIGTERM"]
    assert "meshctl is asked to end the command and the sidecar" in run.err
    assert "meshctl is gone" not in run.err

"""The order of starts and ends, without processes."""

from __future__ import annotations

import signal

import pytest

from twisted_mesh.cli.supervision import FAILED, LAST_PAUSE, MARGIN, TRIES, Phase, Supervision


class Acts:
    """Notes what is done."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.said: list[str] = []
        self.start_status = 0

    def start_sidecar(self) -> None:
        self.done.append("start sidecar")

    def start_command(self) -> int:
        self.done.append("start command")
        return self.start_status

    def tell(self, word: str) -> None:
        self.done.append(f"tell {word}")

    def signal_sidecar(self, number: int) -> None:
        self.done.append(f"sidecar {signal.Signals(number).name}")

    def signal_command(self, number: int) -> None:
        self.done.append(f"command {signal.Signals(number).name}")

    def complain(self, line: str) -> None:
        self.said.append(line)

    def take(self) -> list[str]:
        done, self.done = self.done, []
        return done


class Story:
    """A supervision and what it does."""

    def __init__(self) -> None:
        self.acts = Acts()
        self.now = 0.0
        self.supervision = Supervision(self.acts, ready_limit=30.0, kill_after=10.0)
        self.supervision.start(self.now)

    @property
    def phase(self) -> Phase:
        return self.supervision.phase

    def hears(self, line: str) -> list[str]:
        word, _, rest = line.partition(" ")
        self.supervision.heard(word, rest, self.now)
        return self.acts.take()

    def gets(self, number: int) -> list[str]:
        self.supervision.signalled(number, self.now)
        return self.acts.take()

    def sees_command_end(self, status: int) -> list[str]:
        self.supervision.command_ended(status, self.now)
        return self.acts.take()

    def sees_sidecar_end(self, status: int) -> list[str]:
        self.supervision.sidecar_ended(status, self.now)
        return self.acts.take()

    def waits(self, seconds: float) -> list[str]:
        self.now += seconds
        self.supervision.tick(self.now)
        return self.acts.take()


@pytest.fixture
def story() -> Story:
    made = Story()
    assert made.acts.take() == ["start sidecar"]
    return made


@pytest.fixture
def running(story: Story) -> Story:
    assert story.hears("ready 31") == ["start command"]
    assert story.phase is Phase.RUNNING
    return story


def test_a_job_ends_and_the_sidecar_follows(running: Story) -> None:
    assert running.sees_command_end(7) == ["tell end"]
    assert running.sees_sidecar_end(0) == []
    assert (running.phase, running.supervision.status) == (Phase.DONE, 7)
    assert running.acts.said == []


def test_a_command_that_dies_by_a_signal_has_the_status_that_shells_give(running: Story) -> None:
    running.sees_command_end(-9)
    running.sees_sidecar_end(0)
    assert running.supervision.status == 137


def test_at_a_signal_the_instance_leaves_first_and_the_sidecar_ends_last(running: Story) -> None:
    assert running.gets(signal.SIGTERM) == ["tell leave"]
    assert running.hears("left") == ["command SIGTERM"]
    assert running.sees_command_end(0) == ["tell end"]
    assert running.sees_sidecar_end(0) == []
    assert (running.phase, running.supervision.status) == (Phase.DONE, 0)


def test_the_command_gets_the_signal_that_came(running: Story) -> None:
    running.gets(signal.SIGINT)
    assert running.hears("left") == ["command SIGINT"]


def test_a_second_signal_does_not_wait_and_a_third_kills(running: Story) -> None:
    running.gets(signal.SIGTERM)
    assert running.gets(signal.SIGTERM) == ["command SIGTERM"]
    assert running.hears("left") == []
    assert running.gets(signal.SIGTERM) == ["command SIGKILL"]
    assert running.sees_command_end(-9) == ["tell end"]
    assert running.gets(signal.SIGTERM) == ["sidecar SIGTERM"]


def test_a_command_that_does_not_end_is_killed(running: Story) -> None:
    running.gets(signal.SIGTERM)
    running.hears("left")
    assert running.waits(9.9) == []
    assert running.waits(0.2) == ["command SIGKILL"]
    assert running.acts.said == ["the command has not ended within 10 s: it is killed"]


def test_a_sidecar_that_does_not_answer_keeps_nothing_from_ending(running: Story) -> None:
    running.gets(signal.SIGTERM)
    assert running.waits(31 + MARGIN) == ["command SIGTERM"]
    running.sees_command_end(0)
    assert running.waits(31 + MARGIN) == ["sidecar SIGKILL"]
    running.sees_sidecar_end(-9)
    assert (running.phase, running.supervision.status) == (Phase.DONE, 0)


def test_a_command_that_ends_while_its_instance_leaves(running: Story) -> None:
    running.gets(signal.SIGTERM)
    assert running.sees_command_end(3) == ["tell end"]
    assert running.hears("left") == []
    running.sees_sidecar_end(0)
    assert running.supervision.status == 3


def test_a_sidecar_that_cannot_start_is_the_end(story: Story) -> None:
    assert story.sees_sidecar_end(1) == []
    assert (story.phase, story.supervision.status) == (Phase.DONE, FAILED)


def test_a_sidecar_that_is_never_ready_is_the_end_and_it_is_said_why(story: Story) -> None:
    assert story.hears("waiting cluster web: no endpoint") == []
    assert story.waits(30.0) == ["tell end"]
    assert story.acts.said == ["the sidecar is not ready within 30 s: cluster web: no endpoint"]
    assert story.hears("ready 31") == []
    story.sees_sidecar_end(0)
    assert story.supervision.status == FAILED


def test_a_signal_before_the_command_started(story: Story) -> None:
    assert story.gets(signal.SIGHUP) == ["sidecar SIGHUP"]
    assert story.gets(signal.SIGTERM) == ["tell end"]
    assert story.hears("ready 31") == []
    story.sees_sidecar_end(0)
    assert story.supervision.status == 143


def test_a_command_that_cannot_be_started(story: Story) -> None:
    story.acts.start_status = 126
    assert story.hears("ready 31") == ["start command", "tell end"]
    story.sees_sidecar_end(0)
    assert story.supervision.status == 126


def test_other_signals_are_handed_on(running: Story) -> None:
    assert running.gets(signal.SIGHUP) == ["sidecar SIGHUP", "command SIGHUP"]
    assert running.gets(signal.SIGUSR1) == ["sidecar SIGUSR1", "command SIGUSR1"]
    assert running.gets(signal.SIGUSR2) == ["command SIGUSR2"]
    assert running.phase is Phase.RUNNING


def test_a_sidecar_that_dies_is_started_again_while_the_command_goes_on(running: Story) -> None:
    assert running.sees_sidecar_end(-11) == []
    assert running.acts.said == ["the sidecar has ended by signal 11; it is started again in 0.5 s"]
    assert running.waits(0.5) == ["start sidecar"]
    assert running.hears("ready 31") == []
    assert running.phase is Phase.RUNNING
    assert running.gets(signal.SIGTERM) == ["tell leave"]


def test_a_sidecar_that_dies_again_and_again_is_given_up(running: Story) -> None:
    pauses = []
    for _ in range(TRIES):
        running.sees_sidecar_end(1)
        assert running.supervision.deadline is not None
        pauses.append(running.supervision.deadline - running.now)
        assert running.waits(LAST_PAUSE) == ["start sidecar"]
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert running.sees_sidecar_end(1) == ["command SIGTERM"]
    running.sees_command_end(0)
    assert (running.phase, running.supervision.status) == (Phase.DONE, FAILED)


def test_while_the_sidecar_is_down_a_signal_goes_to_the_command_at_once(running: Story) -> None:
    running.sees_sidecar_end(1)
    assert running.gets(signal.SIGTERM) == ["command SIGTERM"]
    assert running.waits(5.0) == []
    assert running.sees_command_end(0) == []
    assert running.phase is Phase.DONE


def test_a_sidecar_that_was_drained_by_somebody_takes_the_command_with_it(running: Story) -> None:
    assert running.sees_sidecar_end(0) == ["command SIGTERM"]
    assert running.acts.said == ["the sidecar was drained: the command is told to end"]
    running.sees_command_end(0)
    assert (running.phase, running.supervision.status) == (Phase.DONE, 0)


def test_a_sidecar_that_is_asked_to_end_is_ended_in_order(running: Story) -> None:
    assert running.hears("asked") == ["tell leave"]
    assert running.hears("left") == ["command SIGTERM"]
    assert running.hears("asked") == []


def test_whoever_signals_all_processes_at_once_is_not_impatient(running: Story) -> None:
    """As systemd does by default."""
    assert running.hears("asked") == ["tell leave"]
    assert running.gets(signal.SIGTERM) == []
    assert running.phase is Phase.LEAVING
    assert running.gets(signal.SIGTERM) == ["command SIGTERM"]


def test_a_sidecar_that_is_asked_before_the_command_started(story: Story) -> None:
    assert story.hears("asked") == ["tell end"]
    story.sees_sidecar_end(0)
    assert story.supervision.status == 143


def test_a_sidecar_that_dies_while_it_leaves(running: Story) -> None:
    running.gets(signal.SIGTERM)
    assert running.sees_sidecar_end(-9) == ["command SIGTERM"]
    assert running.sees_command_end(0) == []
    assert running.phase is Phase.DONE

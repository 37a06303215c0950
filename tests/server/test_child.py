"""Reading the configuration in a child process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest
from twisted.internet.defer import Deferred

from twisted_mesh.control.judge import Request
from twisted_mesh.control.parcels import Unpacking
from twisted_mesh.errors import ConfigError
from twisted_mesh.model import Config
from twisted_mesh.server import child
from twisted_mesh.server.child import NICE, step_back

GOOD = "listeners: {edge: {bind: '127.0.0.1:1', routes: [{reply: {body: hello}}]}}"


class Pool:
    """Runs at once what is given to a thread."""

    def callInThreadWithCallback(self, done: Callable[..., None], act: Callable[..., Any], *arguments: Any) -> None:
        try:
            result = act(*arguments)
        except BaseException:
            from twisted.python.failure import Failure

            done(False, Failure())
        else:
            done(True, result)


class FakeReactor:
    def getThreadPool(self) -> Pool:
        return Pool()

    def callFromThread(self, act: Callable[..., None], *arguments: Any) -> None:
        act(*arguments)


def read(path: Path) -> Config:
    result: Any = None

    def got(value: Any) -> None:
        nonlocal result
        result = value

    deferred: Deferred[list[bytes]] = child.judge_in_child(FakeReactor(), Request(str(path)))
    deferred.addCallback(got)
    errors: list[Any] = []
    deferred.addErrback(errors.append)
    if errors:
        errors[0].raiseException()
    unpacking = Unpacking(result, None)
    for _ in unpacking.steps():
        continue
    return unpacking.config


def test_a_configuration_comes_back_as_a_value(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(GOOD)
    assert list(read(tmp_path / "mesh.yaml").listeners) == ["edge"]


def test_problems_come_back_with_their_places(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text("admin: off\nlisteners: {edge: {bond: 1}}")
    with pytest.raises(ConfigError) as raised:
        read(tmp_path / "mesh.yaml")
    assert any(each.line == 2 and "bond" in str(each) for each in raised.value.problems)


def test_a_child_that_breaks_is_a_problem_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho some noise >&2\necho out of memory >&2\nexit 9\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(ConfigError, match=r"could not be checked \(status 9\): out of memory"):
        read(tmp_path / "mesh.yaml")


def test_no_child_at_all_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-such-python"))
    with pytest.raises(ConfigError, match=r"cannot be read: starting .* for that: No such file or directory"):
        read(tmp_path / "mesh.yaml")


def test_a_child_that_takes_for_ever_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hanging))
    monkeypatch.setattr(child, "LIMIT", 0.2)
    with pytest.raises(ConfigError, match=r"not read within 0\.2 s"):
        read(tmp_path / "mesh.yaml")


def test_the_child_runs_when_nobody_else_does_and_at_last_behind_the_others() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        step_back(process.pid, idle=True)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == NICE
        if hasattr(os, "SCHED_IDLE"):
            assert os.sched_getscheduler(process.pid) == os.SCHED_IDLE
            step_back(process.pid, idle=False)
            assert os.sched_getscheduler(process.pid) == os.SCHED_OTHER
    finally:
        process.communicate()
    # One that is gone needs no place.
    step_back(process.pid, idle=True)

"""What the simulation of shared rate limits is to show, and that it runs as a command."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.support import ROOT, environment

SIMULATION = "benchmarks.limits"


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("rate", [100, 1000])
@pytest.mark.parametrize("uneven", [False, True])
def test_four_sidecars_at_twice_the_limit_admit_what_it_says(
    simulated: Any, rate: int, uneven: bool, seed: int
) -> None:
    """Within 2 %, and at least nine of ten calls are decided without a question."""
    done = simulated.run(rate, rate, 4, 2.0, 20.0, seed, uneven)
    assert abs(done.admitted / (rate * 20.0) - 1) < 0.02
    assert done.asked < 0.1 * done.calls


@pytest.mark.parametrize("sidecars", [1, 4])
def test_below_the_limit_every_call_is_admitted_and_few_ask(simulated: Any, sidecars: int) -> None:
    done = simulated.run(100, 100, sidecars, 0.8, 20.0, 1)
    assert done.admitted >= done.calls - 2
    assert done.asked < 0.1 * done.calls


def test_it_prints_its_table() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "limits.py"), "--seconds", "0.5"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n| 1,000/s | 100 | 4 |") == 4

"""What the simulation of retries is to show, and that it runs as a command."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.support import ROOT, environment

SIMULATION = "benchmarks.retries"


@pytest.mark.parametrize("attempts", [2, 3, 10])
@pytest.mark.parametrize("failing", [0.1, 0.5, 1.0])
def test_the_load_is_never_more_than_a_fifth_above_what_is_asked_for(
    simulated: Any, failing: float, attempts: int
) -> None:
    """Not over the run, and not in any ten seconds of it."""
    kept = simulated.storm(200.0, failing, attempts, simulated.BUDGET, 40, 2)
    assert kept.whole <= 1.2 + 0.001
    assert kept.worst <= 1.2 + 0.01


def test_without_a_budget_there_is_a_storm(simulated: Any) -> None:
    assert simulated.storm(200.0, 0.5, 3, None, 20, 1).whole > 1.7


def test_hedges_take_the_tail_for_little(simulated: Any) -> None:
    alone, hedged = (simulated.hedged(each, simulated.BUDGET, 20_000, 1) for each in (None, 95.0))
    assert hedged.p99 < alone.p99 / 3
    assert hedged.load < 1.07


def test_it_prints_its_tables() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "retries.py"), "--seconds", "12"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n\n") == 1
    assert done.stdout.count("| `percentile: 95` |") == 1

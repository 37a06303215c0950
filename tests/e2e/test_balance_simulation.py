"""What the simulation of balances is to show, and that it runs as a command."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.support import ROOT, environment

SIMULATION = "benchmarks.balance"


def test_peak_ewma_wins_with_one_slow_and_with_one_failing(simulated: Any) -> None:
    slow, failing = {}, {}
    for name in simulated.NAMES:
        slow[name] = simulated.run(name, simulated.servers_of(slow=10.0), 5.0, 1).percentile(0.99)
        failing[name] = simulated.run(name, simulated.servers_of(failing=True), 5.0, 1).failed
    assert min(slow, key=slow.__getitem__) == "peak_ewma"
    assert min(failing, key=failing.__getitem__) == "peak_ewma"
    assert slow["least_request"] < slow["round_robin"] / 10
    assert failing["peak_ewma"] < 0.001 < failing["least_request"]


def test_peak_ewma_wins_with_one_slow_and_another_failing_at_once(simulated: Any) -> None:
    ended = {
        name: simulated.run(name, simulated.servers_of(slow=10.0, failing=True), 5.0, 1) for name in simulated.NAMES
    }
    slow = {name: each.percentile(0.99) for name, each in ended.items()}
    assert min(slow, key=slow.__getitem__) == "peak_ewma"
    assert ended["peak_ewma"].failed < 0.002


@pytest.mark.parametrize("balance, most", [("ring_hash", 1.0001), ("maglev", 1.5)])
def test_few_keys_move_when_one_of_ten_leaves(simulated: Any, balance: str, most: float) -> None:
    assert 1.0 <= simulated.moved(balance, 10) < most


def test_about_twice_as_many_move_of_a_maglev_table_with_a_hundred_endpoints(simulated: Any) -> None:
    """As Envoy's documentation says of its tables of the same size."""
    assert 1.2 < simulated.moved("maglev", 100) < 2.2
    assert simulated.moved("ring_hash", 100) < 1.01
    assert simulated.keys("maglev", 100) < simulated.keys("ring_hash", 100)


def test_it_prints_its_tables() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "balance.py"), "--seconds", "0.5"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| `peak_ewma` |") == 1
    assert done.stdout.count("\n\n") == 1

"""A short run of `make chaos`."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.run import run


# What fails here is repeated by `make chaos ARGS="--seconds 60 --seed 7"`, and seen better there.
def test_every_call_is_accounted_for_while_everything_fails(tmp_path: Path) -> None:
    assert run(3.0, 7, tmp_path) == []

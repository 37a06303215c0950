"""What the simulations in virtual time have in common as commands."""

from __future__ import annotations

import argparse
from typing import Any, Callable, Iterable


def print_report(about: str, report: Callable[[Any, int], Iterable[str]], *, seconds: float) -> None:
    """Read ``--seconds`` and ``--seed`` from the command line and print the lines of the report.

    :param about: the docstring of the module; its first line is the help.
    :param seconds: how many virtual seconds each run takes if it is not said; whole ones where this is.
    """
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument("--seconds", type=type(seconds), default=seconds, help="virtual seconds of each run")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    for line in report(asked.seconds, asked.seed):
        print(line, flush=True)

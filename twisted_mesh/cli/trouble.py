"""Problems of what is proposed, as what ends a command."""

from __future__ import annotations

import argparse
import os
from typing import Mapping, Sequence

from twisted_mesh.bus.resource import Resource
from twisted_mesh.cli.failure import NO, Failure
from twisted_mesh.cli.output import problems_of
from twisted_mesh.cli.proposal import Written, check, read
from twisted_mesh.errors import ConfigError


def reading(arguments: argparse.Namespace) -> list[Written]:
    """Return what the files propose.

    :raises Failure: with a line for each problem.
    """
    try:
        return read(arguments.file, os.environ)
    except ConfigError as error:
        raise refused(error) from None


def checking(arguments: argparse.Namespace, proposed: Sequence[Written], stored: Mapping[str, Resource]) -> list[str]:
    """Check what is proposed; returns what sidecars must have in their own files.

    :raises Failure: with a line for each problem.
    """
    try:
        return check(proposed, stored, arguments.base, os.environ)
    except ConfigError as error:
        raise refused(error) from None


def refused(error: ConfigError) -> Failure:
    """Return what ends the command: a line for each problem, the same for programs."""
    return Failure(str(error), NO, {"error": "refused", "problems": problems_of(error)})

"""The entry of ``meshctl``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Optional, Sequence

from twisted_mesh import __version__
from twisted_mesh.cli import (
    apply,
    check,
    completion,
    delete,
    deregister,
    diff,
    docs,
    drain,
    edit,
    endpoints,
    explain,
    get,
    history,
    keys,
    maintenance,
    migrate,
    override,
    promote,
    register,
    restore,
    rollback,
    run,
    schema,
    services,
    status,
    tap,
)
from twisted_mesh.cli.failure import Failure
from twisted_mesh.cli.output import complain, plain
from twisted_mesh.cli.parser import Parser, output, where
from twisted_mesh.cli.words import words_of

# A command is a module with `NAME`, `HELP`, `options(parser)` and `run(arguments) -> status`; its docstring is the
# longer text of its help.  They stand in the order in which one meets them.
COMMANDS = (
    check,
    run,
    apply,
    diff,
    get,
    edit,
    delete,
    history,
    rollback,
    promote,
    status,
    tap,
    restore,
    services,
    endpoints,
    register,
    deregister,
    drain,
    override,
    maintenance,
    keys,
    migrate,
    explain,
    schema,
    docs,
    completion,
)


def parser() -> Parser:
    """Return the parser of all commands."""
    whole = Parser(prog="meshctl", description="Look after a twisted_mesh.")
    whole.add_argument("--version", action="version", version=f"meshctl {__version__}")
    where(whole)
    output(whole, default="text")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS:
        command = commands.add_parser(module.NAME, help=module.HELP, description=module.__doc__)
        module.options(command)
        rest = getattr(module, "REST", "")
        command.set_defaults(run=module.run, rest=None, rest_usage=rest)
        command.usage = words_of(command).usage
    whole.usage = words_of(whole).usage
    return whole


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run a command; returns the exit status.

    0: done. 1: the answer is no. 2: a wrong command line. 3: the Redis cannot be reached or refuses. `meshctl run` ends
    with the status of the command that it runs.
    """
    try:
        status = _run(_parsed(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, `head` for one, has seen enough; the interpreter must not flush into the pipe at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    words, rest = _split(arguments)
    whole = parser()
    parsed = whole.parse_args(words)
    if rest is not None and not parsed.rest_usage:
        whole.error("nothing may follow --")
    parsed.rest = rest
    return parsed


def _split(arguments: Sequence[str]) -> tuple[Sequence[str], Optional[Sequence[str]]]:
    """Return what stands before the first ``--``, and what stands behind it; None if there is none."""
    if "--" not in arguments:
        return arguments, None
    at = list(arguments).index("--")
    return arguments[:at], arguments[at + 1 :]


def _run(parsed: argparse.Namespace) -> int:
    try:
        status: int = parsed.run(parsed)
    except Failure as failure:
        if parsed.output == "json":
            details = {"error": str(failure)} if failure.details is None else failure.details
            print(json.dumps(details, indent=2, ensure_ascii=False))
        for line in str(failure).splitlines():
            complain(plain(line))
        return failure.status
    return status


if __name__ == "__main__":
    sys.exit(main())

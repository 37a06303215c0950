"""What ends a command with a status and one line."""

from __future__ import annotations

from typing import Any, Mapping, Optional

# The answer is no: refused, not found, in conflict, not acknowledged.
NO = 1
# The command line makes no sense, or says too little.
USAGE = 2
# The Redis cannot be reached, does not answer, or refuses.
BUS = 3


class Failure(Exception):
    """A command cannot do what it was asked for.

    :param line: what is wrong, where, and what would be right; more lines only where each is a problem of its own.
    :param status: the exit status.
    :param details: the same for programs, printed on standard output with ``-o json``.
    """

    def __init__(self, line: str, status: int = NO, details: Optional[Mapping[str, Any]] = None) -> None:
        super().__init__(line)
        self.status = status
        self.details = details

"""Judging a configuration in a child process, so that the loop of a sidecar that carries traffic does not stand still.

``python -m twisted_mesh.control.check`` reads a `judge.Request` from standard input and writes parcels to
standard output (see `parcels`); ``check PATH`` is the request for what is at that path.  What plugins print while they
are imported goes to standard error.
"""

from __future__ import annotations

import os
import sys
from typing import Sequence

from twisted_mesh.control.judge import Request, result, unpack_request
from twisted_mesh.control.parcels import framed


def main(arguments: Sequence[str]) -> int:
    """Write the parcels; the status is 0 whatever they say."""
    if len(arguments) > 1:
        sys.stderr.write("usage: python -m twisted_mesh.control.check [PATH]\n")
        return 2
    request = Request(arguments[0]) if arguments else unpack_request(sys.stdin.buffer)
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        out.writelines(framed(result(request)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Loading in a child process, so that the loop of a sidecar that carries traffic does not stand still.

``python -m twisted_mesh.control.check PATH`` writes a pickle to its standard output: a `Config`, or the list of
problems.  What plugins print while they are imported goes to standard error.
"""

from __future__ import annotations

import os
import pickle
import sys
from typing import Sequence, Union

from twisted_mesh.control.load import load
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.model import Config


def result(path: str) -> Union[Config, list[Problem]]:
    """Return the configuration at `path`, or what is wrong with it."""
    try:
        return load(path, os.environ)
    except ConfigError as error:
        return error.problems


def main(arguments: Sequence[str]) -> int:
    """Write the result for the path in `arguments`; the status is 0 whatever it says."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m twisted_mesh.control.check PATH\n")
        return 2
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        out.write(pickle.dumps(result(arguments[0]), protocol=pickle.HIGHEST_PROTOCOL))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Reading and checking the configuration in a child process, so that calls do not wait for it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from twisted_mesh.control.parcels import unframed
from twisted_mesh.errors import ConfigError, Problem

if TYPE_CHECKING:
    from twisted_mesh.control.judge import Request

# Seconds that reading and checking may take; 2,000 resources take a third of one.
LIMIT = 60.0


def judge_in_child(reactor: Any, request: Request) -> Deferred[list[bytes]]:
    """Return the parcels of what files and bus make together; `parcels.Unpacking` unpacks them.

    A thread waits for the child, not the reactor: under uvloop the reactor does not see every child die.

    :raises ConfigError: through the Deferred: it could not be checked.
    """
    return deferToThreadPool(reactor, reactor.getThreadPool(), _judge, request)


def _judge(request: Request) -> list[bytes]:
    path = request.path
    command = [sys.executable, "-m", "twisted_mesh.control.check"]
    try:
        # Every descriptor here is closed on exec anyway, and not closing thousands one by one lets posix_spawn do it.
        done = subprocess.run(
            command,
            input=pickle.dumps(request, protocol=pickle.HIGHEST_PROTOCOL),
            capture_output=True,
            timeout=LIMIT,
            close_fds=False,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError([Problem(path, 0, 0, "", f"not read within {LIMIT:g} s")]) from None
    except OSError as error:
        why = f"cannot be read: starting {sys.executable} for that: {error.strerror}"
        raise ConfigError([Problem(path, 0, 0, "", why)]) from error
    try:
        return unframed(done.stdout)
    except ValueError as error:
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise ConfigError(
            [Problem(path, 0, 0, "", f"could not be checked (status {done.returncode}): {last}")]
        ) from error

"""Reading and checking the configuration in a child process, so that calls do not wait for it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import IO, TYPE_CHECKING, Any, Iterable

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from twisted_mesh.control.judge import pack_request
from twisted_mesh.control.parcels import unframed
from twisted_mesh.errors import ConfigError, Problem

if TYPE_CHECKING:
    from twisted_mesh.control.judge import Request

# Seconds that reading and checking may take; 2,000 resources take a third of one.
LIMIT = 60.0
# Seconds that the thread leaves the interpreter to the loop after each piece of the request.  Without, the loop would
# wait for it until all is packed, or for 5 ms: that is how long CPython lets a thread run that does not wait itself.
BREATH = 0.0002
# How far the child steps back behind calls, of 0 to 19.
NICE = 10
# Seconds for which it runs only when the processor has nothing else to do.
IDLE = 3.0

log = Logger("twisted_mesh.reload")


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
        output, errors, status = _run(command, pack_request(request))
    except subprocess.TimeoutExpired:
        raise ConfigError([Problem(path, 0, 0, "", f"not read within {LIMIT:g} s")]) from None
    except OSError as error:
        why = f"cannot be read: starting {sys.executable} for that: {error.strerror}"
        raise ConfigError([Problem(path, 0, 0, "", why)]) from error
    try:
        return unframed(output)
    except ValueError as error:
        last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise ConfigError([Problem(path, 0, 0, "", f"could not be checked (status {status}): {last}")]) from error


def _run(command: list[str], request: Iterable[bytes]) -> tuple[bytes, bytes, int]:
    """Run a child and return what it wrote to its outputs, and its status."""
    pipe = subprocess.PIPE
    # Not through a pipe, which takes 4 KiB at a time.
    with _nameless_file() as file:
        for each in request:
            file.write(each)
            time.sleep(BREATH)
        file.seek(0)
        # Every descriptor here is closed on exec anyway, and not closing thousands one by one lets posix_spawn do it.
        child = subprocess.Popen(command, stdin=file, stdout=pipe, stderr=pipe, close_fds=False)
    with child:
        # Calls go first: at the same priority, on as many processors as are busy, the loop would wait for the child's
        # slices of time, and did for up to 6 ms; for those of one that is only nice still for up to 5 ms.
        step_back(child.pid, idle=True)
        try:
            try:
                output, errors = child.communicate(timeout=IDLE)
            except subprocess.TimeoutExpired:
                # Nothing is idle here: it would never come to its end.
                step_back(child.pid, idle=False)
                output, errors = child.communicate(timeout=LIMIT - IDLE)
        finally:
            child.kill()
    return output, errors, child.returncode


def step_back(pid: int, *, idle: bool) -> None:
    """Have a process run when nobody else wants to, or (not `idle`) behind the others, as far as the system can."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
        if hasattr(os, "SCHED_IDLE"):
            os.sched_setscheduler(pid, os.SCHED_IDLE if idle else os.SCHED_OTHER, os.sched_param(0))
    except (OSError, AttributeError) as error:
        log.debug("the child that reads the configuration keeps its priority: {why}", why=error)


def _nameless_file() -> IO[bytes]:
    """Return a file that nobody else can open, in memory where the system can do that."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("request", os.MFD_CLOEXEC), "w+b")
    return tempfile.TemporaryFile()

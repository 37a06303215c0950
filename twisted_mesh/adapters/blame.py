"""What is said of a call that a filter spoilt."""

from __future__ import annotations

from twisted.python.failure import Failure

from twisted_mesh.call import Call
from twisted_mesh.chain import Driver
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env


def filter_failed(env: Env, call: Call, error: BaseException) -> None:
    """Log and count what a filter raised that nobody expects: one line, with the traceback."""
    count_failure(env, error)
    env.log.failure("{call!r}: unexpected in a filter", failure=Failure(error), call=call)


def count_failure(env: Env, error: BaseException) -> None:
    """Count what a filter raised; for what was logged elsewhere."""
    Families(env.metrics).filter_errors.labels(culprit(error)).value += 1


def filter_stuck(env: Env, driver: Driver, what: str) -> None:
    """Log and count that filters have held a call for too long: one line, which says where they wait."""
    name = "unknown"
    for module, _, _ in driver.stands:
        if ".filters." in module:
            name = module.rpartition(".")[2]
    Families(env.metrics).filter_errors.labels(name).value += 1
    places = ", ".join(f"{module}:{line} in {function}" for module, line, function in driver.stands)
    env.log.error("{call!r}: {what}; it waits at {places}", call=driver.call, what=what, places=places)


def culprit(error: BaseException) -> str:
    """Return the name of the innermost filter module in a traceback, for the metric's label."""
    name = "unknown"
    trace = error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if ".filters." in module:
            name = module.rpartition(".")[2]
        trace = trace.tb_next
    return name

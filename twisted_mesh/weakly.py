"""Callbacks that do not keep alive whom they call.

What a cluster is made of tells the cluster of changes.  If that kept it alive, each cluster that a change replaces
would stay in memory until the garbage collector looks at everything, for which calls wait: 0.1 s for each thousand.
"""

from __future__ import annotations

from typing import Any, Callable
from weakref import WeakMethod


def weakly(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return what calls a bound method for as long as somebody else keeps its object; then it does nothing."""
    kept = WeakMethod(method)

    def call(*args: Any) -> Any:
        alive = kept()
        return None if alive is None else alive(*args)

    return call

"""What stands in for a chain where there is none."""

from __future__ import annotations

from typing import Any

from twisted_mesh.call import Call


def no_chain(call: Call) -> Any:
    """Stand in for a listener's chain before it has one.

    :raises RuntimeError: always: nothing may come before that.
    """
    raise RuntimeError(f"{call!r} came before the listener had a chain")


def refused(call: Call) -> Any:
    """Stand in for `proceed` where a call was refused: the filters asked only register what to do at its end."""
    return None

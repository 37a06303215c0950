"""How long to wait before trying again."""

from __future__ import annotations

from typing import Callable

# Past this doubling any base is beyond any limit, and 2 ** n need not grow further.
_DOUBLINGS = 64


def full_jitter(attempt: int, base: float, limit: float, dice: Callable[[], float]) -> float:
    """Return the wait before the `attempt`-th retry (counted from 1), in seconds.

    It is drawn evenly from [0, min(limit, base * (2 ** attempt - 1))): Envoy's rule, which spreads the retries of many
    callers best (``router_filter``, and "Exponential Backoff And Jitter" of the AWS architecture blog).
    """
    return dice() * min(limit, base * (2.0 ** min(attempt, _DOUBLINGS) - 1.0))


def decorrelated_jitter(before: float, base: float, limit: float, dice: Callable[[], float]) -> float:
    """Return the wait after one of `before` seconds, 0 for the first.

    It is drawn evenly from [base, max(base, 3 * before)), at most `limit`: "decorrelated jitter" of "Exponential
    Backoff And Jitter" of the AWS architecture blog.  Many clients of one server that came back spread out.
    """
    return min(limit, base + dice() * (max(base, 3.0 * before) - base))

"""Where the chain of a Redis listener comes to so little that ordinary commands need no calls."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Optional

from twisted_mesh.filters.access_log import AccessLog
from twisted_mesh.filters.metrics import Metrics
from twisted_mesh.interfaces import Observer

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis_ordinary import Ways
    from twisted_mesh.control.compile import Chain


def ways_of(chain: Chain) -> Optional[Ways]:
    """Return what ordinary commands come to in this chain of a Redis listener; None if they must run through it.

    They need not if it is the default one: an access log of unusual calls alone, metrics, a first route for everything
    that goes to one cluster of servers that are all alike, and retries.
    """
    from twisted_mesh.adapters.redis_ordinary import Ways
    from twisted_mesh.filters.redis_retry import RedisRetry
    from twisted_mesh.upstream.redis import RedisForward
    from twisted_mesh.upstream.watched import Watched, watched

    if len(chain.observers) != len(chain.layers) or not chain.table.routes:
        return None
    slow, metrics = inf, None
    for each in chain.observers:
        if isinstance(each, Metrics):
            metrics = each
        elif isinstance(each, AccessLog) and each.slow is not None:
            slow = min(slow, each.slow)
        else:
            return None
    route, forward = chain.table.routes[0], chain.table.routes[0].innermost
    if metrics is None or not isinstance(forward, RedisForward):
        return None
    if forward.topology is not None and forward.spread is None:
        return None
    if watched(forward.cluster.config) != Watched():
        # Somebody hears how each call has ended.
        return None
    if route.matches is not None or route.limits or len(route.targets) != 1 or route.targets[0].headers:
        return None
    filters: list[Any] = [each for _, each in route.layers]
    if len(filters) > 1 or any(type(each) is not RedisRetry for each in filters):
        return None
    completions = [each.observe for each in chain.observers if isinstance(each, Observer)]
    ways = Ways(
        chain.proceed, route, forward.straight, completions, metrics.count, forward.cells.answered, slow, forward.spread
    )
    for retry in filters:
        ways.budget, ways.rescue = retry.budget, retry.rescue_of(forward)
        if ways.rescue is None:
            return None
    return ways

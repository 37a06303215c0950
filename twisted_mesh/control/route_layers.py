"""What a route's own settings put round its calls: mirrors, retries and times outside, what answers innermost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, Optional, Sequence

from typing_extensions import TypeGuard

from twisted_mesh.control.env import MeshEnv
from twisted_mesh.control.matches import path_change
from twisted_mesh.families import Families
from twisted_mesh.filters.answers import FixedReply, Redirect
from twisted_mesh.filters.hedge import HedgeSettings
from twisted_mesh.filters.mirror import Mirror
from twisted_mesh.filters.retry import BackoffSettings, BudgetSettings, RetrySettings, retry_layers
from twisted_mesh.filters.route import Failover, Reserve, forward
from twisted_mesh.filters.timeout import timeout
from twisted_mesh.interfaces import Filter, Proceed

if TYPE_CHECKING:
    from twisted_mesh import model
    from twisted_mesh.upstream.cluster import Cluster


def settings_layers(
    config: model.Route, protocol: str, owner: str, clusters: Mapping[str, Cluster], env: MeshEnv
) -> list[Filter]:
    """Return the layers of a route inside its filters, outermost first: mirrors, then `retry` or `timeout`.

    :param owner: what the route is called in logs, ``listeners/edge/routes/api``.
    """
    layers = [_mirror(each, protocol, clusters[each.cluster], env.named(f"{owner}/mirror")) for each in config.mirror]
    if config.to and _several_tries(config.retry):
        layers += _retry(config.retry, protocol, env.named(f"{owner}/retry"))
    elif config.timeout is not None and protocol != "redis":
        # What is late of Redis is found where replies are waited for.
        layers.append(timeout)
    return layers


def innermost_of(config: model.Route, clusters: Sequence[Cluster], protocol: str) -> Proceed:
    """Return what answers a route's calls.

    :param clusters: the live clusters of its targets, in their order.
    """
    if config.reply is not None:
        return FixedReply(config.reply.status, config.reply.body, config.reply.headers.items())
    if config.redirect is not None:
        to = config.redirect
        return Redirect(to.status, url=to.url, scheme=to.scheme, host=to.host, change=path_change(config.match, to))
    # With one target it is known already: no need to look it up for each call.
    return clusters[0].forwards[protocol] if len(clusters) == 1 and not config.failover else forward


def failover_of(
    names: Sequence[str], protocol: str, clusters: Mapping[str, Cluster], env: MeshEnv
) -> Optional[Failover]:
    """Return how a route's calls go to its reserves; None if it has none."""
    if not names:
        return None
    failovers = Families(env.metrics).failovers

    def moved(cluster: Reserve) -> None:
        failovers.labels(protocol, cluster.name).value += 1

    return Failover([clusters[each] for each in names], moved)


def _mirror(config: model.Mirror, protocol: str, cluster: Cluster, env: MeshEnv) -> Filter:
    if protocol == "redis":
        return _redis_mirror(config, cluster, env)
    asked = config.compare
    return Mirror(
        config.cluster,
        cluster.forwards[protocol],
        env,
        percent=config.percent,
        limit=config.timeout,
        most=config.max_active or 100,
        compare=asked is not None,
        status=asked is not None and asked.status,
        headers=() if asked is None else asked.headers,
        body=asked is not None and asked.body,
    )


def _redis_mirror(config: model.Mirror, cluster: Cluster, env: MeshEnv) -> Filter:
    # Imported when it is first needed: most sidecars speak no Redis.
    from twisted_mesh.codec.command_classes import operations
    from twisted_mesh.filters.redis_mirror import RedisMirror

    return RedisMirror(
        config.cluster,
        cluster.forwards["redis"],
        env,
        operations=frozenset(operations(config.command)) if config.command else None,
        percent=config.percent,
        limit=config.timeout,
        most=config.max_active or 10_000,
        compare=config.compare is not None,
    )


def _retry(config: model.Retry, protocol: str, env: MeshEnv) -> Sequence[Filter]:
    settings = RetrySettings(
        config.attempts,
        config.when,
        BackoffSettings(**dict(config.backoff)),
        None if config.budget is None else BudgetSettings(**dict(config.budget)),
        config.per_try_timeout,
        None if config.hedge is None else HedgeSettings(**dict(config.hedge)),
    )
    if protocol == "redis":
        from twisted_mesh.filters.redis_retry import redis_layers

        return redis_layers(settings, env)
    return retry_layers(settings, env)


def _several_tries(config: Optional[model.Retry]) -> TypeGuard[model.Retry]:
    """Whether a call may be tried again, or its only try has a time of its own."""
    return config is not None and (config.attempts > 1 or config.per_try_timeout is not None)

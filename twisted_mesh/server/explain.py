"""What the admin says of an imaginary call, and of why an endpoint is in or out."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Mapping

if TYPE_CHECKING:
    from twisted_mesh.control.world import World

Parameters = Mapping[str, str]
_CALL = frozenset({"method", "target", "words", "headers", "listener", "source", "identity", "db", "format"})
_ENDPOINT = frozenset({"cluster", "address", "format"})


def call(world: World, parameters: Parameters) -> dict[str, Any]:
    """Return what would become of the call that the parameters describe.

    ``headers`` and ``words`` hold one on each line.

    :raises ValueError: there is no such call, or nothing would take it; it says why.
    """
    # Late: only who asks pays for it.
    from twisted_mesh.control.imaginary import Question, imagine, listener_for
    from twisted_mesh.control.walk import Walk

    _check(parameters, _CALL)
    if not parameters.get("method"):
        raise ValueError("say ?method=, a method of HTTP, a command of Redis, or CONNECT")
    db = parameters.get("db", "0")
    if not (db.isascii() and db.isdigit() and len(db) < 6):
        raise ValueError(f'expected the number of a database, got db="{db}"')
    source = parameters.get("source") or "127.0.0.1"
    try:
        ipaddress.ip_address(source)
    except ValueError:
        raise ValueError(f'expected the address of a client, got source="{source}"') from None
    asked = Question(
        parameters["method"],
        parameters.get("target", ""),
        _lines(parameters, "words"),
        _lines(parameters, "headers"),
        parameters.get("listener", ""),
        source,
        parameters.get("identity", ""),
        int(db),
    )
    listener = listener_for(world, asked)
    return Walk(world, listener, imagine(listener, asked, world.env.now())).run()


def endpoint(world: World, parameters: Parameters) -> dict[str, Any]:
    """Return why endpoints are in or out: all, or those of ``cluster``, or at ``address``.

    :raises ValueError: there is none.
    """
    from twisted_mesh.control.walk import candidates

    _check(parameters, _ENDPOINT)
    cluster, address = parameters.get("cluster", ""), parameters.get("address", "")
    if cluster and cluster not in world.clusters:
        raise ValueError(f'there is no cluster "{cluster}"; there are {", ".join(world.clusters) or "none"}')
    clusters = [world.clusters[cluster]] if cluster else list(world.clusters.values())
    found = [
        {"cluster": each.name, "trouble": each.trouble, "panicking": each.panicking, **about}
        for each in clusters
        for about in candidates(each)
        if not address or about["address"] == address
    ]
    if address and not found:
        raise ValueError(f"there is no endpoint {address}{f' in cluster {cluster}' if cluster else ''}")
    return {"endpoints": found}


def _check(parameters: Parameters, known: frozenset[str]) -> None:
    for each in parameters:
        if each not in known:
            raise ValueError(f'there is no parameter "{each}"; there are {", ".join(sorted(known))}')


def _lines(parameters: Parameters, name: str) -> list[str]:
    return parameters[name].split("\n") if parameters.get(name) else []

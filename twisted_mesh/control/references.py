"""Names that lead nowhere, looked for in what was written.

The tree is looked at and not the models, so that a mistake of another kind in the same route, listener or cluster hides
nothing.  What was not written as a name is passed over: that is a problem of its own.
"""

from __future__ import annotations

from typing import Any, Iterator, Optional, Sequence

from twisted_mesh.control.nearest import did_you_mean_or_list
from twisted_mesh.control.tree import Items, Mark, Table
from twisted_mesh.errors import Problem
from twisted_mesh.model.scalars import Real, Text, Whole

Names = Optional[Sequence[str]]


def missing_references(tree: Table) -> Iterator[Problem]:
    """Yield a problem for each cluster and each routing table that is asked for and does not exist.

    A resource whose value is refused does exist; where all of a kind cannot be read, nothing is said to be missing.
    """
    clusters, tables = _names(tree, "clusters"), _names(tree, "routes")
    for routes in _values(tree.get("routes")):
        yield from _routes(routes, clusters)
    for listener in _values(tree.get("listeners")):
        if not isinstance(listener, Table) or "routes" not in listener:
            continue
        if isinstance(listener["routes"], Items):
            yield from _routes(listener["routes"], clusters)
        else:
            yield from _missing("routing table", listener["routes"], listener.marks["routes"], tables)


def _names(tree: Table, kind: str) -> Names:
    """Return the names of all resources of a kind; None where they cannot be told."""
    table = tree.get(kind, {})
    return list(table) if isinstance(table, dict) else None


def _values(table: Any) -> Iterator[Any]:
    yield from table.values() if isinstance(table, Table) else ()


def _routes(routes: Any, clusters: Names) -> Iterator[Problem]:
    for route in routes if isinstance(routes, Items) else ():
        if isinstance(route, Table) and "to" in route:
            yield from _targets(route["to"], route.marks["to"], clusters)
        for name in ("failover", "mirror"):
            if isinstance(route, Table) and name in route:
                yield from _others(route[name], route.marks[name], clusters)


def _targets(to: Any, mark: Mark, clusters: Names) -> Iterator[Problem]:
    """Look at the targets of a route: NAME, {NAME: WEIGHT, ...} or a list of {cluster, weight, headers}."""
    if isinstance(to, Table):
        for name, weight in to.items():
            if isinstance(weight, Whole):
                yield from _missing("cluster", Text(name), to.names[name], clusters)
    elif isinstance(to, Items):
        for target in to:
            if isinstance(target, Table) and "cluster" in target:
                yield from _missing("cluster", target["cluster"], target.marks["cluster"], clusters)
    elif isinstance(to, Text):
        yield from _missing("cluster", to, mark, clusters)


def _others(named: Any, mark: Mark, clusters: Names) -> Iterator[Problem]:
    """Look at the mirrors or the reserves of a route: NAME, {cluster, ...}, or a list of these."""
    if isinstance(named, Items):
        for each, at in zip(named, named.marks):
            yield from _others(each, at, clusters) if not isinstance(each, Items) else ()
    elif isinstance(named, Table):
        if "cluster" in named:
            yield from _missing("cluster", named["cluster"], named.marks["cluster"], clusters)
    else:
        yield from _missing("cluster", named, mark, clusters)


def _missing(kind: str, name: Any, mark: Mark, known: Names) -> Iterator[Problem]:
    if known is not None and isinstance(name, (Text, Whole, Real)) and str(name) not in known:
        yield mark.problem(f'there is no {kind} "{name}"{did_you_mean_or_list(str(name), known)}')

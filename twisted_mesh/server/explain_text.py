"""How explanations look as text."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Iterator, Mapping, Optional, Sequence

from twisted_mesh.server.texts import shares, table

Shown = Mapping[str, Any]


def call(found: Shown) -> str:
    """Return what would become of a call, line by line in the order of the decisions."""
    return "\n".join(_lines(found)) + "\n"


def endpoint(found: Shown) -> str:
    """Return a line for each endpoint."""
    rows = [["CLUSTER", *_HEAD]] + [[each["cluster"], *_row(each)] for each in found["endpoints"]]
    return table(rows) if len(rows) > 1 else "no endpoints\n"


def _lines(found: Shown) -> Iterator[str]:
    asked, route, cluster = found["call"], found["route"], found["cluster"]
    query = f"?{asked['query']}" if asked["query"] else ""
    yield f"call:      {asked['operation']} {asked['host']}{asked['resource']}{query} from {asked['client']}".rstrip()
    yield f"listener:  {found['listener']} ({asked['protocol']})"
    yield from _filters([each for each in found["filters"] if each["chain"] == "listener"], "before routing")
    yield f"route:     {'none' if route is None else _route(route)}"
    for each in found["above"]:
        yield f"  {each['name']}, further up, takes {each['percent']:g} % of such calls"
    if found["divided"]:
        yield "  parts, the first of which is followed here:"
        yield from (f"    {', '.join(each['keys'])} by {each['route'] or 'no route'}" for each in found["divided"])
    if route is not None:
        yield from _filters([each for each in found["filters"] if each["chain"] == "route"], "of the route")
    if cluster is not None:
        yield f"cluster:   {_cluster(cluster)}"
        yield from (f"  {line}" for line in shares(cluster["zones"], cluster["warming"]))
        rows: list[list[object]] = [[*_HEAD], *map(_row, found["candidates"])]
        yield from (f"  {line}" for line in table(rows).splitlines())
        yield f"choice:    {found['choice'] or 'none'}{', ' + found['why'] if found['why'] else ''}"
    yield f"outcome:   {found['outcome']}"


def _filters(filters: Sequence[Shown], what: str) -> Iterator[str]:
    if not filters:
        return
    yield f"filters {what}:"
    rows = []
    for each in filters:
        notes = [] if each["mode"] == "enforce" else [each["mode"]]
        notes += [] if each["reached"] else ["not reached"]
        name = f"{each['name']} ({', '.join(notes)})" if notes else each["name"]
        rows.append([name, each["verdict"], each["why"]])
    yield from (f"  {line}" for line in table(rows).splitlines())


def _route(route: Shown) -> str:
    total = sum(each["weight"] for each in route["targets"])
    to = ", ".join(
        each["cluster"] if len(route["targets"]) == 1 else f"{each['cluster']} {100 * each['weight'] / total:.3g} %"
        for each in route["targets"]
    )
    notes = [f"to {to}" if to else "to no cluster"]
    if route["percent"] < 100:
        notes.append(f"for {route['percent']:g} % of the calls that match")
    if route["timeout"] is not None:
        notes.append(f"timeout {route['timeout']:g} s")
    if route["priority"]:
        notes.append("priority high" if route["priority"] > 0 else "priority low")
    return f"{route['name']}, {', '.join(notes)}"


def _cluster(cluster: Shown) -> str:
    notes = [cluster["name"], cluster["balance"]]
    if cluster["instead_of"]:
        notes.append(f"as {cluster['instead_of']} has no healthy endpoint")
    if cluster["panicking"]:
        notes.append("panicking: too few are healthy, so all are used")
    switched, room = cluster["maintenance"], cluster["room"]
    if switched and switched["percent"] < 100:
        notes.append(f"{switched['percent']:g} % of the calls are turned away for maintenance")
    if room:
        notes.append(f"{room['calls']} of {room['limits']['calls']} calls, {room['waiting']} waiting")
    connections = cluster["connections"]
    if connections and connections["limit"] is not None:
        notes.append(f"{connections['open']} of {connections['limit']} connections")
    return ", ".join([*notes, *([cluster["trouble"]] if cluster["trouble"] else [])])


_HEAD = ["ADDRESS", "IN", "SCORE", "ACTIVE", "WEIGHT", "ZONE", "BREAKER", "RULE", "UNTIL", "WHY"]


def _row(each: Shown) -> list[object]:
    breaker = (each["conduct"] or {}).get("breaker")
    return [
        each["address"],
        "yes" if each["in"] else "no",
        "-" if each["score"] is None else each["score"],
        each["active"],
        each["weight"],
        each["zone"] or "-",
        breaker["state"] if breaker else "-",
        each["rule"] or "-",
        _time(each["until"]),
        each["why"] or "-",
    ]


def _time(seconds: Optional[float]) -> str:
    return "-" if not seconds else datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

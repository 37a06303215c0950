"""The configuration of a sidecar that has everything on that has to do with failures, and how it changes meanwhile."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BREAKER = {"failures": 5, "least": "500ms", "most": "2s"}
OUTLIER = {"base": "1s", "most": "2s", "interval": "1s"}
# So that what is left open is left open by mistake.
POOL = {"idle_timeout": "1s"}


@dataclass
class Ports:
    """Where everything is: `listeners` by name, the servers of HTTP, and those of Redis by cluster."""

    listeners: dict[str, int]
    web: list[int]
    redis: dict[str, list[int]]
    bus: str


def config(directory: Path, ports: Ports, turn: int = 0) -> str:
    """Return what the file says; each `turn` differs from the one before, and 0 is how it begins and ends."""
    at = {name: f"127.0.0.1:{port}" for name, port in ports.listeners.items()}
    odd = turn % 2
    listeners: dict[str, Any] = {
        "edge": {"bind": at["edge"], "filters": [_shared("edge")], "routes": [_web_route(odd)]},
        "shop": {"bind": at["shop"], "routes": "shop"},
        "raw": {"protocol": "tcp", "bind": at["raw"], "routes": [{"to": "web"}]},
    }
    clusters: dict[str, Any] = {"web": _web(ports.web, odd)}
    for name, servers in ports.redis.items():
        listeners[name] = {"protocol": "redis", "bind": at[name], "routes": _redis_routes(name, odd)}
        clusters[name] = _redis(name, servers, odd)
    if turn % 3 == 1:
        listeners["spare"] = {"bind": at["spare"], "routes": [{"reply": {"status": 204}}]}
    log = {"path": str(directory / "access.log"), "format": "json", "calls": "all"}
    return json.dumps(
        {
            "access_log": log,
            "redis": ports.bus,
            "node": {"id": "chaos"},
            "listeners": listeners,
            "routes": {"shop": [{"to": "web"}]},
            "clusters": clusters,
        }
    )


def on_the_bus(turn: int) -> str:
    """Return what the bus says of the routes of one listener."""
    return json.dumps({"routes": {"shop": [{**_web_route(turn % 2), "timeout": f"{2000 + turn}ms"}]}})


def _shared(name: str) -> dict[str, Any]:
    """A limit that is counted at the bus, and reached now and then."""
    return {"ratelimit": {"rate": "200/s", "burst": 100, "key": ["header:x-team"], "shared": name, "headers": True}}


def _web_route(odd: int) -> dict[str, Any]:
    retry = {
        "attempts": 3 + odd,
        "when": ["connect_failed", "reset", "5xx"],
        "per_try_timeout": "1s",
        "hedge": "300ms" if odd else "500ms",
    }
    return {
        "filters": [{"ratelimit": {"rate": "100000/s"}}, {"admission": {"mode": "shadow"}}, "coalesce"],
        "retry": retry,
        "timeout": "3s",
        "to": "web",
    }


def _web(servers: list[int], odd: int) -> dict[str, Any]:
    return {
        "endpoints": [f"127.0.0.1:{each}" for each in servers],
        "balance": "least_request" if odd else "round_robin",
        "breaker": {**BREAKER, "shared": 1},
        "outlier": {**OUTLIER, "shared": 1},
        "limits": {"calls": 20 + odd, "waiting": 10, "wait": "200ms"},
        "health_check": {"interval": "500ms", "timeout": "300ms", "http": "/"},
        "connect_timeout": "500ms",
        "pool": POOL,
    }


def _redis_routes(name: str, odd: int) -> list[dict[str, Any]]:
    route: dict[str, Any] = {
        "retry": {"attempts": 3, "when": ["connect_failed", "reset", "loading"], "hedge": "300ms"},
        "filters": ["coalesce_reads", {"ratelimit": {"rate": "100000/s", "key": ["source"], "shared": "redis"}}],
        "timeout": "2500ms" if odd else "3s",
        "to": name,
    }
    if name != "one":
        return [route]
    kept = {"tracked_cache": {"size": "1MiB", "prefixes": ["kept:"]}}
    return [{"match": {"key": {"prefix": "kept:"}}, "filters": [kept], "timeout": "3s", "to": name}, route]


def _redis(name: str, servers: list[int], odd: int) -> dict[str, Any]:
    topology = {"one": "single", "many": "sharded", "slots": "cluster"}[name]
    redis: dict[str, Any] = {"topology": topology, "silence": "10s"}
    if topology == "cluster":
        redis["refresh"] = "1s"
    return {
        "endpoints": [f"127.0.0.1:{each}" for each in servers],
        "redis": redis,
        "breaker": BREAKER,
        "health_check": {"interval": "500ms", "timeout": "400ms", "redis": True},
        "connect_timeout": "600ms" if odd else "500ms",
        "pool": POOL,
    }

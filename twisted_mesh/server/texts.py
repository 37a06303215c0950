"""How the admin's pages look as text and as JSON."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Any, Iterator, Mapping, Optional, Sequence

from twisted_mesh.server.secrets import NAMES, Hide

REDACTED = "***"
# Of what operators said at run time.
_REMEMBERED = "remembered from disk, as Redis was not read yet"
_PRIVATE_KEY = "PRIVATE KEY-----"
_SECRET = re.compile(NAMES, re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(r"([a-z][a-z0-9+.-]*://[^\s/@:]*):[^\s/]*@", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(rf"([?&;][^\s=&;]*(?:{NAMES})[^\s=&;]*=)[^\s&;#]*", re.IGNORECASE)


def table(rows: Sequence[Sequence[object]]) -> str:
    """Return rows as aligned columns."""
    shown = [[str(each) for each in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in shown
    )


def json_text(value: object) -> str:
    """Return a value as JSON for people."""
    return json.dumps(value, indent=2, default=str, ensure_ascii=False)


def clusters(described: Sequence[Mapping[str, Any]]) -> str:
    """Return what /clusters says as text: a line for each cluster and one for each endpoint.

    What is in force and what is observed stand first, then what is declared, then what an operator said at run time.
    """
    parts = []
    for each in described:
        usable, endpoints = each["usable"], each["endpoints"]
        state = "ready" if each["ready"] else "not ready"
        notes = [state, each["balance"], f"{len(usable)} of {len(endpoints)} endpoints usable"]
        if each["panicking"]:
            notes.append("panicking: too few are healthy, so all are used")
        notes += shares(each.get("zones"), each.get("warming"))
        notes += _limits(each.get("room"), each.get("connections"))
        notes += _retries(each.get("retries"))
        switched = each.get("maintenance")
        if switched and not each["trouble"].startswith("under maintenance"):
            notes.append(f"under maintenance for {switched['percent']:g} % of the calls by {switched['author']}")
        if each["trouble"]:
            notes.append(each["trouble"])
        if switched and switched["remembered"]:
            notes.append(f"the maintenance is {_REMEMBERED}")
        parts.append(f"{each['name']}: {', '.join(notes)}\n")
        parts += [f"  {name}: {_name(about)}\n" for name, about in each["names"].items()]
        if each["registry"] is not None:
            parts += [f"  {line}\n" for line in _registry(each["registry"])]
        if each.get("redis"):
            parts += [f"  {line}\n" for line in _redis(each["redis"])]
        if endpoints:
            parts += [f"  {line}\n" for line in table(_endpoint_rows(endpoints)).splitlines()]
    return "".join(parts) or "no clusters"


def _redis(described: Mapping[str, Any]) -> Iterator[str]:
    """Say how the Redis servers of a cluster belong together."""
    if described.get("trouble"):
        yield f"redis {described['topology']}: {described['trouble']}"
    for group in described["groups"]:
        primary = group["primary"] or "none"
        replicas = f", replicas {' '.join(group['replicas'])}" if group["replicas"] else ""
        named = "" if group["name"] == primary else f" {group['name']}"
        yield f"redis {described['topology']}{named}: primary {primary}{replicas}"


def shares(zones: Optional[Mapping[str, float]], warming: Optional[Mapping[str, float]]) -> Iterator[str]:
    """Say what makes the shares of endpoints other than their weights."""
    if zones:
        yield f"zones: {', '.join(f'{zone or repr(zone)} {100 * share:.0f} %' for zone, share in zones.items())}"
    if warming:
        each = ", ".join(f"{address} at {percent:g} %" for address, percent in list(warming.items())[:10])
        yield f"{len(warming)} warming up: {each}{', ...' if len(warming) > 10 else ''}"


def _limits(room: Optional[Mapping[str, Any]], connections: Optional[Mapping[str, Any]]) -> Iterator[str]:
    """Say how far the limits of a cluster are used up."""
    if room:
        yield f"{room['calls']} of {room['limits']['calls']} calls, {room['waiting']} waiting"
        for name, own in room.get("priorities", {}).items():
            yield f"{own['calls']} of {own['limits']['calls']} calls with priority {name}, {own['waiting']} waiting"
    if connections:
        most = "" if connections["limit"] is None else f" of {connections['limit']}"
        yield f"{connections['open']}{most} connections, {connections['waiting']} waiting"
        for name, own in connections.get("priorities", {}).items():
            yield f"{own['open']} of {own['limit']} connections for priority {name}, {own['waiting']} waiting"


def _retries(retries: Optional[Mapping[str, Any]]) -> Iterator[str]:
    if retries:
        if retries["limit"] is not None:
            yield f"{retries['active']} of {retries['limit']} retries"
        for name, own in retries.get("priorities", {}).items():
            yield f"{own['active']} of {own['limit']} retries for priority {name}"


def _name(about: Mapping[str, Any]) -> str:
    addresses = ", ".join(about["addresses"]) or "no address"
    return f"{addresses} ({about['problem']})" if about["problem"] else addresses


def _registry(about: Mapping[str, Any]) -> Iterator[str]:
    """Say what is known of the registry: where its endpoints come from, and which of them are in doubt."""
    subset = " ".join(f"{key}={value}" for key, value in about["subset"].items())
    service = f"service {about['service']}{' ' + subset if subset else ''}"
    if about["synced"]:
        yield f"{service}: version {about['version']}, in step with the registry"
    else:
        since = f" since {_time(about['stale_since'])}" if about["stale_since"] else ""
        yield f"{service}: version {about['version']}, not in step with the registry{since}"
    if about["kept_until"] is not None:
        yield f"{service}: the registry knows no instance any more; those before are kept"
    for id, doubt in about["suspects"].items():
        yield f"{service}: {id} is a suspect until {_time(doubt['until'])}: {doubt['reason']}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _declared(endpoint: Mapping[str, Any]) -> str:
    about = endpoint["declared"]
    return " ".join(str(each) for each in (about["weight"], about["status"], about["instance"]) if each)


def _override(about: Optional[Mapping[str, Any]]) -> str:
    if about is None:
        return "-"
    what = f"weight {about['weight']}" if about["kind"] == "weight" else about["kind"]
    until = f" until {_time(about['until'])}" if about["until"] else ""
    why = f": {about['reason']}" if about["reason"] else ""
    remembered = f" ({_REMEMBERED})" if about["remembered"] else ""
    return f"{what} by {about['author'] or 'nobody'}{until}{why}{remembered}"


def _held(endpoint: Mapping[str, Any]) -> str:
    """Say why calls have shown an endpoint to be no good."""
    conduct = endpoint.get("conduct")
    return str(conduct["held"]) if conduct else ""


def _endpoint_rows(endpoints: Sequence[Mapping[str, Any]]) -> list[list[object]]:
    rows: list[list[object]] = [
        [
            *("ADDRESS", "STATE", "WEIGHT", "ZONE", "ACTIVE", "SUCCEEDED", "FAILED", "REASON"),
            *("DECLARED", "OVERRIDE", "CONNECTIONS"),
        ]
    ]
    for each in endpoints:
        connections = "; ".join(f"{protocol} {pool}" for protocol, pool in each["connections"].items())
        rows.append(
            [
                f"{each['address']} ({each['name']})" if each["name"] else each["address"],
                each["state"],
                each["weight"],
                each["zone"] or "-",
                each["active"],
                each["successes"],
                each["failures"],
                each["out"] or _held(each) or each["doubt"] or each["reason"] or "-",
                _declared(each),
                _override(each["override"]),
                connections or "-",
            ]
        )
    return rows


def listeners(described: Sequence[Mapping[str, Any]]) -> str:
    """Return what /listeners says as text."""
    rows: list[list[object]] = [["NAME", "PROTOCOL", "ADDRESSES", "STATE", "CONNECTIONS", "CALLS"]]
    for each in described:
        state = "leaving" if each["leaving"] else "accepting" if each["accepting"] else "closed"
        addresses = " ".join(each["addresses"]) or "-"
        rows.append([each["name"], each["protocol"], addresses, state, each["connections"], each["active_calls"]])
    return table(rows)


# --- the configuration


def config_as_json(about: Mapping[str, object], config: Any, hide: Hide = str) -> str:
    """Return a configuration as JSON, without its secrets.

    :param hide: takes out of a text what else must not be shown.
    """
    return json_text(
        {
            **redacted(about, hide=hide),
            "config": None if config is None else redacted(config.model_dump(mode="json"), hide=hide),
        }
    )


def config_as_text(about: Mapping[str, object], config: Any, hide: Hide = str) -> str:
    """Return a configuration as YAML, without its secrets.

    :param hide: takes out of a text what else must not be shown.
    """
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    notes = redacted(about, hide=hide)
    head = "".join(f"# {line}\n" for name, value in notes.items() for line in _comment(name, value))
    if config is None:
        return head
    text: str = yaml.dump(
        redacted(config.model_dump(mode="json"), hide=hide), Dumper=dumper, sort_keys=False, allow_unicode=True
    )
    return head + text


def _comment(name: str, value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _comment(f"{name}: {key}", each)
    elif isinstance(value, (list, tuple)) and value:
        for each in value:
            yield from _comment(name, each)
    else:
        yield from (f"{name}: {line}" for line in str(value or "no").splitlines())


def redacted(value: Any, name: str = "", hide: Hide = str) -> Any:
    """Return a copy in which secrets are `REDACTED`: by their names, passwords in URLs, private keys in PEM."""
    if isinstance(value, dict):
        return {key: redacted(each, str(key), hide) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(each, name, hide) for each in value]
    if not isinstance(value, str) or not value:
        return value
    if _SECRET.search(name) or _PRIVATE_KEY in value:
        return REDACTED
    hidden = hide(value)
    return _SECRET_PARAMETER.sub(rf"\1{REDACTED}", _PASSWORD_IN_URL.sub(rf"\1:{REDACTED}@", hidden))

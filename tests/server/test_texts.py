"""Tables, and configurations without their secrets."""

from __future__ import annotations

import json
import re

import pytest

from twisted_mesh.model import Config
from twisted_mesh.server import texts
from twisted_mesh.server.texts import config_as_json, config_as_text, redacted, table


def test_columns_are_aligned() -> None:
    assert table([["a", 1, "x"], ["long", 22, ""]]) == "a     1   x\nlong  22\n"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("url", "redis://user:hunter2@host:6379/0", "redis://user:***@host:6379/0"),
        ("url", "redis://:p@ss@host", "redis://:***@host"),
        ("url", "https://host/path?a=1&token=xyz&b=2", "https://host/path?a=1&token=***&b=2"),
        ("url", "https://host:8080/a:b@c", "https://host:8080/a:b@c"),
        ("url", "https://user@host/", "https://user@host/"),
        ("authorization", "Bearer x", "***"),
        ("x-auth", "x", "***"),
        ("Cookie", "x", "***"),
        ("X-Api-Key", "x", "***"),
        ("client_secret", "x", "***"),
        ("key", "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n", "***"),
        ("certificate", "-----BEGIN CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\nx", "***"),
        ("ca", "-----BEGIN CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\n"),
        ("password", "", ""),
        ("authority", "shop.example", "shop.example"),
        ("author", "me", "me"),
        ("passwords", ["a", "b"], ["***", "***"]),
        ("weight", 3, 3),
    ],
)
def test_secrets_are_not_shown(name: str, value: object, shown: object) -> None:
    assert redacted({"a": [{name: value}]}) == {"a": [{name: shown}]}


def test_a_configuration_can_be_read_back_but_for_its_secrets() -> None:
    config = Config.model_validate(
        {
            "listeners": {"edge": {"protocol": "http", "bind": "127.0.0.1:8080", "routes": "shop"}},
            "routes": {"shop": [{"to": "api"}, {"redirect": {"url": "https://u:hunter2@h/"}}]},
            "clusters": {"api": {"endpoints": ["127.0.0.1:9001"]}},
        }
    )
    text = config_as_text({"version": 1}, config)
    shown = json.loads(config_as_json({"version": 1}, config))
    assert "hunter2" not in text and "u:***@h" in text
    assert shown["version"] == 1
    again = Config.model_validate(shown["config"])
    assert again.clusters == config.clusters
    assert again.listeners == config.listeners


def test_clusters_show_the_shares_of_zones_and_who_warms_up() -> None:
    described = {
        "name": "api",
        "ready": True,
        "balance": "random",
        "usable": ["a:1"],
        "endpoints": [],
        "panicking": False,
        "trouble": "",
        "names": {},
        "registry": None,
        "zones": {"a": 0.7, "others": 0.3},
        "warming": {"a:1": 12.5},
    }
    shown = texts.clusters([described])
    assert "zones: a 70 %, others 30 %, 1 warming up: a:1 at 12.5 %" in shown
    assert "..." in texts.clusters([{**described, "warming": {f"a:{port}": 10.0 for port in range(12)}}])


def test_clusters_show_how_far_their_limits_are_used_up() -> None:
    about = {
        "name": "web",
        "balance": "random",
        "ready": True,
        "panicking": False,
        "trouble": "",
        "usable": [],
        "endpoints": [],
        "names": {},
        "registry": None,
        "connections": {
            "open": 3,
            "limit": None,
            "waiting": 0,
            "priorities": {"low": {"open": 1, "limit": 2, "waiting": 4}},
        },
        "retries": {"active": 1, "limit": 5, "priorities": {"high": {"active": 0, "limit": 2}}},
    }
    first = texts.clusters([about]).splitlines()[0]
    assert "3 connections, 0 waiting, 1 of 2 connections for priority low, 4 waiting" in first
    assert "1 of 5 retries, 0 of 2 retries for priority high" in first


def test_clusters_show_what_is_declared_and_what_an_operator_said_apart() -> None:
    endpoint = {
        "address": "127.0.0.1:1",
        "name": "",
        "state": "healthy",
        "weight": 7,
        "zone": "a",
        "active": 1,
        "successes": 2,
        "failures": 3,
        "reason": "connected",
        "out": "",
        "doubt": "",
        "declared": {"weight": 1, "instance": "web-1", "status": "up"},
        "override": {
            **{"kind": "weight", "weight": 7, "author": "me", "reason": "a test"},
            **{"until": 86400.0, "remembered": False},
        },
        "connections": {},
    }
    drained = {**endpoint, "address": "127.0.0.1:2", "out": "drain by me", "override": None}
    registry = {
        "service": "web",
        "subset": {"version": "v1"},
        "version": 12,
        "synced": False,
        "stale_since": 86400.0,
        "kept_until": 5.0,
        "suspects": {"web-1": {"until": 90000.0, "reason": "2 of 3 leases ran out together"}},
    }
    cluster = {
        "name": "web",
        "balance": "random",
        "ready": True,
        "panicking": False,
        "trouble": "",
        "usable": ["127.0.0.1:1"],
        "endpoints": [endpoint, drained],
        "names": {},
        "registry": registry,
    }
    lines = [re.sub("  +", "  ", line) for line in texts.clusters([cluster]).splitlines()]
    columns = "ADDRESS  STATE  WEIGHT  ZONE  ACTIVE  SUCCEEDED  FAILED  REASON  DECLARED  OVERRIDE  CONNECTIONS"
    override = "weight 7 by me until 1970-01-02T00:00:00Z: a test"
    assert lines == [
        "web: ready, random, 1 of 2 endpoints usable",
        "  service web version=v1: version 12, not in step with the registry since 1970-01-02T00:00:00Z",
        "  service web version=v1: the registry knows no instance any more; those before are kept",
        "  service web version=v1: web-1 is a suspect until 1970-01-02T01:00:00Z: 2 of 3 leases ran out together",
        f"  {columns}",
        f"  127.0.0.1:1  healthy  7  a  1  2  3  connected  1 up web-1  {override}  -",
        "  127.0.0.1:2  healthy  7  a  1  2  3  drain by me  1 up web-1  -  -",
    ]
    remembered = {**endpoint, "override": {**endpoint["override"], "remembered": True}}
    switched = {"percent": 50, "author": "ann", "remembered": True}
    line, *_, last = texts.clusters([{**cluster, "endpoints": [remembered], "maintenance": switched}]).splitlines()
    assert line.endswith(
        "under maintenance for 50 % of the calls by ann, "
        "the maintenance is remembered from disk, as Redis was not read yet"
    )
    assert f"{override} (remembered from disk, as Redis was not read yet)" in last
    synced = {**cluster, "registry": {**registry, "synced": True, "kept_until": None, "suspects": {}}}
    assert texts.clusters([synced]).splitlines()[1] == "  service web version=v1: version 12, in step with the registry"


def test_comments_show_what_is_inside() -> None:
    about = {"version": 3, "bus": {"trouble": "", "refused": ["one", "two"]}, "resources": {"clusters/web": "file"}}
    assert texts.config_as_text(about, None).splitlines() == [
        "# version: 3",
        "# bus: trouble: no",
        "# bus: refused: one",
        "# bus: refused: two",
        "# resources: clusters/web: file",
    ]

"""Tables, and configurations without their secrets."""

from __future__ import annotations

import json

import pytest

from twisted_mesh.model import Config
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

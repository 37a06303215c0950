"""The whole configuration as a value."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from twisted_mesh.model import AccessLog, Address, Config, Drain, Node

WRITTEN: dict[str, Any] = {
    "mesh": "shop",
    "node": {"id": "web-1", "labels": {"a": "b"}},
    "admin": "unix:/run/admin.sock",
    "listeners": {
        "edge": {
            "bind": ["127.0.0.1:80", {"address": "unix:/a", "mode": "0600"}],
            "routes": [
                {"to": {"a": 3, "b": 1}, "filters": ["x", {"y": {"z": 1, "mode": "shadow"}}], "timeout": "off"},
                {"redirect": {"path": "/b"}, "match": {"path": {"prefix": "/a"}}},
                {"reply": {"status": 404}, "retry": "off", "body_limit": "1MiB", "max_duration": "90s"},
            ],
            "access_log": "off",
        }
    },
    "routes": {"shop": [{"to": [{"cluster": "a", "headers": {"set": {"x": "y"}}}]}]},
    "clusters": {
        "a": {"endpoints": ["x:1"], "health_check": {"http": "/h", "expect": [200, "300-399"]}},
        "b": {"endpoints": [{"address": "unix:/b", "weight": 2}], "health_check": {"tcp": True}},
    },
}


def test_an_empty_configuration_has_the_defaults() -> None:
    config = Config.model_validate({})
    assert config == Config()
    assert config.node == Node()
    assert config.admin == Address("127.0.0.1", 9901)
    assert config.access_log == AccessLog(path="-", format="json")
    assert config.drain == Drain(limit=30.0, wait=1.0)
    assert (config.mesh, config.workers) == ("default", 1)
    assert (config.listeners, config.routes, config.clusters) == ({}, {}, {})


def test_a_configuration_reads_back_from_its_json() -> None:
    config = Config.model_validate(WRITTEN)
    dumped = config.model_dump(mode="json")
    assert Config.model_validate(dumped, context={}) == config
    assert Config.model_validate(dumped, context={}).model_dump(mode="json") == dumped
    assert dumped["listeners"]["edge"]["routes"][0]["timeout"] == "off"
    assert dumped["listeners"]["edge"]["http"]["limits"]["header_bytes"] == "60KiB"
    assert dumped["clusters"]["a"]["health_check"]["expect"] == ["200", "300-399"]


def test_a_configuration_travels_between_processes() -> None:
    config = Config.model_validate(WRITTEN)
    assert pickle.loads(pickle.dumps(config)) == config


@pytest.mark.parametrize("workers", [2, 0, "auto"])
def test_more_workers_come_later(workers: Any) -> None:
    with pytest.raises(ValidationError, match="known, not supported yet"):
        Config.model_validate({"workers": workers})


@pytest.mark.parametrize("workers", ["many", 1.0, True, None])
def test_what_is_no_number_of_workers_is_refused(workers: Any) -> None:
    with pytest.raises(ValidationError, match="expected 1"):
        Config.model_validate({"workers": workers})


def test_a_listener_without_an_access_log_of_its_own_has_the_common_one() -> None:
    base = {"bind": "127.0.0.1:80", "routes": []}
    listeners = {"a": base, "b": {**base, "access_log": "off"}, "c": {**base, "access_log": {"path": "c.log"}}}
    config = Config.model_validate({"listeners": listeners, "access_log": {"format": "text"}})
    logs = {name: config.access_log_of(each) for name, each in config.listeners.items()}
    assert logs == {"a": AccessLog(format="text"), "b": None, "c": AccessLog(path="c.log")}


def test_the_admin_and_the_access_log_may_be_off() -> None:
    config = Config.model_validate({"admin": "off", "access_log": "off"})
    assert config.admin is None
    assert config.access_log is None

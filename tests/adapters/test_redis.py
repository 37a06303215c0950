"""The adapter of a listener: its clients, its options."""

from __future__ import annotations

import pytest

from tests.adapters.redis_listening import Client
from twisted_mesh.call import Call
from twisted_mesh.interfaces import Observer
from twisted_mesh.model import RedisOptions


def test_connections_are_counted() -> None:
    client = Client()
    other, _ = client.connect()
    count = client.env.count
    assert client.adapter.connections == 2
    assert count("twisted_mesh_downstream_connections_total", "redis", "cache") == 2
    assert count("twisted_mesh_downstream_connections_active", "redis", "cache") == 2
    client.leave()
    assert count("twisted_mesh_downstream_connections_active", "redis", "cache") == 1
    assert client.adapter.active == 0
    assert other in client.adapter.open


def test_options_hold_for_open_connections_at_once() -> None:
    client = Client()
    client.send(("SELECT", "15"))
    assert client.heard == b"+OK\r\n"
    client.adapter.configure(RedisOptions.model_validate({"databases": 4, "idle_timeout": "1s"}))
    client.send(("SELECT", "5"))
    assert client.heard == b"-ERR DB index is out of range\r\n"
    for _ in range(4):
        client.env.time.advance(0.5)
    assert client.transport.disconnecting


def test_those_that_observe_see_what_was_no_command() -> None:
    class Seeing(Observer):
        observe = staticmethod(lambda call: seen.append(call))  # noqa: PLW0108

    seen: list[Call] = []
    client = Client()
    client.adapter.observers = [Seeing()]
    client.send(b"*x\r\n")
    assert [(call.flags, call.details, call.peer) for call in seen] == [
        (("DPE",), "invalid multibulk length", "192.0.2.1:5")
    ]


def test_without_a_chain_a_command_fails() -> None:
    client = Client()
    adapter = type(client.adapter)("bare", RedisOptions(), client.env)
    with pytest.raises(RuntimeError, match="before the listener had a chain"):
        adapter.chain(None)  # type: ignore[arg-type]

"""How many neighbours may travel together."""

from __future__ import annotations

from tests.adapters.redis_client import Client
from twisted_mesh.adapters.redis_rows import Rows
from twisted_mesh.adapters.redis_runs import runs_of
from twisted_mesh.codec.resp_request_scan import Found
from twisted_mesh.families import Families
from twisted_mesh.metrics import Registry
from twisted_mesh.policy.apart import Matches, by_key
from twisted_mesh.policy.match import Conditions


def found(text: str) -> list[Found]:
    words = [each.encode().split(b":") for each in text.split()]
    return [(name, key, 2, 0, 0) for name, key in words]


def test_neighbours_with_the_same_in_common_are_counted() -> None:
    rows = Rows(Families(Registry()), "cache")
    assert runs_of(found("get:a GET:a Get:b get:b get:b get:a"), rows, by_key) == [2, 1, 3, 2, 1, 1]
    assert runs_of(found("nonsense:a nonsense:b"), rows, by_key) == [2, 1]


def test_commands_for_different_routes_are_calls_of_their_own() -> None:
    client, apart = Client(), Matches()
    apart.add(Conditions(key_prefix="a"))
    client.adapter.apart = apart
    client.send("GET a1", "GET a2", "GET b1", "SET a3 1", "SET b2 1", "SET b3 1", "GET a4")
    assert client.seen == ["GET a1 GET a2", "GET b1", "SET a3 1", "SET b2 1 SET b3 1", "GET a4"]
    client.send("GET a1", "nonsense", "GET a2", "GET b3", "PING", "GET b4")
    assert client.seen[5:] == ["GET a1", "GET a2", "GET b3", "GET b4"]
    # Between two reads it may be another configuration's.
    client.adapter.apart = None
    client.send("GET a1", "GET b1")
    assert client.seen[-1] == "GET a1 GET b1"


def test_long_runs_are_several_calls() -> None:
    client = Client()
    client.adapter.apart = by_key
    client.send(*["GET a"] * 100, *["GET b"] * 3)
    assert [call.count for call, _ in client.calls] == [64, 36, 3]

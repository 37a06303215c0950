"""Redis commands that are tried again, given up for another try, or hedged, against real servers that fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.servers import Conversation, Refused, Server
from tests.support import Mesh, free_port, start_mesh, until

LONG = "60s"


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Server, Server]]:
    """A primary and its replica: both have what the primary is told."""
    primary = Server("--repl-diskless-sync-delay", 0).start()
    replica = Server().start()
    replica("REPLICAOF", "127.0.0.1", primary.port)
    primary("SET", "a", "1")
    until(lambda: replica("GET", "a") == b"1", "the replica has what the primary has")
    yield primary, replica
    replica.stop()
    primary.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    made: list[Mesh] = []

    def mesh(endpoints: list[str], breaker: Any = None, **route: Any) -> Mesh:
        port = free_port()
        config = {
            "access_log": "off",
            "listeners": {
                "cache": {"protocol": "redis", "bind": f"127.0.0.1:{port}", "routes": [{"to": "main", **route}]}
            },
            "clusters": {"main": {"endpoints": endpoints, "balance": "round_robin", "breaker": breaker}},
        }
        made.append(start_mesh(json.dumps(config), tmp_path))
        made[-1].ports["cache"] = port
        return made[-1]

    yield mesh
    for each in made:
        each.stop()


@pytest.fixture
def paused(pair: tuple[Server, Server]) -> Iterator[Server]:
    """The replica, which answers nothing."""
    pair[1].pause()
    yield pair[1]
    pair[1].resume()


def test_a_write_that_a_replica_refuses_goes_to_another(pair: tuple[Server, Server], start: Any) -> None:
    """A server that says so has done nothing: a write may be tried again as well, several of them if all are refused."""
    mesh = start([each.address for each in pair], retry={"when": ["read_only"], "budget": "off"})
    with Conversation(mesh.ports["cache"]) as link:
        assert [link("SET", f"b{at}", at) for at in range(6)] == [b"OK"] * 6
        assert [link("INCR", "counted") for _ in range(4)] == [1, 2, 3, 4]
    assert mesh.metric("twisted_mesh_upstream_retries_total", cluster="main") >= 3


def test_without_that_condition_the_client_hears_it(pair: tuple[Server, Server], start: Any) -> None:
    mesh = start([pair[1].address])
    with Conversation(mesh.ports["cache"]) as link, pytest.raises(Refused, match="READONLY"):
        link("SET", "a", "2")


def test_a_read_that_hangs_is_given_up_for_another(pair: tuple[Server, Server], paused: Server, start: Any) -> None:
    retry = {"per_try_timeout": "200ms", "budget": "off"}
    mesh = start([pair[0].address, paused.address], timeout=LONG, retry=retry)
    with Conversation(mesh.ports["cache"]) as link:
        assert [link("GET", "a") for _ in range(3)] == [b"1"] * 3
    assert mesh.metric("twisted_mesh_upstream_retries_total", cluster="main") >= 1


def test_a_write_that_hangs_is_not_sent_twice(paused: Server, start: Any) -> None:
    mesh = start([paused.address], timeout=LONG, retry={"per_try_timeout": "200ms", "budget": "off"})
    with Conversation(mesh.ports["cache"]) as link, pytest.raises(Refused, match=r"MESHTIMEOUT.*0\.2 s of a try"):
        link("SET", "a", "2")
    assert mesh.metric("twisted_mesh_upstream_retries_total", cluster="main") == 0


def test_slow_reads_are_hedged(pair: tuple[Server, Server], paused: Server, start: Any) -> None:
    mesh = start([pair[0].address, paused.address], timeout=LONG, retry={"hedge": "50ms", "budget": "off"})
    with Conversation(mesh.ports["cache"]) as link:
        assert [link("GET", "a") for _ in range(4)] == [b"1"] * 4
    assert mesh.metric("twisted_mesh_upstream_hedges_total", cluster="main", result="won") >= 2


def test_the_routes_timeout_is_the_most(paused: Server, start: Any) -> None:
    mesh = start([paused.address], timeout="300ms", retry={"per_try_timeout": "200ms", "attempts": 50, "budget": "off"})
    with Conversation(mesh.ports["cache"]) as link, pytest.raises(Refused, match="MESHTIMEOUT"):
        link("GET", "a")


def test_a_server_that_says_it_can_do_nothing_is_left_out(pair: tuple[Server, Server], start: Any) -> None:
    """A replica without its primary that is not to answer from what it has; it is taken back when it does again."""
    alone = Server("--replica-serve-stale-data", "no").start()
    try:
        alone("REPLICAOF", "127.0.0.1", free_port())
        mesh = start([pair[0].address, alone.address], breaker={"failures": 3, "least": "1s", "most": "1s"})
        said = set()
        with Conversation(mesh.ports["cache"]) as link:
            for _ in range(20):
                # What a user got wrong says nothing of the server that answers so.
                with pytest.raises(Refused) as refused:
                    link("LLEN", "a")
                said.add(str(refused.value).partition(" ")[0])
            assert said == {"WRONGTYPE", "MASTERDOWN"}
            shown = mesh.get("/clusters").text
            assert shown.count("breaker open") + shown.count("half-open") == 1, shown
            alone("REPLICAOF", "NO", "ONE")
            until(lambda: link("GET", "a") is None, "the server that was left out answers")
    finally:
        alone.stop()

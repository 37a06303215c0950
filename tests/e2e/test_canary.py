"""A canary with real sidecars and real traffic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bus import Operator
from tests.servers import Server
from tests.support import Mesh, free_port, free_ports, request, until
from twisted_mesh.bus.resource import Draft
from twisted_mesh.bus.store import Trial
from twisted_mesh.policy.canary import place

# The first is the canary of two.
NODES = sorted(["web-1", "web-2"], key=place)


@pytest.fixture
def pair(mesh: Any, tmp_path: Path, redis_server: Server, http_upstream: Any) -> list[tuple[int, Mesh]]:
    """Two sidecars before one upstream, with the port of each."""
    upstream = http_upstream("good")
    started = []
    for node, port in zip(NODES, free_ports(2)):
        text = (
            f"node: {{id: {node}}}\nstate: {tmp_path / 'state'}\n"
            f"listeners: {{edge: {{bind: '127.0.0.1:{port}', routes: shop}}}}\nroutes: {{shop: [{{to: web}}]}}\n"
            f"clusters: {{web: {{endpoints: ['{upstream.address}']}}}}"
        )
        directory = tmp_path / node
        directory.mkdir()
        started.append((port, mesh(text, env={"MESH_REDIS": redis_server.url}, directory=directory)))
    return started


def begin(operator: Operator, value: Any, **settings: Any) -> int:
    """Begin a canary for the first of the two, once both have reported."""
    for node in NODES:
        until(lambda node=node: operator.sidecar(node))
    trial, who = Trial(0.5, **settings), {"author": "ann", "reason": "a try"}
    written = operator.ask(lambda: operator.store.apply({"clusters/web": Draft(value)}, canary=trial, **who))
    version: int = written.version
    for node in NODES:
        operator.acknowledged(node, version)
    return version


def test_a_canary_whose_calls_fail_rolls_itself_back(pair: Any, operator: Operator) -> None:
    (port, _), (other, _) = pair
    version = begin(operator, {"endpoints": [f"127.0.0.1:{free_port()}"]}, least_calls=5)
    assert request(other).text == "good /"
    # Told before the canary's calls are, which end it at once where it is old enough to be judged.
    until(lambda: operator.sidecar(NODES[1]).report.calls == 1, "a report of the other's call")  # type: ignore[union-attr]
    for _ in range(5):
        assert request(port).status == 503
    ended = until(lambda: operator.ask(lambda: operator.store.rolled_back(version)))
    assert "of the canaries 100.0 % of 5 calls failed, of the others 0.0 % of 1" in ended.reason
    until(lambda: request(port).text == "good /")


def test_a_canary_that_does_well_is_promoted(pair: Any, operator: Operator, http_upstream: Any) -> None:
    (port, _), (other, _) = pair
    begin(operator, {"endpoints": [http_upstream("better").address]})
    assert (request(port).text, request(other).text) == ("better /", "good /")
    operator.ask(lambda: operator.store.promote(author="ann", reason="it is better"))
    until(lambda: request(other).text == "better /")
    assert request(port).text == "better /"

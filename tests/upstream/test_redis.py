"""Which server gets which command, where all are alike."""

from __future__ import annotations

import pytest

from tests.filters.redis_calls import several
from tests.upstream.redis_servers import Upstream
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.redis_pending import Pending


def test_a_call_goes_to_an_endpoint_of_the_cluster() -> None:
    upstream = Upstream()
    pending = upstream.send("GET a")
    assert pending.call.endpoint is upstream.endpoint
    assert pending.call.attempts == 1
    assert upstream.endpoint.active == 1


def test_without_an_endpoint_there_is_an_error() -> None:
    upstream = Upstream()
    upstream.cluster.replace("", [])
    with pytest.raises(MeshError) as caught:
        upstream.send("GET a")
    assert caught.value.kind is Kind.NO_ENDPOINT


def test_the_waiter_of_a_call_is_what_its_first_try_returns() -> None:
    upstream = Upstream()
    first = upstream.send("GET a")
    call = first.call
    call.waiter = first
    assert upstream.give(call) is first
    assert upstream.give(call) is not first


def test_what_cannot_be_sent_straight_away_costs_nobody_a_turn() -> None:
    upstream = Upstream(endpoints=2, balance="round_robin")
    went = []
    for _ in range(6):
        call = several("GET a")
        assert not upstream.forward.straight(Pending(call))
        went.append(upstream.give(call).call.endpoint)
    assert went == [went[0], went[1]] * 3 and went[0] is not went[1]

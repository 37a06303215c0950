"""Sessions stay where they began."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from tests.upstream.fakes import FakeConnector, FakeEnv, a_call, cluster_config
from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.headers import Headers
from twisted_mesh.upstream.affinity import Marking, token
from twisted_mesh.upstream.cluster import Cluster

ADDRESSES = [f"127.0.0.1:{port}" for port in range(1, 6)]
A, B = ADDRESSES[:2]


def a_cluster(affinity: Any, env: Optional[FakeEnv] = None, **options: Any) -> Cluster:
    config = cluster_config(*ADDRESSES, affinity=affinity, **options)
    made = Cluster("api", config, env or FakeEnv(), FakeConnector())  # type: ignore[arg-type]
    made.start()
    return made


def a_session(value: str, *, header: str = "", tried: tuple[Any, ...] = ()) -> Call:
    call = a_call(tried)
    if header:
        call.headers.add(header, value)
    else:
        call.headers.add("cookie", f"theme=dark; at={value}")
    return call


def replied(cluster: Cluster, call: Call) -> Reply:
    """The reply that a call gets."""

    async def forward(call: Call) -> Reply:
        call.endpoint = cluster.pick(call)
        return Reply(200, Headers.of([("set-cookie", "other=1")]))

    assert cluster.picks.affinity is not None
    coroutine: Any = Marking(cluster.picks.affinity, forward)(call)
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    reply: Reply = stop.value.value
    return reply


@pytest.mark.parametrize("balance", ["round_robin", "least_request", "peak_ewma", "maglev"])
def test_a_session_stays(balance: str) -> None:
    cluster = a_cluster({"cookie": "at"}, balance=balance)
    for each in ADDRESSES:
        assert {cluster.pick(a_session(token(each))).address for _ in range(20)} == {each}
    cluster.stop()


def test_the_first_reply_says_where_it_is_and_the_next_ones_do_not() -> None:
    cluster = a_cluster({"cookie": {"name": "at", "ttl": "1h", "path": "/shop", "secure": True}})
    call = a_call()
    reply = replied(cluster, call)
    assert call.endpoint is not None
    found = token(call.endpoint.address)
    cookie = f"at={found}; Path=/shop; HttpOnly; SameSite=Lax; Max-Age=3600; Secure"
    assert reply.headers.get_all("set-cookie") == ["other=1", cookie]
    assert replied(cluster, a_session(found)).headers.get_all("set-cookie") == ["other=1"]
    cluster.stop()


def test_by_a_header_every_reply_says_it() -> None:
    cluster = a_cluster({"header": "x-at"})
    call = a_session(token(B), header="x-at")
    for _ in range(2):
        assert replied(cluster, call).headers.get("x-at") == token(B)
        assert call.endpoint is not None and call.endpoint.address == B
    cluster.stop()


def test_a_session_moves_when_its_endpoint_is_out_and_is_told_so() -> None:
    cluster = a_cluster({"cookie": "at"})
    cluster.endpoints[0].out = "drain by somebody"
    cluster.refresh()
    call = a_session(token(A))
    cookie = replied(cluster, call).headers.get_all("set-cookie")[1]
    assert call.endpoint is not None and call.endpoint.address != A
    assert cookie.startswith(f"at={token(call.endpoint.address)};")
    cluster.stop()


def test_no_session_moves_because_its_endpoint_waits_for_its_first_check() -> None:
    cluster = a_cluster({"cookie": "at", "strict": True}, health_check={"tcp": True})
    one, two, *others = cluster.endpoints
    for each in (two, *others):
        each.checked = each.healthy = True
    one.checked, one.healthy = False, True
    cluster.refresh()
    assert A not in {cluster.pick(a_call()).address for _ in range(50)}
    assert cluster.pick(a_session(token(A))) is one
    cluster.stop()


def test_another_try_goes_elsewhere() -> None:
    cluster = a_cluster({"cookie": "at"})
    one = cluster.endpoints[0]
    assert A not in {cluster.pick(a_session(token(A), tried=(one,))).address for _ in range(50)}
    cluster.stop()


def test_one_that_cannot_be_connected_to_rests() -> None:
    cluster = a_cluster({"cookie": "at"})
    cluster.unreachable(cluster.endpoints[0])
    assert cluster.pick(a_session(token(A))).address != A
    cluster.stop()


def test_strict_sessions_fail_rather_than_move() -> None:
    cluster = a_cluster({"cookie": "at", "strict": True})
    one = cluster.endpoints[0]
    assert cluster.pick(a_session(token(A), tried=(one,))) is one
    cluster.unreachable(one)
    assert cluster.pick(a_session(token(A))) is one
    one.out = "maintenance by somebody"
    cluster.refresh()
    with pytest.raises(MeshError, match=r"the endpoint of the session 127\.0\.0\.1:1 takes no calls") as raised:
        cluster.pick(a_session(token(A)))
    assert raised.value.kind is Kind.NO_ENDPOINT
    with pytest.raises(MeshError, match="the endpoint of the session is not there any more"):
        cluster.pick(a_session(token("10.9.9.9:80")))
    assert cluster.pick(a_call()).address != A
    cluster.stop()


@pytest.mark.parametrize("strict", [False, True])
def test_what_nobody_has_said_means_nothing(strict: bool) -> None:
    cluster = a_cluster({"cookie": "at", "strict": strict})
    assert {cluster.pick(a_session("x")).address for _ in range(100)} == set(ADDRESSES)
    assert {cluster.pick(a_session("")).address for _ in range(100)} == set(ADDRESSES)
    cluster.stop()


def test_an_endpoint_on_probation_is_asked_by_its_own_session() -> None:
    env = FakeEnv()
    cluster = a_cluster({"cookie": "at"}, env=env, breaker={"failures": 1})
    one = cluster.endpoints[0]
    assert one.conduct is not None
    failed = a_session(token(A))
    assert cluster.pick(failed) is one
    one.conduct.ended(failed, 503, None, 0.1, None)
    assert cluster.pick(a_session(token(A))) is not one
    env.clock.advance(2.0)
    assert cluster.pick(a_session(token(A))) is one
    assert cluster.pick(a_session(token(A))) is not one
    cluster.stop()

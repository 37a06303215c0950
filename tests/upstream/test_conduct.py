"""What tries show of endpoints."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from tests.upstream.fakes import FakeConnector, FakeEnv, a_call, cluster_config
from twisted_mesh.chain import Driver
from twisted_mesh.errors import Cancelled, Kind
from twisted_mesh.headers import Headers
from twisted_mesh.model.units import Address
from twisted_mesh.upstream.cluster import Cluster
from twisted_mesh.upstream.conduct import Conduct
from twisted_mesh.upstream.conducts import Conducts, Watched
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.http_forward import HttpForward
from twisted_mesh.upstream.tcp import TcpForward

A, B = "127.0.0.1:1", "127.0.0.1:2"


def an_endpoint() -> Endpoint:
    return Endpoint(Address("127.0.0.1", 1))


def watch(env: FakeEnv, endpoint: Endpoint, latency: bool = True) -> None:
    Conducts("api", env, Watched(latency=latency), lambda: None).tend([endpoint])


def latency_of(endpoint: Endpoint, env: FakeEnv) -> float:
    assert endpoint.conduct is not None and endpoint.conduct.latency is not None
    return endpoint.conduct.latency.latency(env.now())


def test_nobody_is_watched_unless_somebody_asks() -> None:
    env, endpoint = FakeEnv(), an_endpoint()
    watch(env, endpoint)
    assert isinstance(endpoint.conduct, Conduct)
    before = endpoint.conduct
    watch(env, endpoint)
    assert endpoint.conduct is before
    watch(env, endpoint, False)
    assert endpoint.conduct is None
    assert endpoint.describe()["conduct"] is None


@pytest.mark.parametrize(
    "status, kind, headers, seconds, scored",
    [
        (200, None, {}, 0.5, 0.5),
        (404, None, {}, 0.5, 0.5),
        (500, None, {}, 0.001, 5.0),
        (500, None, {}, 7.0, 7.0),
        (503, None, {"retry-after": "60"}, 0.001, 60.0),
        (429, None, {}, 0.001, 5.0),
        (429, None, {"retry-after": "20"}, 0.001, 20.0),
        (429, None, {"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0.001, 5.0),
        (429, None, {"retry-after": "9" * 400}, 0.001, 300.0),
        (429, None, {"retry-after": "²"}, 0.001, 5.0),
        (0, Kind.CONNECT_FAILED, None, 0.001, 5.0),
        (0, Kind.TIMEOUT, None, 15.0, 15.0),
        (0, Kind.CLIENT_GONE, None, 0.5, 0.5),
        (0, Kind.CLIENT_GONE, None, 0.001, 0.03),
    ],
)
def test_what_failed_fast_does_not_look_like_the_best(
    status: int, kind: Optional[Kind], headers: Any, seconds: float, scored: float
) -> None:
    env, endpoint = FakeEnv(), an_endpoint()
    watch(env, endpoint)
    assert endpoint.conduct is not None
    fields = None if headers is None else Headers.of(headers.items())
    endpoint.conduct.ended(a_call(), status, kind, seconds, fields)
    assert latency_of(endpoint, env) == scored
    assert endpoint.describe()["conduct"]["latency"] == scored  # type: ignore[index]


def http(cluster: Cluster, connector: FakeConnector, env: FakeEnv) -> Driver:
    call = a_call()
    call.target = b"/"
    driver = Driver(call, lambda *ended: None)
    driver.start(HttpForward(cluster, connector, env))  # type: ignore[arg-type]
    return driver


def a_cluster(env: FakeEnv, connector: FakeConnector, *endpoints: str, **options: Any) -> Cluster:
    made = Cluster(
        "api",
        cluster_config(*endpoints, balance="peak_ewma", **options),
        env,
        connector,  # type: ignore[arg-type]
    )
    made.start()
    return made


def test_an_http_reply_is_told_with_the_time_it_took() -> None:
    env, connector = FakeEnv(), FakeConnector()
    cluster = a_cluster(env, connector, A)
    http(cluster, connector, env)
    env.clock.advance(0.25)
    connector.protocols[-1].dataReceived(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    assert latency_of(cluster.endpoints[0], env) == 0.25


def test_an_http_timeout_counts_and_a_client_that_left_does_not() -> None:
    env, connector = FakeEnv(), FakeConnector()
    cluster = a_cluster(env, connector, A)
    http(cluster, connector, env).cancel(Cancelled(Kind.CLIENT_GONE))
    assert latency_of(cluster.endpoints[0], env) == 0.03
    http(cluster, connector, env).cancel(Cancelled(Kind.TIMEOUT))
    assert latency_of(cluster.endpoints[0], env) == 5.0


def test_a_tcp_connect_that_was_refused_is_told() -> None:
    env, connector = FakeEnv(), FakeConnector()
    connector.answer[A] = "refuse"
    cluster = a_cluster(env, connector, A)
    driver = Driver(a_call(protocol="tcp", method="CONNECT"), lambda *ended: None)
    driver.start(TcpForward(cluster, connector, env))  # type: ignore[arg-type]
    assert latency_of(cluster.endpoints[0], env) == 5.0


def test_a_tcp_connect_that_hangs_until_the_timeout_is_told() -> None:
    env, connector = FakeEnv(), FakeConnector()
    connector.answer[A] = "hang"
    cluster = a_cluster(env, connector, A)
    driver = Driver(a_call(protocol="tcp", method="CONNECT"), lambda *ended: None)
    driver.start(TcpForward(cluster, connector, env))  # type: ignore[arg-type]
    env.clock.advance(7.0)
    driver.cancel(Cancelled(Kind.TIMEOUT))
    assert latency_of(cluster.endpoints[0], env) == 7.0


def test_the_slow_one_is_left_and_tried_again_when_time_has_passed() -> None:
    env, connector = FakeEnv(), FakeConnector()
    cluster = a_cluster(env, connector, A, B)
    slow, other = cluster.endpoints
    assert slow.conduct is not None and other.conduct is not None
    slow.conduct.ended(a_call(), 200, None, 2.0)
    assert {cluster.pick(a_call()).address for _ in range(50)} == {B}
    env.clock.advance(100.0)
    other.conduct.ended(a_call(), 200, None, 0.05)
    assert A in {cluster.pick(a_call()).address for _ in range(50)}


def test_a_reload_keeps_what_was_learnt() -> None:
    env, connector = FakeEnv(), FakeConnector()
    before = a_cluster(env, connector, A, B)
    assert before.endpoints[0].conduct is not None
    before.endpoints[0].conduct.ended(a_call(), 200, None, 2.0)
    after = Cluster(
        "api",
        cluster_config(A, B, balance="peak_ewma", connect_timeout="2s"),
        env,
        connector,  # type: ignore[arg-type]
    )
    after.adopt(before)
    after.start()
    before.stop()
    assert latency_of(after.endpoints[0], env) == 2.0

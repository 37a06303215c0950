"""What the filters against overload have in common."""

from __future__ import annotations

import pytest

from tests.filters.redis_calls import several
from twisted_mesh.call import Reply
from twisted_mesh.errors import Kind
from twisted_mesh.filters.overload import FAILED, cells, overloaded, went
from twisted_mesh.redis_call import RedisReply, errors_in
from twisted_mesh.stream import ByteStream
from twisted_mesh.testing import Env, http_call


def test_calls_are_counted_by_the_place_of_the_filter() -> None:
    env = Env()
    admitted, refused = cells(env)
    admitted.value += 2
    refused.value += 1
    name = "twisted_mesh_filter_overload_calls_total"
    assert (env.count(name, env.name, "admitted"), env.count(name, env.name, "refused")) == (2, 1)


def test_a_refusal_was_sent_nowhere_and_says_why() -> None:
    error = overloaded("3 calls in flight, 3 may be now", 429)
    assert (error.kind, error.status, error.detail) == (Kind.OVERLOADED, 429, "3 calls in flight, 3 may be now")
    assert error.flag == "OM"
    assert not error.retryable


@pytest.mark.parametrize("kind", [Kind.OVERLOADED, Kind.OVERFLOW, Kind.DENIED, Kind.RATE_LIMITED, Kind.CLIENT_GONE])
def test_what_the_mesh_or_its_clients_do_is_no_failure_of_the_upstream(kind: Kind) -> None:
    assert kind not in FAILED


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.TIMEOUT, Kind.CONNECT_FAILED, Kind.NO_ENDPOINT])
def test_what_gives_no_answer_has_failed(kind: Kind) -> None:
    assert kind in FAILED


@pytest.mark.parametrize(("status", "expected"), [(200, (1, 0)), (429, (1, 0)), (500, (0, 1)), (503, (0, 1))])
def test_how_a_call_of_http_went(status: int, expected: tuple[int, int]) -> None:
    assert went(http_call(), Reply(status)) == expected


@pytest.mark.parametrize(
    ("bodies", "expected"),
    [
        ((b"$1\r\nA\r\n", b"$-1\r\n"), (2, 0)),
        ((b"-WRONGTYPE Operation\r\n", b"-ERR syntax error\r\n"), (2, 0)),
        ((b"-LOADING Redis is loading the dataset in memory\r\n", b"$1\r\nA\r\n"), (1, 1)),
        ((b"-MASTERDOWN Link with MASTER is down\r\n", b"-CLUSTERDOWN The cluster is down\r\n"), (0, 2)),
        ((b"-OOM command not allowed\r\n", b"-READONLY You can't write\r\n"), (0, 0)),
    ],
)
def test_how_commands_went(bodies: tuple[bytes, ...], expected: tuple[int, int]) -> None:
    reply = RedisReply(b"".join(bodies), 2)
    reply.errors = errors_in(reply.answers)
    assert went(several("GET a", "GET b"), reply) == expected


def test_a_large_reply_went_well() -> None:
    assert went(several("GET a"), RedisReply(ByteStream())) == (1, 0)

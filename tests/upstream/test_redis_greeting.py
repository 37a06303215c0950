"""What a new connection to a Redis server says first."""

from __future__ import annotations

import pytest

from twisted_mesh.upstream.redis_greeting import OF_REPLICAS, ServerOptions, greeting

NAME = ["CLIENT", "SETNAME", "twisted-mesh"]


@pytest.mark.parametrize(
    ("options", "db", "resp", "said"),
    [
        (ServerOptions(), 0, 2, []),
        (ServerOptions(password="pw"), 0, 2, [["AUTH", "pw"]]),
        (ServerOptions(username="ann", password="pw"), 3, 2, [["AUTH", "ann", "pw"], ["SELECT", "3"]]),
        (ServerOptions(db=5), 0, 2, [["SELECT", "5"]]),
        (ServerOptions(db=5), 2, 2, [["SELECT", "2"]]),
        (ServerOptions(), 0, 3, [["HELLO", "3"]]),
        (ServerOptions(password="pw"), 0, 3, [["HELLO", "3", "AUTH", "default", "pw"]]),
        (ServerOptions(db=5), OF_REPLICAS, 2, [["READONLY"]]),
    ],
)
def test_what_is_said(options: ServerOptions, db: int, resp: int, said: list[list[str]]) -> None:
    assert greeting(options, db, resp) == [*[(each, True) for each in said], (NAME, False)]

"""Connections to one endpoint, and the calls that wait for them."""

from __future__ import annotations

from collections import Counter
from typing import Any, Optional

from tests.upstream.fakes import FakeEnv, a_call
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver
from twisted_mesh.codec.response import ResponseReader
from twisted_mesh.errors import Kind, MeshError
from twisted_mesh.families import Families
from twisted_mesh.model import Address, Pool
from twisted_mesh.park import Parked
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.pool import HttpPool

REFUSED = MeshError(Kind.CONNECT_FAILED, "refused", retryable=True)


class FirstHangs:
    """The first connect waits; those after it fail at once, as those to a missing unix socket do."""

    def __init__(self) -> None:
        self.first: Optional[Parked[None]] = None

    def connect(self, address: Address, protocol: Any, timeout: float) -> Parked[None]:
        parked: Parked[None] = Parked()
        if self.first is None:
            self.first = parked
        else:
            parked.fail(MeshError(Kind.CONNECT_FAILED, "refused", retryable=True))
        return parked


def test_a_thousand_calls_whose_connects_fail_at_once_all_hear_of_it() -> None:
    env, connector = FakeEnv(), FirstHangs()
    endpoint = Endpoint(Address.parse("10.0.0.1:80"))
    options = Pool(max_connections=1, max_pending=2000)
    cells = Families(env.metrics).upstream("http", "api")
    pool = HttpPool(endpoint, options, 1.0, env, connector, ResponseReader(), cells)  # type: ignore[arg-type]
    outcomes: Counter[str] = Counter()

    async def connects(call: Call) -> Reply:
        await pool.connect()
        return Reply(200)

    def done(call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
        outcomes[str(error)] += 1

    for _ in range(1500):
        Driver(a_call(), done).start(connects)
    assert repr(pool) == "<HttpPool 1 open, 0 idle, 1499 waiting>"
    assert connector.first is not None
    connector.first.fail(REFUSED)
    assert outcomes == {"connect_failed: refused": 1500}
    assert repr(pool) == "<HttpPool 0 open, 0 idle, 0 waiting>"
    assert env.clock.getDelayedCalls() == []

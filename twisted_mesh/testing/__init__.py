"""What filters are tested with: a chain in memory, a fake upstream, one Clock for all that waits.

    env = Env()
    upstream = FakeUpstream(MeshError(Kind.RESET, retryable=True), Reply(200))
    chain = Chain([env.build("retry", attempts=2)], upstream, env)
    outcome = chain.call(http_call("GET", "/orders"))
    assert outcome.waiting                  # the retry waits between its tries
    chain.advance(1.0)
    assert outcome.status == 200
    chain.assert_idle()

Nothing here opens a socket, starts a thread or looks at the machine's clock.
"""

from twisted_mesh.testing.calls import http_call, redis_call, tcp_call
from twisted_mesh.testing.chain import Chain, Outcome
from twisted_mesh.testing.env import Env
from twisted_mesh.testing.loop import Clock
from twisted_mesh.testing.upstream import HANG, After, FakeUpstream, Received, Streamed

__all__ = [
    "HANG",
    "After",
    "Chain",
    "Clock",
    "Env",
    "FakeUpstream",
    "Outcome",
    "Received",
    "Streamed",
    "http_call",
    "redis_call",
    "tcp_call",
]

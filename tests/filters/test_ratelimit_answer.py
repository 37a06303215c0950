"""What clients are told of a rate limit."""

from __future__ import annotations

from tests.filters.drive import Run, Script, a_call
from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.filters.ratelimit_answer import left, refusal, telling
from twisted_mesh.policy.gcra import Verdict


def test_how_much_is_left_in_whole_seconds() -> None:
    assert left(10, Verdict(True, 3, 0.2, 0.0)) == (
        ("RateLimit-Limit", "10"),
        ("RateLimit-Remaining", "3"),
        ("RateLimit-Reset", "1"),
    )


def test_a_refusal_says_when_to_come_back() -> None:
    error = refusal(429, Verdict(False, 0, 1.0, 1.2), (("RateLimit-Limit", "10"),))
    assert (error.kind, error.origin, error.status) == (Kind.RATE_LIMITED, Origin.CLIENT, 429)
    assert error.headers == (("Retry-After", "2"), ("RateLimit-Limit", "10"))
    assert refusal(503, Verdict(False, 0, 1.0, 0.0)).headers == (("Retry-After", "1"),)


def test_what_can_never_be_had_has_no_time() -> None:
    assert refusal(429, Verdict(False, 0, 1.0, -1.0)).headers == ()


def test_replies_are_told_and_errors_are_too() -> None:
    fields = (("RateLimit-Limit", "10"), ("RateLimit-Remaining", "3"))
    error = MeshError(Kind.NO_ENDPOINT, headers=(("Retry-After", "1"), ("RateLimit-Limit", "5")))
    script = Script(Reply(200), error)

    async def told(call: Call) -> Reply:
        return await telling(call, script, fields)

    assert Run(told, a_call()).reply.headers.get("ratelimit-remaining") == "3"
    # Of several limits the outermost is told, as in replies.
    assert Run(told, a_call()).error.headers == (("Retry-After", "1"), *fields)

"""What clients are told of a rate limit: that they are over it, when to come back, and how much is left."""

from __future__ import annotations

from math import ceil
from typing import Sequence

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.interfaces import Explanation, Proceed
from twisted_mesh.policy.gcra import Verdict

Fields = Sequence[tuple[str, str]]


def left(burst: int, verdict: Verdict) -> Fields:
    """Return the RateLimit fields (draft-ietf-httpapi-ratelimit-headers, version 3 to 6); whole seconds, rounded up."""
    return (
        ("RateLimit-Limit", str(burst)),
        ("RateLimit-Remaining", str(verdict.remaining)),
        ("RateLimit-Reset", str(ceil(verdict.reset_after))),
    )


def explained(verdict: Verdict, burst: int) -> Explanation:
    """Return what a verdict means for who asks before."""
    if verdict.admitted:
        return Explanation("pass", f"{verdict.remaining} of {burst} would be left")
    wait = "never" if verdict.retry_after < 0 else f"in {verdict.retry_after:.1f} s"
    return Explanation(
        "refuse", f"over the rate limit, {verdict.remaining} of {burst} are left; {wait} there are enough"
    )


async def telling(call: Call, proceed: Proceed, fields: Fields) -> Reply:
    """Proceed, and put the fields on the reply, also if that is an error's."""
    try:
        reply = await proceed(call)
    except MeshError as error:
        ours = {name for name, _ in fields}
        error.headers = (*(each for each in error.headers if each[0] not in ours), *fields)
        raise
    for each in fields:
        reply.headers.set(*each)
    return reply


def refusal(status: int, verdict: Verdict, told: Fields = ()) -> MeshError:
    """Return the error for a call that is over the limit; without Retry-After if it never can be had."""
    fields = () if verdict.retry_after < 0 else (("Retry-After", str(max(1, ceil(verdict.retry_after)))),)
    return MeshError(
        Kind.RATE_LIMITED, "over the rate limit", origin=Origin.CLIENT, status=status, headers=(*fields, *told)
    )

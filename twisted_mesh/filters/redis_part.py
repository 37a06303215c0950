"""Some commands of a call that holds several go on, and the others are answered here: each as if it came alone."""

from __future__ import annotations

from typing import Awaitable, Mapping, Optional, Sequence

from twisted_mesh.call import Reply
from twisted_mesh.errors import MeshError
from twisted_mesh.interfaces import Proceed
from twisted_mesh.redis_call import RedisCall, RedisReply, errors_in
from twisted_mesh.redis_pending import PartOfReplies
from twisted_mesh.redis_words import words_for
from twisted_mesh.stream import ByteStream

# Bytes of replies that are put together with refusals; what is longer fails the commands that it belongs to.
LONGEST = 64 << 20


def proceed_with(call: RedisCall, proceed: Proceed, admitted: Sequence[bool], refusal: MeshError) -> Awaitable[Reply]:
    """Send on what is admitted of the commands of a call; returns what gives the replies to all of them, in order.

    :raises MeshError: `refusal`, if none is admitted.
    """
    if all(admitted):
        return proceed(call)
    if not any(admitted):
        raise refusal
    refused = words_for(refusal)
    here = {at: refused for at, each in enumerate(admitted) if not each}
    return _part(call, proceed, here, refusal)


def proceed_beside(call: RedisCall, proceed: Proceed, here: Mapping[int, bytes]) -> Awaitable[Reply]:
    """Send on those commands of a call that have no reply in `here`; returns what gives the replies to all, in order.

    :param here: replies as a server sends them, by the number of their command.
    """
    return _part(call, proceed, here) if here else proceed(call)


async def _part(
    call: RedisCall, proceed: Proceed, here: Mapping[int, bytes], refusal: Optional[MeshError] = None
) -> Reply:
    places = [at for at in range(call.count) if at not in here]
    given = iter(await _narrowed(call, proceed, places) if places else ())
    if refusal is not None:
        call.flag(refusal.kind)
        call.details = call.details or refusal.detail
    body = b"".join([here[at] if at in here else next(given) for at in range(call.count)])
    reply = RedisReply(body, call.count, local=not places)
    reply.errors = errors_in(reply.answers)
    return reply


async def _narrowed(call: RedisCall, proceed: Proceed, places: Sequence[int]) -> list[bytes]:
    """Return the replies to these commands of a call."""
    whole = call.command, call.commands, call.data, call.body, call.key, call.count
    # What was made for the replies to all of them is not for those to some.
    call.waiter = None
    _narrow(call, places)
    try:
        return await _replies(call, proceed)
    finally:
        call.command, call.commands, call.data, call.body, call.key, call.count = whole
        call._resource = None


def _narrow(call: RedisCall, places: Sequence[int]) -> None:
    """Have the call be one of these of its commands."""
    commands, data = call.some(places)
    call.command = call.row(places[0])
    call.key = commands[0][1] or b""
    call._resource = None
    call.commands = commands
    call.data = call.body = data
    call.count = len(commands)


async def _replies(call: RedisCall, proceed: Proceed) -> list[bytes]:
    """Return the reply to each command, an error to those that failed."""
    try:
        reply = await proceed(call)
        assert isinstance(reply, RedisReply), reply
        if isinstance(reply.body, ByteStream):
            whole = await reply.body.collect(LONGEST)
            reply = RedisReply(whole, call.count)
        body = reply.body
        assert isinstance(body, bytes)
        return [body[start:end] for _, start, end in reply.answers]
    except MeshError as error:
        # The reply is one all the same, so that the failure is told here.
        call.flag(error.kind)
        call.details = call.details or error.detail
        had: list[bytes] = []
        if isinstance(error, PartOfReplies) and not error.inside:
            answers = RedisReply(error.had, error.answered).answers
            had = [error.had[start:end] for _, start, end in answers]
        return had + [words_for(error)] * (call.count - len(had))

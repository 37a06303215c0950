"""Copies of Redis commands for another cluster, whose replies nobody gets; what they differ in is told if asked for.

Made by a route, and no filter of the configuration.  It is how one cluster is exchanged for another: first writes are
copied, then reads are compared, then the route is changed.
"""

from __future__ import annotations

from collections import deque
from typing import AbstractSet, Any, Awaitable, Optional, Sequence

from twisted_mesh.call import Call, Completion, Reply
from twisted_mesh.chain import Aside, Done, clean_context
from twisted_mesh.codec.command_exact import VAGUE, exact, is_vague
from twisted_mesh.codec.commands import find
from twisted_mesh.codec.resp_reply_scan import Answer
from twisted_mesh.errors import MeshError
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Env, Explanation, Proceed
from twisted_mesh.labels import NONE
from twisted_mesh.policy.share import share
from twisted_mesh.redis_call import RedisCall, RedisReply
from twisted_mesh.redis_pending import Pending
from twisted_mesh.stream import ByteStream

# Seconds between two lines in the log about replies that differ.
LOG_EVERY = 1.0
# How much later a read that differs is compared once more: what was written in between has then come everywhere.
AGAIN_AFTER = 0.1
# How much of a key and of a reply a line shows.
_SHOWN = 60


class _Waiting:
    """A copy that is not sent yet, and what its reply is held against; `ready` once nothing about it is open.

    :param proceed: asks once more what differs.
    """

    __slots__ = ("copy", "proceed", "ready", "real")

    def __init__(self, copy: RedisCall, real: Optional[bytes] = None, proceed: Optional[Proceed] = None) -> None:
        self.copy = copy
        self.real = real
        self.proceed = proceed
        self.ready = False


class RedisMirror:
    """Sends copies of a share of the commands to a cluster, right behind the real ones.

    Commands of transactions, subscriptions and the like, and values that are passed on as they come, are not copied.
    The copy of a command that does something else each time (XADD with ``*``, SPOP) is one that does what it has done,
    and so is sent once that is known; copies behind it wait for that.

    :param name: the cluster's, :param forward: the way to it.
    :param operations: names of commands that are copied; all if None.
    :param percent: of the calls, :param limit: seconds for the reply to a copy, :param most: copies under way.
    :param compare: the replies are compared; a read that differs is asked again a little later, as something may have
        been written in between, and counts if it differs still.
    """

    def __init__(
        self,
        name: str,
        forward: Proceed,
        env: Env,
        *,
        operations: Optional[AbstractSet[str]] = None,
        percent: float = 100.0,
        limit: float = 15.0,
        most: int = 100,
        compare: bool = False,
    ) -> None:
        self.name = name
        self._forward = forward
        self._env = env
        self._operations = operations
        self._limit = limit
        self._most = most
        self._compare = compare
        self._percent = percent
        self._belongs = share(percent, env.random.random)
        self._active = 0
        # Copies that wait for what the one before them, or they themselves, must be.
        self._row: deque[_Waiting] = deque()
        families = Families(env.metrics)
        self._calls, self._compared = families.mirror_calls, families.mirror_compared
        self._quiet_until = 0.0

    def __repr__(self) -> str:
        return f"<RedisMirror to {self.name}, {self._active} under way>"

    def explain(self, call: Call) -> Explanation:
        """Say what would be copied."""
        if self._operations is not None and call.operation not in self._operations:
            return Explanation("pass", f"{call.operation} is not copied to {self.name}")
        return Explanation("pass", f"a copy of {self._percent:g} % of the calls goes to {self.name}")

    def __call__(self, call: Any, proceed: Proceed) -> Awaitable[Reply]:
        if not self._belongs():
            return proceed(call)
        copy = self._copy(call)
        if copy is None:
            return proceed(call)
        if any(each[0].upper() in VAGUE for each in copy.commands) and any(
            is_vague(copy.words(at)) for at in range(copy.count)
        ):
            return self._exactly(call, copy, proceed)
        if self._compare:
            return self._both(call, copy, proceed)
        pending = proceed(call)
        self._behind(copy)
        return pending

    async def _both(self, call: RedisCall, copy: RedisCall, proceed: Proceed) -> Reply:
        try:
            reply = await proceed(call)
        except MeshError:
            # It may have been carried out all the same.
            self._behind(copy)
            raise
        real = reply.body if isinstance(reply, RedisReply) and copy.count == call.count else None
        self._behind(copy, real if isinstance(real, bytes) else None, proceed)
        return reply

    # --- what does something else each time

    async def _exactly(self, call: RedisCall, copy: RedisCall, proceed: Proceed) -> Reply:
        """Have the copy do what the command has done; it keeps its place among the others."""
        place = _Waiting(copy)
        self._row.append(place)
        try:
            reply = await proceed(call)
            if isinstance(reply, RedisReply) and isinstance(reply.body, bytes):
                self._settle(place, call, reply)
            return reply
        finally:
            if not place.ready:
                # What became of it nobody knows: an entry may have been added, and other members must not be taken.
                whole = [copy.words(at) for at in range(copy.count)]
                self._become(copy, [words for words in whole if words[0].upper() != b"SPOP"])
                place.ready = True
            self._advance()

    def _settle(self, place: _Waiting, call: RedisCall, reply: RedisReply) -> None:
        """What a command has done is known now."""
        copy = place.copy
        assert isinstance(reply.body, bytes), "the replies are whole"
        texts = [reply.body[start:end] for _, start, end in reply.answers]
        if copy.count < call.count and self._operations is not None:
            texts = [texts[at] for at in range(call.count) if call.row(at).name in self._operations]
        whole = [copy.words(at) for at in range(copy.count)]
        done = [exact(words, text) if is_vague(words) else words for words, text in zip(whole, texts)]
        if self._compare and all(each and each[0] == words[0] for each, words in zip(done, whole)):
            place.real = b"".join(texts)
        self._become(copy, [each for each in done if each is not None])
        place.ready = True

    def _become(self, copy: RedisCall, commands: Sequence[Sequence[bytes]]) -> None:
        """Have a copy be these commands."""
        copy.carry(commands)
        copy.count = len(commands)
        if commands:
            first = find(commands[0][0])
            assert first is not None, "it was a command before"
            copy.command, copy.key, copy._resource = first, commands[0][1], None

    def _behind(self, copy: RedisCall, real: Optional[bytes] = None, proceed: Optional[Proceed] = None) -> None:
        """Send a copy, behind those that wait."""
        if not self._row:
            self._send(copy, real, proceed)
            return
        place = _Waiting(copy, real, proceed)
        place.ready = True
        self._row.append(place)

    def _advance(self) -> None:
        """Send the copies that nothing stands before."""
        while self._row and self._row[0].ready:
            place = self._row.popleft()
            if place.copy.count:
                self._send(place.copy, place.real, place.proceed)

    # --- the copy

    def _copy(self, call: RedisCall) -> Optional[RedisCall]:
        """Return a copy of what is to be copied; None, counted, where there can be none."""
        obstacle = self._obstacle(call)
        if obstacle:
            self._count(call, obstacle)
            return None
        commands, data = call.commands, call.data
        if self._operations is not None:
            places = [at for at in range(len(commands)) if call.row(at).name in self._operations]
            if not places:
                return None
            if len(places) < len(commands):
                return self._like(call, *call.some(places))
        start, end = commands[0][3], commands[-1][4]
        if end - start < len(data):
            return self._like(call, *call.some(range(len(commands))))
        return self._like(call, list(commands), data)

    def _obstacle(self, call: RedisCall) -> str:
        if call.session is not None:
            return "skipped_session"
        if not isinstance(call.body, bytes):
            return "skipped_body"
        return "skipped_busy" if self._active + len(self._row) >= self._most else ""

    def _like(self, call: RedisCall, commands: list[Any], data: bytes) -> RedisCall:
        first = find(commands[0][0], commands[0][1]) if len(commands) < len(call.commands) else call.command
        assert first is not None, "what is unknown never gets into a call"
        copy = RedisCall(call.listener, first, commands, data, data)
        copy.key = call.key if len(commands) == len(call.commands) else commands[0][1] or b""
        copy.write, copy.db, copy.resp, copy.version = call.write, call.db, call.resp, call.version
        copy.count = len(commands)
        copy.peer, copy.client, copy.id, copy.identity = call.peer, call.client, call.id, call.identity
        copy.route = call.route
        copy.timeout = self._limit
        return copy

    # --- its way

    def _send(self, copy: RedisCall, real: Optional[bytes] = None, proceed: Optional[Proceed] = None) -> None:
        copy.started = copy.received = self._env.now()
        self._active += 1

        def answered(call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
            body = reply.body if isinstance(reply, RedisReply) else None
            if isinstance(body, bytes):
                self._ended(copy, "answered")
                if real is not None:
                    self._judge(copy, real, body, proceed)
            elif isinstance(body, ByteStream):
                body.cancel()
                self._ended(copy, "cut")
            else:
                self._ended(copy, "failed")

        self._run(copy, self._forward, answered)

    def _run(self, call: RedisCall, proceed: Proceed, answered: Done) -> None:
        """Run a call of the mirror's own; a driver is only made where something really waits."""
        try:
            awaitable = proceed(call)
        except MeshError as error:
            answered(call, None, error)
            return
        if not isinstance(awaitable, Pending):
            Aside("mirror", call, answered, clean_context()).follow(awaitable)
            return
        pending = awaitable

        def done() -> None:
            error, pending.error = pending.error, None
            answered(call, None if error is not None else pending.value, error)

        if pending.done:
            done()
        else:
            pending.resume = done

    def _ended(self, copy: RedisCall, result: str) -> None:
        self._active -= 1
        self._count(copy, result)
        copy.complete(self._env.now(), self._completion_failed)

    def _count(self, call: Call, result: str) -> None:
        self._calls.labels(_route(call), self.name, result).value += call.count

    def _completion_failed(self, completion: Completion) -> None:
        self._env.log.failure("{completion!r} failed at the end of a copy", completion=completion)

    # --- comparing

    def _judge(self, copy: RedisCall, real: bytes, copied: bytes, again: Optional[Proceed]) -> None:
        """Compare two replies; what is read and differs is read once more, from both."""
        if real == copied:
            self._compared.labels(_route(copy), self.name, "same").value += copy.count
        elif again is not None and copy.command.read_only:
            self._env.clock.callLater(AGAIN_AFTER, self._ask_again, copy, again)
        else:
            self._tell(copy, real, copied)

    def _ask_again(self, copy: RedisCall, proceed: Proceed) -> None:
        call = self._like(copy, list(copy.commands), copy.data)
        call.started = call.received = self._env.now()

        def answered(call: Call, reply: Optional[Reply], error: Optional[BaseException]) -> None:
            call.complete(self._env.now(), self._completion_failed)
            body = reply.body if isinstance(reply, RedisReply) else None
            if isinstance(body, bytes):
                self._send(self._like(copy, list(copy.commands), copy.data), body)
            elif isinstance(body, ByteStream):
                body.cancel()

        self._run(call, proceed, answered)

    def _tell(self, copy: RedisCall, real: bytes, copied: bytes) -> None:
        """Count which of the replies differ, and log one now and then."""
        reals, copies = _replies(real), _replies(copied)
        pairs = list(zip(reals, copies)) if len(reals) == len(copies) == copy.count else [(real, copied)]
        different = [at for at, (one, other) in enumerate(pairs) if one != other]
        compared = _route(copy), self.name
        self._compared.labels(*compared, "same").value += len(pairs) - len(different)
        self._compared.labels(*compared, "different").value += len(different)
        now = self._env.now()
        if different and now >= self._quiet_until:
            self._quiet_until = now + LOG_EVERY
            at = different[0]
            name, key, *_ = copy.commands[min(at, len(copy.commands) - 1)]
            self._env.log.warn(
                "the mirror {mirror} answers {command} {key} in another way: {sizes}",
                mirror=self.name,
                command=name.decode("ascii", "replace").upper(),
                key=_shown(key or b""),
                # No value goes into a log.
                sizes=f"{_kind(pairs[at][0])} and {_kind(pairs[at][1])}",
            )


def _replies(body: bytes) -> list[bytes]:
    found: list[Answer] = RedisReply(body, 1).answers
    return [body[start:end] for _, start, end in found]


def _kind(reply: bytes) -> str:
    """Return what may be said of a reply: its type and its size, and errors as they are."""
    if reply[:1] == b"-":
        return _shown(reply[1:].rstrip())
    return f"{len(reply)} bytes of {reply[:1].decode('ascii', 'replace')}"


def _shown(text: bytes) -> str:
    shown = text.decode("utf-8", "backslashreplace")
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _route(call: Call) -> str:
    return NONE if call.route is None else call.route.name

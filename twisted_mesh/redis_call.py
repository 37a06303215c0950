"""Redis commands as calls: what the filters of a Redis listener carry, and what they wait for.

Pipelined commands that came in one read travel as one call as far as they are of one class; `count` says how many.
Routes, filters and the upstream see the same fields as of any other call, and beside them the commands themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Collection, Optional, Protocol, Sequence

from twisted_mesh.call import Body, Call, Reply
from twisted_mesh.codec.commands import Command, find
from twisted_mesh.codec.resp import arguments, pack
from twisted_mesh.codec.resp_kinds import BULK_ERROR, ERROR
from twisted_mesh.codec.resp_reply import ReplyReader
from twisted_mesh.codec.resp_reply_scan import Answer
from twisted_mesh.codec.resp_request_scan import Found
from twisted_mesh.errors import MeshError
from twisted_mesh.headers import Headers
from twisted_mesh.metrics import DURATIONS
from twisted_mesh.park import Parked

if TYPE_CHECKING:
    from twisted_mesh.interfaces import EndpointLike

VERSIONS = {2: "2", 3: "3"}


class Caller(Protocol):
    """The connection that a call came on."""

    peer: str
    client: str
    #: When it last wrote something; -inf if it never has.
    wrote_at: float
    #: The connection to a server that its last call went to, where the server has several; None where none is known.
    placed: Any

    @property
    def crowded(self) -> bool:
        """Whether it waits for other replies than the one to its last call."""

    @property
    def call_id(self) -> str: ...

    def repeats(self, call: RedisCall) -> bool:
        """Whether a call that has failed may be sent again, as nothing that it must not follow was sent behind it.

        Who asks does send it again; what comes behind it waits for that.
        """

    def waits_for(self, call: RedisCall) -> None:
        """Have what comes behind a call wait until that is answered."""

    def overtook(self, call: RedisCall, keys: Collection[bytes]) -> bool:
        """Whether something behind a call is done already that must not come before a command of it with these keys."""


class RedisCall(Call):
    """One command, or several of one class that came together.

    - `command` is the row of the first one in the table, `operation` its name; `write` says whether they may change
      something.  All of several are of ``Kind.KEYED``, and have one key, which is their first argument.
    - `commands` has for each its name, first argument, number of words, and where it stands in `data`; `body` is what
      goes upstream: those bytes, or a stream where one large value is still on its way.
    - `key` is the key of the first command, b"" if it has none; `resource` is the same as text.
    - `db` is the database that the client has selected, `resp` the version of the protocol that it speaks.
    - `caller` is the connection that it came on; None for calls of the mesh's own.  `id` is the connection's.
    - `waiter` is what fires with the reply to its first try; whoever sends that takes it.
    - `held` is to be called by whoever sends it, where its client's next commands wait for that; else None.
    - `session` is whatever binds the call to an upstream connection of the client's own; None where nothing does.
    """

    protocol = "redis"
    key: bytes = b""
    write: bool = False
    db: int = 0
    resp: int = 2
    version = "2"
    session: Any = None
    upgrades = False
    caller: Optional[Caller] = None
    waiter: Optional[Pending] = None
    held: Optional[Callable[[], None]] = None
    _peer: Optional[str] = None
    _client: Optional[str] = None
    _id: Optional[str] = None
    _headers: Optional[Headers] = None
    _resource: Optional[str] = None

    def __init__(self, listener: str, command: Command, commands: Sequence[Found], data: bytes, body: Body) -> None:
        # Not the other one's: headers are made when somebody asks for them, as hardly anybody does.
        self.listener = listener
        self.command = command
        self.commands = commands
        self.data = data
        self.body = body

    @property
    def headers(self) -> Headers:  # type: ignore[override]  # a plain attribute of other calls
        """Fields that filters leave for each other; commands have none."""
        if self._headers is None:
            self._headers = Headers()
        return self._headers

    def _part_from(self, other: Call) -> None:
        if self._headers is not None:
            self._headers = self._headers.copy()
        # What that fires with is the other one's, and so are those that wait for it.
        self.waiter = self.held = None

    @property
    def resource(self) -> str:  # type: ignore[override]  # a plain attribute of other calls
        """The key of the first command as text; bytes that are no UTF-8 are kept as surrogates."""
        if self._resource is None:
            self._resource = self.key.decode("utf-8", "surrogateescape")
        return self._resource

    @property
    def operation(self) -> str:  # type: ignore[override]
        """The name of the first command, upper case."""
        return self.command.name

    # What few ask for is not copied into every call.

    @property
    def peer(self) -> str:
        """The client's address."""
        return self._peer if self._peer is not None else "" if self.caller is None else self.caller.peer

    @peer.setter
    def peer(self, peer: str) -> None:
        self._peer = peer

    @property
    def client(self) -> str:
        """The client's host."""
        return self._client if self._client is not None else "" if self.caller is None else self.caller.client

    @client.setter
    def client(self, client: str) -> None:
        self._client = client

    @property
    def id(self) -> str:
        """The id of the connection: commands have none."""
        return self._id if self._id is not None else "" if self.caller is None else self.caller.call_id

    @id.setter
    def id(self, id: str) -> None:
        self._id = id

    def repeats(self) -> bool:
        """See `Call.repeats`: commands of one client are in order."""
        caller = self.caller
        return caller is None or caller.repeats(self)

    def texts(self) -> tuple[str, str, str, str, str]:
        """Return `operation`, `id`, `peer`, `resource` and `client`, for a line of a log."""
        caller = self.caller
        if caller is None or self._peer is not None or self._client is not None or self._id is not None:
            return self.operation, self.id, self.peer, self.resource, self.client
        resource = self._resource
        if resource is None:
            resource = self.key.decode("utf-8", "surrogateescape")
        return self.command.name, caller.call_id, caller.peer, resource, caller.client

    @property
    def idempotent(self) -> bool:
        """Whether all of it may be done twice: it only reads."""
        return self.command.read_only and not self.write

    def words(self, number: int = 0) -> list[bytes]:
        """Return the words of one command, its name first; for a value that is still on its way, those known."""
        name, first, _, start, end = self.commands[number]
        if end == start:
            return [name] if first is None else [name, first]
        return arguments(self.data[start:end])

    def row(self, number: int) -> Command:
        """Return what the table says of one command."""
        if not number:
            return self.command
        name, first, *_ = self.commands[number]
        row = find(name, first)
        assert row is not None, "what is unknown never gets into a call"
        return row

    def some(self, places: Sequence[int]) -> tuple[list[Found], bytes]:
        """Return these of the commands as if they were all, and their bytes."""
        pieces: list[bytes] = []
        commands: list[Found] = []
        at = 0
        for place in places:
            name, first, words, start, end = self.commands[place]
            pieces.append(self.data[start:end])
            commands.append((name, first, words, at, at + end - start))
            at += end - start
        return commands, b"".join(pieces)

    def rewrite(self, commands: Sequence[Sequence[bytes]]) -> None:
        """Have other words sent in the place of these; the commands and the order of their keys stay what they are."""
        packed = [pack(words) for words in commands]
        found, at = [], 0
        for words, data in zip(commands, packed):
            found.append((words[0], words[1] if len(words) > 1 else None, len(words), at, at + len(data)))
            at += len(data)
        self.commands = found
        self.data = self.body = b"".join(packed)


class RedisReply(Reply):
    """The replies to all commands of a call, in their order.

    `body` are their bytes (a stream where they are large), `errors` how many of them are errors; `count` how many there
    are.
    """

    errors: int = 0
    count: int = 1
    _answers: Optional[Sequence[Answer]] = None
    _base: int = 0
    _headers: Optional[Headers] = None
    status = 0

    def __init__(self, body: Body, count: int = 1, *, errors: int = 0, local: bool = False) -> None:
        self.body = body
        if count != 1:
            self.count = count
        if errors:
            self.errors = errors
        if local:
            self.local = True

    @property
    def headers(self) -> Headers:  # type: ignore[override]  # a plain attribute of other replies
        """Fields that filters leave for each other; replies have none."""
        if self._headers is None:
            self._headers = Headers()
        return self._headers

    def _part_from(self, other: Reply) -> None:
        if self._headers is not None:
            self._headers = self._headers.copy()

    def found(self, answers: Sequence[Answer], base: int) -> None:
        """Say where the replies stand, so that nobody has to look again: in `body`, if `base` is taken away."""
        self._answers = answers
        self._base = base

    @property
    def answers(self) -> list[Answer]:
        """For each reply its type, and where it stands in the body.

        :raises ValueError: the body is a stream.
        """
        if not isinstance(self.body, bytes):
            raise ValueError("the replies are still on their way")
        if self._answers is None:
            self._answers = ReplyReader(limit=len(self.body) + 1).feed(self.body)
        base = self._base
        return [(kind, start - base, end - base) for kind, start, end in self._answers]


def errors_in(answers: Sequence[Answer]) -> int:
    """Return how many of these are errors."""
    return sum(kind in (ERROR, BULK_ERROR) for kind, _, _ in answers)


class PartOfReplies(MeshError):
    """Some of a call's commands were answered before it failed.

    `had` are these replies, `answered` says how many; `inside` that one more has begun, so that nothing can follow.
    """

    def __init__(self, error: MeshError, had: bytes, answered: int, inside: bool = False) -> None:
        super().__init__(error.kind, error.detail, origin=error.origin, retryable=error.retryable)
        self.__cause__ = error.__cause__
        self.had = had
        self.answered = answered
        self.inside = inside


Rescue = Callable[["Pending", BaseException], bool]


def nobody() -> None:
    """Stand in for whoever has waited for a reply."""


class Tally:
    """What ordinary replies to one kind of command add up to since `settle` was called last.

    `count` of them, `counts` by the bucket of their time among `DURATIONS`, `seconds` for all, `received` and `sent`
    bytes.  A reply that took `slow` seconds is none of them, nor one that took `timeout`.
    """

    __slots__ = ("count", "counts", "received", "seconds", "sent", "slow", "timeout")

    def __init__(self, slow: float, timeout: float) -> None:
        self.slow = slow
        self.timeout = timeout
        self.counts = [0] * (len(DURATIONS) + 1)
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.count = self.received = self.sent = 0
        self.seconds = 0.0

    def settle(self) -> None:
        """Count it in the metrics, and begin anew."""
        raise NotImplementedError


class Pending(Parked[RedisReply]):
    """The reply that a call waits for; what the upstream returns, and what all plain filters pass on.

    A filter that wants to act on a failure sets `rescue`: it is called with the error in the place of the waiter, and
    returns whether it takes care, in which case it fires or fails this one later.

    `body` is what is sent.  One with a `tally` is given its reply by `heard` if there is nothing unusual about that; it
    was sent to `endpoint`, at its very beginning.
    """

    __slots__ = (
        "began",
        "body",
        "call",
        "endpoint",
        "had",
        "left",
        "rescue",
        "sent",
        "special",
        "stream",
        "tally",
        "void",
    )

    def __init__(self, call: RedisCall) -> None:
        # Flattened: made for every call.
        self.done = False
        self.resume = None
        self.error = None
        self.value = None
        self.call = call
        self.body: Body = call.body
        self.tally: Optional[Tally] = None
        self.endpoint: Optional[EndpointLike] = None
        # Replies that are still to come.
        self.left = call.count
        self.rescue: Optional[Rescue] = None
        self.began = 0.0
        # Whether its replies need more than to be handed on: some are here, they stream, nobody waits for them.
        self.special = False
        # Whether a byte of it may have reached a server.
        self.sent = False
        self.had: list[bytes] = []
        # The replies, where they are passed on as they come.
        self.stream: Any = None
        # Nobody waits for its replies any more; they are still to come, and to be counted.
        self.void = False

    def __repr__(self) -> str:
        state = "done" if self.done else f"{self.left} replies to come"
        return f"<Pending {state} for {self.call!r}>"

    def is_of(self, caller: Caller) -> bool:
        """Whether this client waits for it."""
        return self.call.caller is caller

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for it."""
        return self.resume is not None and self.resume is not nobody

    def forget(self) -> None:
        """Whoever has waited does not any more: a reply that is passed on as it comes waits for nobody."""
        self.resume = nobody

    def fire(self, value: RedisReply) -> None:
        """There is a reply."""
        # That of Parked in line.
        self.done = True
        self.value = value
        resume = self.resume
        if resume is not None:
            self.resume = None
            if resume is nobody:
                value.discard()
            else:
                resume()

    def heard(self, body: bytes) -> None:
        """Take an ordinary reply, which is counted already."""
        raise NotImplementedError

    def whole(self, body: bytes, answers: Optional[Sequence[Answer]] = None, base: int = 0) -> None:
        """All replies are here: give them to the waiter.

        :param answers: where they stand, in `body` if `base` is taken away; None if none of them is an error.
        """
        reply = RedisReply(body, self.call.count)
        if answers is not None:
            reply.errors = errors_in(answers)
            reply.found(answers, base)
        self.fire(reply)

    def fail(self, error: BaseException) -> None:
        """Raise `error` in the waiter, unless somebody takes care."""
        rescue, self.rescue = self.rescue, None
        if rescue is None or not rescue(self, error):
            super().fail(error)

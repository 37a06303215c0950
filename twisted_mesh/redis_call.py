"""Redis commands as calls, and the replies to them: what the filters of a Redis listener carry.

Pipelined commands that came in one read travel as one call as far as they are of one class; `count` says how many.
Routes, filters and the upstream see the same fields as of any other call, and beside them the commands themselves.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, AbstractSet, Any, Callable, Collection, Optional, Protocol, Sequence

from twisted_mesh.call import Body, Call, Reply
from twisted_mesh.codec.commands import Command, find
from twisted_mesh.codec.resp import arguments, pack
from twisted_mesh.codec.resp_kinds import BULK_ERROR, ERROR
from twisted_mesh.codec.resp_reply import ReplyReader
from twisted_mesh.codec.resp_reply_scan import Answer
from twisted_mesh.codec.resp_request_scan import Found
from twisted_mesh.headers import Headers

if TYPE_CHECKING:
    from twisted_mesh.redis_pending import Pending

VERSIONS = {2: "2", 3: "3"}


class Overtook(Enum):
    """Whether a command was done before one that its client had sent first."""

    NO = 0
    #: It was sent, and has no reply yet.
    PERHAPS = 1
    DONE = 2


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

    def overtook(self, call: RedisCall, keys: Collection[bytes]) -> Overtook:
        """Whether something behind a call comes before it that must not come before a command of it with these keys."""


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
    - `unsent` are keys of commands of it that wait for a server, although it was sent.
    - `session` is whatever binds the call to an upstream connection of the client's own; None where nothing does.
    """

    protocol = "redis"
    key: bytes = b""
    write: bool = False
    db: int = 0
    resp: int = 2
    version = "2"
    session: Any = None
    unsent: AbstractSet[bytes] = frozenset()
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
        """Have other words sent in the place of these: as many commands, each with its name first.

        `command` and `key` follow.  A command may be another one that goes the same way, as UNLINK for DEL.

        :raises ValueError: they are too few or too many, or one of them goes another way than the one that it is for.
        """
        if len(commands) != self.count:
            raise ValueError(f"{len(commands)} commands in the place of {self.count}")
        rows = [self._row_for(number, words) for number, words in enumerate(commands)]
        self.carry(commands)
        self.command = rows[0]
        self.write = self.write or any(each.write for each in rows)
        places = rows[0].keys(commands[0])
        if places:
            self.key = commands[0][places[0]]
            self._resource = None

    def carry(self, commands: Sequence[Sequence[bytes]]) -> None:
        """Have these words sent, whatever they are."""
        packed = [pack(words) for words in commands]
        found, at = [], 0
        for words, data in zip(commands, packed):
            found.append((words[0], words[1] if len(words) > 1 else None, len(words), at, at + len(data)))
            at += len(data)
        self.commands = found
        self.data = self.body = b"".join(packed)

    def _row_for(self, number: int, words: Sequence[bytes]) -> Command:
        before = self.row(number)
        if words[0] == self.commands[number][0] and "|" not in before.name:
            return before
        row = find(words[0].upper(), words[1] if len(words) > 1 else None)
        if row is None or row.kind is not before.kind or (self.count > 1 and len(row.keys(words)) != 1):
            raise ValueError(f"{words[0].decode('utf-8', 'replace')} cannot be sent in the place of {before.name}")
        return row


class RedisReply(Reply):
    """The replies to all commands of a call, in their order.

    `body` are their bytes (a stream where they are large), `errors` how many of them are errors; `count` how many there
    are.

    :param sound: whether the caller knows that all of this is so; else it is looked at when a client is to have it.
    """

    errors: int = 0
    count: int = 1
    _answers: Optional[Sequence[Answer]] = None
    _base: int = 0
    # The body of which `_answers` tell, and that of which `count` and `errors` are known to be so.
    _known: Any = None
    sound_as: Any = None
    _headers: Optional[Headers] = None
    status = 0

    def __init__(
        self, body: Body, count: int = 1, *, errors: int = 0, local: bool = False, sound: bool = False
    ) -> None:
        self.body = body
        if count != 1:
            self.count = count
        if errors:
            self.errors = errors
        if local:
            self.local = True
        if sound:
            self.sound_as = body

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
        self._known = self.sound_as = self.body

    @property
    def answers(self) -> list[Answer]:
        """For each reply its type, and where it stands in the body.

        :raises ValueError: the body is a stream, or no replies of Redis.
        """
        body = self.body
        if not isinstance(body, bytes):
            raise ValueError("the replies are still on their way")
        if self._answers is None or self._known is not body:
            self._answers = ReplyReader(limit=len(body) + 1).feed(body)
            self._base = 0
            self._known = body
        base = self._base
        return [(kind, start - base, end - base) for kind, start, end in self._answers]

    def check(self, count: int) -> None:
        """Have `errors` tell of the body, where nobody knows yet whether it has a reply to each of `count` commands.

        :raises ValueError: it has not: what clients get would not be theirs.
        """
        body = self.body
        if self.sound_as is body:
            return
        if not isinstance(body, bytes):
            raise ValueError(f"a filter returned replies of {type(body).__name__}, and not bytes")
        answers = self.answers
        if len(answers) != count or answers[-1][2] != len(body):
            raise ValueError(f"a filter returned {len(answers)} replies to {count} commands in {len(body)} bytes")
        self.errors = errors_in(answers)
        self.sound_as = body


def errors_in(answers: Sequence[Answer]) -> int:
    """Return how many of these are errors."""
    return sum(kind in (ERROR, BULK_ERROR) for kind, _, _ in answers)

"""A few commands to one Redis server, on a connection of their own: who are you, which slots has whom, are you well.

A connection for each question, so that what is stuck on another one does not matter to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Literal, Sequence

import hiredis
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol

from twisted_mesh.codec.redis_facts import role
from twisted_mesh.codec.resp import pack
from twisted_mesh.upstream.probe import FAILURE, SUCCESS, Probe, Verdict

if TYPE_CHECKING:
    from twisted_mesh.model import Address
    from twisted_mesh.net.connect import Connector

# Bytes of replies that are read; the slots of a thousand nodes are less.
_ANSWER_LIMIT = 4 * 1024 * 1024
_LONGEST_LINE = 512

Login = tuple[str, str]
"""The user, "" for the default one, and the password, "" for none."""
NO_LOGIN: Login = ("", "")

Answered = Callable[[Sequence[Any]], None]


def login_words(login: Login) -> list[str]:
    """Return the AUTH command for a login; empty if there is none."""
    username, password = login
    if not password:
        return []
    return ["AUTH", username, password] if username else ["AUTH", password]


class RedisQuestion(Probe):
    """Sends some commands, and gives `answered` the replies to all of them, or else `failed` why there are none.

    An error reply is a `hiredis.ReplyError` among the replies; one to the login fails the question.  `over` says that
    nothing more will come.
    """

    def __init__(
        self,
        clock: IReactorTime,
        connector: Connector,
        target: Address,
        timeout: float,
        commands: Sequence[Sequence[str]],
        login: Login,
        answered: Answered,
        failed: Verdict,
    ) -> None:
        super().__init__(clock, timeout, failed)
        self.first = " ".join(commands[0])
        self.over = False
        self._commands = commands
        self._login = login_words(login)
        self._answered = answered
        self._replies = _Replies(self, len(commands) + bool(self._login))
        self.wait(connector.connect(target, self._replies, timeout))

    def connected(self, value: Any) -> None:
        transport: Any = self._replies.transport
        if transport is None:
            self.ended("the connection was closed before an answer")
            return
        login = [self._login] if self._login else []
        transport.write(b"".join(map(pack, [*login, *self._commands])))

    def close(self) -> None:
        transport: Any = self._replies.transport
        if transport is not None:
            transport.abortConnection()

    def finish(self) -> None:
        super().finish()
        self.over = True

    def replied(self, replies: list[Any]) -> None:
        """All replies are here."""
        self.finish()
        if self._login and isinstance(replies[0], hiredis.ReplyError):
            self.tell(FAILURE, f"AUTH answered {str(replies[0])[:80]}")
        elif self._verdict is not None:
            self._answered(replies[1:] if self._login else replies)
        self.close()

    def ended(self, reason: str) -> None:
        """Nothing more comes."""
        self.finish()
        self.tell(FAILURE, reason)


class _Replies(Protocol):
    """Reads so many replies."""

    def __init__(self, question: RedisQuestion, count: int) -> None:
        self._question = question
        self._left = count
        self._size = 0
        self._found: list[Any] = []
        self._reader = hiredis.Reader()
        # What came of something that is no reply.
        self._odd = b""

    def dataReceived(self, data: bytes) -> None:
        if not self._left:
            return
        self._size += len(data)
        if self._odd:
            self._not_redis(data)
            return
        try:
            self._reader.feed(data)
            while self._left:
                reply = self._reader.gets()
                if reply is False:
                    break
                self._found.append(reply)
                self._left -= 1
        except hiredis.ProtocolError:
            self._not_redis(data)
            return
        if not self._left:
            self._question.replied(self._found)
        elif self._size > _ANSWER_LIMIT:
            self._stop("the answer has no end")

    def connectionLost(self, reason: Any = None) -> None:
        self.transport = None
        if self._left:
            self._question.ended("the connection was closed before an answer")

    def _not_redis(self, data: bytes) -> None:
        """Wait for the end of the line, which says best who is there."""
        self._odd += data
        line, end, _ = self._odd.partition(b"\r\n")
        if end or len(line) > _LONGEST_LINE:
            self._stop(f"{self._question.first} answered {line.decode('latin-1')[:80]}")

    def _stop(self, why: str) -> None:
        self._left = 0
        self._question.ended(why)
        self._question.close()


# What a server says to PING when it is well; one that wants a password first is, for whoever has it.
_WELL = ("NOAUTH", "NOPERM")


class RedisProbe(RedisQuestion):
    """Sends a PING, and asks for a key that must not exist and for the role where that is wanted."""

    def __init__(
        self,
        clock: IReactorTime,
        connector: Connector,
        target: Address,
        timeout: float,
        verdict: Verdict,
        *,
        key: str = "",
        role: Literal["any", "primary", "replica"] = "any",
        login: Login = NO_LOGIN,
    ) -> None:
        self._key = key
        self._role = role
        commands = [["PING"]]
        if key:
            commands.append(["EXISTS", key])
        if role != "any":
            commands.append(["ROLE"])
        super().__init__(clock, connector, target, timeout, commands, login, self._judge, verdict)

    def _judge(self, replies: Sequence[Any]) -> None:
        waiting = list(replies)
        pong = waiting.pop(0)
        shown = "PING answered +PONG" if pong == b"PONG" else f"PING answered {_shown(pong)}"
        if pong != b"PONG" and not (isinstance(pong, hiredis.ReplyError) and str(pong).startswith(_WELL)):
            self.tell(FAILURE, shown)
            return
        if self._key:
            exists = waiting.pop(0)
            if exists != 0:
                shown = f"EXISTS {self._key} answered {_shown(exists)}"
                self.tell(FAILURE, f"maintenance: {shown}" if exists == 1 else shown)
                return
        if self._role != "any":
            wrong = _wrong_role(waiting.pop(0), self._role)
            if wrong:
                self.tell(FAILURE, wrong)
                return
        self.tell(SUCCESS, shown)


def _wrong_role(reply: Any, wanted: str) -> str:
    """Return why a reply to ROLE is not that of what is wanted; "" if it is."""
    try:
        found = role(reply)
    except ValueError as wrong:
        return f"ROLE answered {_shown(reply)}" if isinstance(reply, hiredis.ReplyError) else str(wrong)
    if found.name != wanted:
        return f"it is a {found.name} and no {wanted}"
    return "" if found.linked else "it is a replica that does not follow its primary now"


def _shown(reply: Any) -> str:
    if isinstance(reply, hiredis.ReplyError):
        return f"-{reply}"[:80]
    return reply.decode("latin-1")[:80] if isinstance(reply, bytes) else str(reply)[:80]

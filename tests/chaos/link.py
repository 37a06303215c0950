"""A connection to a Redis listener on which every command is counted, and every reply is held against its command."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import Any, Callable, NamedTuple, Optional

import hiredis

# Seconds after which a reply counts as lost: no timeout of the sidecar is nearly as long.
LOST = 60.0
# What replies begin with that say that something failed, and that a client may get while servers are killed.
FAILURES = frozenset(
    ["MESHTIMEOUT", "MESHFAILURE", "MESHNOHOST", "MESHLIMIT", "LOADING", "CLUSTERDOWN", "TRYAGAIN", "EXECABORT"]
)


class Failed(Exception):
    """A reply that is an error."""

    @property
    def word(self) -> str:
        return str(self).partition(" ")[0]


class Tally:
    """What the clients of one listener sent and heard, by command."""

    def __init__(self, listener: str) -> None:
        self.listener = listener
        self.sent: Counter[str] = Counter()
        # Of these no reply was read, as the client or the sidecar ended the connection.
        self.unheard: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        # By the first word of the error.
        self.failures: Counter[str] = Counter()
        self.wrong: list[str] = []

    def say(self, what: str) -> None:
        """Note something that must not be."""
        self.wrong.append(f"{self.listener}: {what}")


class Op(NamedTuple):
    """One command.

    `own` says whether a reply that is no error can be its own; `failed` notes that nobody knows whether it happened;
    `error` is the first word of an error that is a right answer.
    """

    name: str
    words: tuple[Any, ...]
    own: Callable[[Any], bool]
    failed: Callable[[], None] = lambda: None
    error: str = ""


class Gone(Exception):
    """The sidecar has ended the connection."""


class Link:
    """One connection."""

    def __init__(self, tally: Tally, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tally = tally
        self.writer = writer
        self._reader = reader
        self._parser = hiredis.Reader(replyError=Failed)
        self._waiting: deque[Op] = deque()
        # What was answered lately, for whoever has to find out.
        self._heard: deque[tuple[Op, Any]] = deque(maxlen=200)

    @classmethod
    async def open(cls, tally: Tally, port: int) -> Link:
        return cls(tally, *await asyncio.open_connection("127.0.0.1", port))

    def send(self, *ops: Op) -> bytes:
        """Send commands in one write; returns what was sent."""
        data = b"".join(hiredis.pack_command(each.words) for each in ops)
        self._waiting.extend(ops)
        self.tally.sent.update(each.name for each in ops)
        self.writer.write(data)
        return data

    async def replies(self, count: Optional[int] = None) -> list[Any]:
        """Read the replies to the oldest commands, to all of them if not given, and check each.

        :raises Gone: the connection ended before.
        """
        found = []
        for _ in range(len(self._waiting) if count is None else count):
            reply = await self.read()
            op = self._waiting.popleft()
            self._check(op, reply)
            found.append(reply)
        return found

    async def ask(self, op: Op) -> Any:
        """Send one command and return its reply."""
        self.send(op)
        return (await self.replies())[-1]

    async def read(self, within: float = LOST) -> Any:
        """Return the next reply or message.

        :raises Gone: the connection ended before.
        """
        reply = self._parser.gets()
        if reply is not False:
            return reply
        # Not `asyncio.wait_for`, which swallows a cancellation that comes together with what it waits for.
        late = asyncio.get_running_loop().call_later(within, self._late, within)
        try:
            while reply is False:
                self._parser.feed(await self._some())
                reply = self._parser.gets()
            return reply
        finally:
            late.cancel()

    async def _some(self) -> bytes:
        try:
            data = await self._reader.read(65536)
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        return data

    def _late(self, within: float) -> None:
        self.tally.say(f"nothing came for {within:g} s, and {len(self._waiting)} commands wait")
        self.writer.transport.abort()

    def _before(self, op: Op) -> str:
        """What was answered to commands with the same key, the newest last."""
        found = [each for each in self._heard if op.words[1:2] and op.words[1] in each[0].words]
        return "".join(f"\n    {each.name} {each.words[1:]!r:.150} -> {reply!r:.100}" for each, reply in found[-8:])

    def _check(self, op: Op, reply: Any) -> None:
        tally = self.tally
        self._heard.append((op, reply))
        if isinstance(reply, Failed):
            tally.errors[op.name] += 1
            if reply.word != op.error:
                if reply.word in FAILURES or str(reply).startswith("ERR finished with"):
                    tally.failures[reply.word] += 1
                    op.failed()
                else:
                    tally.say(f"{op.name} {op.words[1:2]} was answered {str(reply)!r}")
        elif not op.own(reply):
            tally.say(f"{op.name} got a reply of somebody else or of before, behind{self._before(op)}")

    def quiet(self) -> bool:
        """Whether no reply is left that nobody asked for; to be asked once all replies are read."""
        return self._parser.gets() is False and not self._reader._buffer  # type: ignore[attr-defined]

    def end(self, reset: bool = False) -> list[Op]:
        """End the connection; returns the commands whose replies were not read."""
        left = list(self._waiting)
        self._waiting.clear()
        self.tally.unheard.update(each.name for each in left)
        if reset:
            self.writer.transport.abort()
        self.writer.close()
        return left

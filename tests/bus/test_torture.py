"""A server that is killed, paused, restarted and cut off at random while many commands are under way."""

from __future__ import annotations

import random
from typing import Any, Callable

from twisted.internet.defer import Deferred, gatherResults

from tests.servers import Live, Refused, Server
from tests.support import until
from twisted_mesh.bus.client import BusError, Redis, Subscriber

TALKERS = 20
BLOWS = 12


class Talkers:
    """Many at once ask and count; each knows what it was told, and what it cannot know."""

    def __init__(self, redis: Redis, reactor: Any) -> None:
        self.redis = redis
        self.reactor = reactor
        self.told = self.unknown = self.unsent = 0
        self.mistaken: list[Any] = []
        self.kinds: set[str] = set()
        self.over = False

    async def talk(self, name: int) -> None:
        """Count one up at a time, with a question that has only one answer beside it."""
        turn = 0
        while not self.over:
            turn += 1
            asked = [self.redis.command("INCR", "count"), self.redis.command("ECHO", f"{name}-{turn}")]
            if await self._outcome(asked[0]) == "told":
                self.told += 1
            try:
                answer = await asked[1]
                if answer != f"{name}-{turn}".encode():
                    self.mistaken.append(answer)
            except BusError as error:
                self.kinds.add(error.kind)
            await self._breathe()

    async def _outcome(self, asked: Deferred[Any]) -> str:
        try:
            await asked
        except BusError as error:
            self.kinds.add(error.kind)
            if error.sent:
                self.unknown += 1
            else:
                self.unsent += 1
            return error.kind
        return "told"

    async def _breathe(self) -> None:
        pause: Deferred[None] = Deferred()
        self.reactor.callLater(0.002, pause.callback, None)
        await pause


def test_no_answer_is_mistaken_and_nothing_runs_twice_or_late(
    live: Live, redis_servers: Callable[..., Server], redis: Callable[..., Redis], subscriber: Callable[..., Subscriber]
) -> None:
    """What was told is there; what is there beyond that was sent and lost its answer; what was not sent never ran."""
    server = redis_servers("--appendonly", "yes", "--appendfsync", "always")
    one = redis(server.url, timeout=0.25)
    two = subscriber(server.url, timeout=0.25)
    got: list[bytes] = []
    live.run(lambda: two.subscribe("c", got.append))
    talkers = Talkers(one, live.reactor)
    ended = live.run(lambda: [gatherResults([Deferred.fromCoroutine(talkers.talk(each)) for each in range(TALKERS)])])
    dice = random.Random(7)
    for _ in range(BLOWS):
        before = talkers.told
        until(lambda before=before: talkers.told > before + 5)  # type: ignore[misc]
        _blow(server, dice)
    live.until(lambda: one.connected and two.connected)
    talkers.over = True
    live.until(lambda: ended[0].called)
    assert talkers.mistaken == []
    assert talkers.told > 100
    count = int(server("GET", "count"))
    assert talkers.told <= count <= talkers.told + talkers.unknown
    assert talkers.kinds <= {"down", "timeout"}
    got.clear()
    server("PUBLISH", "c", "at last")
    live.until(lambda: got == [b"at last"])


def _blow(server: Server, dice: random.Random) -> None:
    """Do the server some harm, and let it be well again."""
    kind = dice.choice(["restart", "pause", "cut", "cut all", "slow"])
    if kind == "restart":
        server.restart()
    elif kind == "pause":
        server.pause()
        try:
            until(lambda: dice.random() < 0.05)
        finally:
            server.resume()
    elif kind == "slow":
        server("CLIENT", "PAUSE", dice.randrange(400), "ALL")
    else:
        try:
            server("CLIENT", "KILL", "TYPE", "normal" if kind == "cut" else "pubsub", "SKIPME", "yes")
        except Refused:
            raise AssertionError("the server does not know CLIENT KILL") from None

"""Clients of Redis that are bound to connections of their own: transactions, subscriptions, lists that they wait for."""

from __future__ import annotations

import asyncio
import itertools
import random
from functools import partial
from typing import Any, Callable, Optional

from tests.chaos.link import Failed, Gone, Link, Op, Tally

_NUMBERS = itertools.count()


def _is(expected: Any) -> Callable[[Any], bool]:
    return lambda reply: bool(reply == expected)


class Session:
    """What they have in common: one connection after the other, each until it ends.

    :param gentle: it never hangs up by a reset.
    """

    def __init__(self, name: str, port: int, seed: int, tally: Tally, gentle: bool = False) -> None:
        self.name = name
        self.port = port
        self.dice = random.Random(f"{seed} {name}")
        self.tally = tally
        self.gentle = gentle

    async def run(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            try:
                await self.episode(until)
            except OSError as error:
                self.tally.say(f"{self.name} could not connect: {error}")
                await asyncio.sleep(0.1)

    async def episode(self, until: float) -> None:
        raise NotImplementedError

    def fresh(self, what: str) -> str:
        """Return a name that nobody had before."""
        return f"{self.name}:{what}{next(_NUMBERS)}"

    def resets(self, share: float) -> bool:
        return not self.gentle and self.dice.random() < share


class Transactions(Session):
    """Two counts are always raised together, so they are always the same."""

    async def episode(self, until: float) -> None:
        loop, self.sure, self.perhaps = asyncio.get_running_loop(), 0, 0
        tag = self.fresh("")
        self.keys = [f"{{{tag}}}{each}".encode() for each in "ab"]
        link = await Link.open(self.tally, self.port)
        try:
            while loop.time() < until:
                await asyncio.sleep(self.dice.uniform(0.01, 0.05))
                if self.resets(0.03):
                    link.send(*self._ops()[: self.dice.randint(1, 4)])
                    link.end(reset=True)
                    return
                if not await self._once(link):
                    break
            if not link.quiet():
                self.tally.say(f"{self.name}: there was a reply more than there were commands")
            link.end()
        except Gone:
            self.tally.say(f"{self.name}: its connection ended, and {len(link.end())} commands were not answered")

    def _ops(self) -> list[Op]:
        return [
            Op("multi", (b"MULTI",), _is(b"OK")),
            *(Op("incr", (b"INCR", each), _is(b"QUEUED")) for each in self.keys),
            Op("exec", (b"EXEC",), self._both, self._perhaps),
        ]

    async def _once(self, link: Link) -> bool:
        """One transaction, in one write or step by step; returns whether the keys may be used on."""
        ops = self._ops()
        if self.dice.random() < 0.3:
            watch = await link.ask(Op("watch", (b"WATCH", self.keys[0]), _is(b"OK")))
            if isinstance(watch, Failed):
                return True
        if self.dice.random() < 0.5:
            link.send(*ops)
            began = (await link.replies())[0]
        else:
            began = await link.ask(ops[0])
            for each in ops[1:]:
                if isinstance(began, Failed):
                    break
                await link.ask(each)
        # Where MULTI failed the others were commands of their own, and each of them may have happened or not.
        return not isinstance(began, Failed)

    def _perhaps(self) -> None:
        self.perhaps += 1

    def _both(self, reply: Any) -> bool:
        if not isinstance(reply, list) or len(reply) != 2 or reply[0] != reply[1]:
            return False
        if not self.sure + 1 <= reply[0] <= self.sure + 1 + self.perhaps:
            return False
        self.sure, self.perhaps = reply[0], 0
        return True


class Subscribers(Session):
    """Whoever listens gets what was published, in order, unless its server is lost: it is told so then."""

    async def episode(self, until: float) -> None:
        channel = self.fresh("channel").encode()
        listener = await Link.open(self.tally, self.port)
        publisher = await Link.open(self.tally, self.port)
        try:
            listener.send(Op("subscribe", (b"SUBSCRIBE", channel), _is([b"subscribe", channel, 1])))
            if not isinstance((await listener.replies())[0], Failed):
                await self._publish(listener, publisher, channel, until)
        except Gone:
            # A listener whose server is lost gets an error first: see `_hear`.
            pass
        finally:
            listener.end(reset=self.resets(0.3))
            publisher.end()

    async def _publish(self, listener: Link, publisher: Link, channel: bytes, until: float) -> None:
        loop = asyncio.get_running_loop()
        arrived: list[int] = []
        hearing = asyncio.ensure_future(self._hear(listener, channel, arrived))
        try:
            delivered = []
            for number in range(self.dice.randint(5, 60)):
                if loop.time() > until or hearing.done():
                    break
                heard = await publisher.ask(
                    Op("publish", (b"PUBLISH", channel, b"%d" % number), lambda reply: reply in (0, 1))
                )
                if heard == 1:
                    delivered.append(number)
                await asyncio.sleep(self.dice.uniform(0, 0.02))
            limit = loop.time() + 30
            while not hearing.done() and not set(delivered) <= set(arrived):
                if loop.time() > limit:
                    missing = sorted(set(delivered) - set(arrived))
                    self.tally.say(f"{self.name}: of {len(delivered)} messages {missing[:5]} never came")
                    break
                await asyncio.sleep(0.01)
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    async def _hear(self, listener: Link, channel: bytes, arrived: list[int]) -> None:
        while True:
            try:
                message = await listener.read(within=3600)
            except Gone:
                self.tally.say(f"{self.name}: its subscription ended in silence")
                return
            if isinstance(message, Failed):
                self.tally.failures[message.word] += 1
                if message.word != "MESHFAILURE":
                    self.tally.say(f"{self.name}: its subscription ended with {message}")
                return
            if not isinstance(message, list) or message[:2] != [b"message", channel]:
                self.tally.say(f"{self.name}: heard {message!r:.200}")
            elif arrived and int(message[2]) <= arrived[-1]:
                self.tally.say(f"{self.name}: heard {message[2]!r} after {arrived[-1]}")
            else:
                arrived.append(int(message[2]))


class Queues(Session):
    """One pushes numbers, one waits for them: each comes once, in order, but for those that a failure may have taken."""

    async def episode(self, until: float) -> None:
        loop, key = asyncio.get_running_loop(), self.fresh("queue").encode()
        taker, giver = await Link.open(self.tally, self.port), await Link.open(self.tally, self.port)
        taken: list[int] = []
        given: list[int] = []
        self.failures = 0
        taking = asyncio.ensure_future(self._take(taker, key, given, taken))
        try:
            for number in range(self.dice.randint(5, 40)):
                if loop.time() > until or taking.done():
                    break
                push = Op("rpush", (b"RPUSH", key, b"%d" % number), lambda reply: isinstance(reply, int))
                if not isinstance(await giver.ask(push), Failed):
                    given.append(number)
                await asyncio.sleep(self.dice.uniform(0, 0.05))
            limit = loop.time() + 30
            while not taking.done() and len(set(given) - set(taken)) > self.failures:
                if loop.time() > limit:
                    self.tally.say(f"{self.name}: {sorted(set(given) - set(taken))[:5]} of {len(given)} were not taken")
                    break
                await asyncio.sleep(0.01)
        except Gone:
            self.tally.say(f"{self.name}: the connection of who gives ended")
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
            taker.end(reset=self.resets(0.5))
            giver.end()

    async def _take(self, taker: Link, key: bytes, given: list[int], taken: list[int]) -> None:
        def own(reply: Any) -> bool:
            return reply is None or (isinstance(reply, list) and reply[0] == key)

        while True:
            try:
                reply: Optional[Any] = await taker.ask(Op("blpop", (b"BLPOP", key, b"0.5"), own))
            except Gone:
                self.tally.say(f"{self.name}: the connection of who waits ended")
                return
            if isinstance(reply, Failed):
                # It may have been taken, for nobody.
                self.failures += 1
                await asyncio.sleep(0.02)
            elif reply is not None:
                number = int(reply[1])
                # What failed may be done later all the same: by a server that was paused, behind what came over the
                # next connection.
                late = taken and number < taken[-1] and number not in given
                if taken and number <= taken[-1] and (not late or number in taken):
                    self.tally.say(f"{self.name}: took {number} after {taken[-1]}")
                taken.append(number)


def sessions(
    listener: str, port: int, seed: int, tally: Tally, each: int, gentle: bool = False
) -> list[Callable[[float], Any]]:
    """Return what runs so many of each kind, each until a time of the loop."""
    kinds = {"transactions": Transactions, "subscribers": Subscribers, "queues": Queues}
    return [
        partial(kind(f"{listener}-{name}-{at}", port, seed, tally, gentle).run)
        for name, kind in kinds.items()
        for at in range(each)
    ]

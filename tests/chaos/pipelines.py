"""Clients of Redis that send pipelines, and know of every command what its reply has to be."""

from __future__ import annotations

import asyncio
import itertools
import random
from functools import partial
from typing import Any, Callable, Iterator

from tests.chaos.link import FAILURES, Failed, Gone, Link, Op, Tally
from tests.chaos.values import Count, Register

MOST = 40
# Longer than what is passed on as it comes, and so is not kept whole.
BIG = 300_000
_GENERATIONS = itertools.count()
_SCRIPT = b"return {KEYS[1], ARGV[1]}"


class Pipelines:
    """One client: it sends pipelines, hangs up now and then, and begins anew with other keys.

    :param gentle: it never hangs up.
    """

    _PLAIN = 5

    def __init__(self, name: str, port: int, seed: int, tally: Tally, gentle: bool = False) -> None:
        self._name = name
        self._port = port
        self._dice = random.Random(f"{seed} {name}")
        self._tally = tally
        self._gentle = gentle
        self._numbers = itertools.count()
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Forget the keys: of what was sent nobody knows how much has happened, or will yet."""
        start = f"{self._name}:{next(_GENERATIONS)}"
        self._values = [Register(f"{start}:v{each}") for each in range(self._PLAIN)]
        # Answered from the sidecar's own cache, where there is one.
        self._values += [Register(f"kept:{start}:v{each}") for each in range(2)]
        self._big = Register(f"{start}:big")
        self._counts = [Count(f"{start}:n{each}") for each in range(3)]

    async def run(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            try:
                link = await Link.open(self._tally, self._port)
            except OSError as error:
                self._tally.say(f"could not connect: {error}")
                await asyncio.sleep(0.1)
                continue
            try:
                await self._talk(link, until)
            except Gone:
                left = link.end()
                # A reply that was passed on in part cannot be followed by another.
                if not any(each.words[:2] == (b"GET", self._big.key) for each in left):
                    self._tally.say(f"{self._name}: the connection ended, and {len(left)} commands were not answered")
                self._begin_anew()

    async def _talk(self, link: Link, until: float) -> None:
        loop, dice = asyncio.get_running_loop(), self._dice
        while loop.time() < until:
            ops = [next(self._ops) for _ in range(dice.choice((1, 1, 3, 10, MOST)))]
            link.send(*ops)
            if not self._gentle and dice.random() < 0.05:
                await self._hang_up(link, len(ops))
                return
            await link.replies()
            if dice.random() < 0.03:
                await link.ask(Op("quit", (b"QUIT",), lambda reply: reply == b"OK"))
                break
            await asyncio.sleep(dice.uniform(0.01, 0.06))
        if not link.quiet():
            self._tally.say(f"{self._name}: there was a reply more than there were commands")
        link.end()

    async def _hang_up(self, link: Link, sent: int) -> None:
        """Go away inside of the replies, or before them."""
        if self._dice.random() < 0.5:
            await link.replies(self._dice.randrange(sent))
        else:
            await asyncio.sleep(self._dice.uniform(0, 0.05))
        link.end(reset=True)
        self._begin_anew()

    # --- commands

    @property
    def _ops(self) -> Iterator[Op]:
        while True:
            yield self._dice.choices(self._KINDS, self._WEIGHTS)[0](self)

    def _tag(self, size: int = 0) -> bytes:
        tag = f"{self._name}={next(self._numbers)};".encode()
        return tag * (size // len(tag)) if size else tag

    def _set(self) -> Op:
        register, value = self._dice.choice(self._values), self._tag()
        return self._setting(register, value)

    def _setting(self, register: Register, value: bytes) -> Op:
        def own(reply: Any) -> bool:
            if reply != b"OK":
                return False
            register.set(value)
            return True

        return Op("set", (b"SET", register.key, value), own, lambda: register.set_perhaps(value))

    def _get(self) -> Op:
        register = self._dice.choice(self._values)
        return Op("get", (b"GET", register.key), register.read)

    def _set_big(self) -> Op:
        return self._setting(self._big, self._tag(BIG))

    def _get_big(self) -> Op:
        return Op("get", (b"GET", self._big.key), self._big.read)

    def _incr(self) -> Op:
        count = self._dice.choice(self._counts)
        return Op("incr", (b"INCR", count.key), count.added, count.added_perhaps)

    def _get_count(self) -> Op:
        count = self._dice.choice(self._counts)
        return Op("get", (b"GET", count.key), count.read)

    def _echo(self) -> Op:
        tag = self._tag()
        return Op("echo", (b"ECHO", tag), lambda reply: reply == tag)

    def _ping(self) -> Op:
        tag = self._tag()
        return Op("ping", (b"PING", tag), lambda reply: reply == tag)

    def _eval(self) -> Op:
        key, tag = self._dice.choice(self._values).key, self._tag()
        return Op("eval", (b"EVAL", _SCRIPT, b"1", key, tag), lambda reply: reply == [key, tag])

    def _eval_ro(self) -> Op:
        key, tag = self._dice.choice(self._values).key, self._tag()
        return Op("eval_ro", (b"EVAL_RO", _SCRIPT, b"1", key, tag), lambda reply: reply == [key, tag])

    def _wrong_type(self) -> Op:
        """One that a server answers with an error, which is the right answer."""
        key = self._dice.choice(self._counts).key
        return Op("hget", (b"HGET", key, b"field"), lambda reply: reply is None, error="WRONGTYPE")

    def _mget(self) -> Op:
        registers = self._dice.sample(self._values, self._dice.randint(2, len(self._values)))

        def own(reply: Any) -> bool:
            if not isinstance(reply, list) or len(reply) != len(registers):
                return False
            return all(
                each.word in FAILURES if isinstance(each, Failed) else register.read(each)
                for register, each in zip(registers, reply, strict=True)
            )

        return Op("mget", (b"MGET", *(each.key for each in registers)), own)

    def _mset(self) -> Op:
        # Its first key says by which route it goes, and so which cache hears of it.
        alike = self._values[: self._PLAIN] if self._dice.random() < 0.8 else self._values[self._PLAIN :]
        registers = self._dice.sample(alike, self._dice.randint(2, len(alike)))
        values = [self._tag() for _ in registers]

        def own(reply: Any) -> bool:
            if reply != b"OK":
                return False
            for register, value in zip(registers, values, strict=True):
                register.set(value)
            return True

        def failed() -> None:
            for register, value in zip(registers, values, strict=True):
                register.set_perhaps(value)

        words = [word for register, value in zip(registers, values, strict=True) for word in (register.key, value)]
        return Op("mset", (b"MSET", *words), own, failed)

    _KINDS: tuple[Callable[[Any], Op], ...] = (
        _set, _get, _incr, _get_count, _echo, _ping, _eval, _eval_ro, _mget, _mset, _wrong_type, _set_big, _get_big,
    )  # fmt: skip
    _WEIGHTS = (20, 25, 15, 10, 5, 3, 5, 5, 5, 5, 2, 0.7, 0.7)


def pipelines(
    listener: str, port: int, seed: int, tally: Tally, clients: int, gentle: bool = False
) -> list[Callable[[float], Any]]:
    """Return what runs so many clients, each until a time of the loop."""
    return [partial(Pipelines(f"{listener}-{each}", port, seed, tally, gentle).run) for each in range(clients)]

"""Clients that keep an account of every call they make, and hang up now and then."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from typing import Optional

# Seconds after which a call counts as lost: no timeout of the sidecar is nearly as long.
LOST = 60.0


class Account:
    """What clients saw: the status of each call by its id, 0 for one that was cut, None for one that they gave up."""

    def __init__(self) -> None:
        self.http: dict[str, Optional[int]] = {}
        self.whole: Counter[int] = Counter()
        self.tcp: Counter[str] = Counter()
        self.lost: list[str] = []


_NUMBERS = itertools.count()


async def http_client(number: int, port: int, seed: int, until: float, account: Account, gentle: bool = False) -> None:
    """Make calls one after the other until the time is over.

    :param gentle: it never hangs up.
    """
    dice, loop = random.Random(seed * 1000 + number), asyncio.get_running_loop()
    reader: Optional[asyncio.StreamReader] = None
    writer: Optional[asyncio.StreamWriter] = None
    while loop.time() < until:
        if reader is None or writer is None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        call = f"chaos-{number}-{next(_NUMBERS)}"
        body = b"y" * dice.choice((0, 0, 0, 10, 5000, 200_000))
        method = b"POST" if body else b"GET"
        head = b"%s /%d HTTP/1.1\r\nHost: chaos\r\nX-Request-Id: %s\r\nX-Team: %d\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % (method, number, call.encode(), number % 3, len(body)) + body)
        if not gentle and dice.random() < 0.03:
            # It is not said whether the sidecar has read all of it by then.
            account.http[call] = None
            await asyncio.sleep(dice.uniform(0, 0.05))
            writer.transport.abort()
            reader = writer = None
            continue
        try:
            status, kept = await asyncio.wait_for(_read(reader), LOST)
        except (OSError, asyncio.IncompleteReadError):
            account.http[call] = account.http.get(call, 0)
            status, kept = 0, False
        except asyncio.TimeoutError:
            account.lost.append(call)
            status, kept = 0, False
        account.http[call] = status
        if not kept:
            writer.close()
            reader = writer = None
    if writer is not None:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> tuple[int, bool]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(each[15:]) for each in lines if each.startswith(b"content-length:"))
    try:
        await reader.readexactly(length)
    except (OSError, asyncio.IncompleteReadError):
        # The head was there: the status counts, and the call was cut.
        return int(head[9:12]), False
    return int(head[9:12]), b"connection: close" not in lines


async def tcp_client(number: int, port: int, seed: int, until: float, account: Account) -> None:
    """Make connections through the relay, send something, and end them in one way or another."""
    dice, loop = random.Random(seed * 2000 + number), asyncio.get_running_loop()
    while loop.time() < until:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            account.tcp["not connected"] += 1
            continue
        account.tcp["connected"] += 1
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(reader.read(100), 5.0)
        except (OSError, asyncio.TimeoutError):
            account.tcp["cut or silent"] += 1
        if dice.random() < 0.5:
            writer.transport.abort()
        writer.close()
        await asyncio.sleep(0.02)

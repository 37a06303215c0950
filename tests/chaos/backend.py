"""A server of HTTP that fails on purpose: ``python -m tests.chaos.backend PORT SEED``.

Every second it takes another mood by the dice: well, slow, errors in a burst, replies that are reset in the middle, replies
that never come, connections that are refused.
"""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import struct
import sys

MOODS = ("well", "well", "well", "slow", "errors", "reset", "hang", "refuse")
BODY = b"x" * 3000


class Backend:
    def __init__(self, port: int, seed: int) -> None:
        self.port = port
        self.dice = random.Random(seed)
        self.mood = "well"
        self.moody = True

    def be_moody(self, moody: bool) -> None:
        """Fail from now on, or not."""
        self.moody = moody
        self.mood = "well"

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self.be_moody, False)
        loop.add_signal_handler(signal.SIGUSR2, self.be_moody, True)
        while True:
            try:
                server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            while self.mood != "refuse":
                await asyncio.sleep(1.0)
                self.mood = self.dice.choice(MOODS) if self.moody else "well"
            server.close()
            await asyncio.sleep(1.0)
            self.mood = "well"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self.answer(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                await reader.readexactly(int(line[15:]))
        mood = self.mood
        if mood == "hang":
            # Until it is given up, or the mood is another.
            while self.mood == "hang" and not reader.at_eof():
                await asyncio.sleep(0.05)
            return False
        if mood == "slow":
            await asyncio.sleep(self.dice.uniform(0.05, 0.4))
        if mood == "errors":
            writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
            return True
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        if mood == "reset":
            writer.write(BODY[:1000])
            await writer.drain()
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        writer.write(BODY)
        await writer.drain()
        return True


if __name__ == "__main__":
    asyncio.run(Backend(int(sys.argv[1]), int(sys.argv[2])).run())

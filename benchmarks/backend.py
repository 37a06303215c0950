"""A small HTTP backend for machines without nginx: answers from memory, one asyncio protocol per connection.

usage: backend.py PORT
"""

from __future__ import annotations

import asyncio
import sys
from typing import Optional, cast

from proxies import SIZES, SMALL


def _answer(size: int, text: bytes = b"") -> bytes:
    body = text or b"x" * size
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


ANSWERS = {f"/{name}".encode(): _answer(size) for name, size in SIZES.items()}
ANSWERS[b"/"] = _answer(0, SMALL.encode())


class Backend(asyncio.Protocol):
    """Answers each request once its body, framed by Content-Length, has come."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: Optional[asyncio.Transport] = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            mark = head.find(b"\r\ncontent-length:")
            length = int(head[mark + 17 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            path = head.split(b" ", 2)[1]
            self._buffer = self._buffer[end + 4 + length :]
            self._transport.write(ANSWERS.get(path, ANSWERS[b"/"]))
            if b"\r\nconnection: close" in head:
                self._transport.close()
                return


async def _main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(_main(int(sys.argv[1])))
    else:
        uvloop.run(_main(int(sys.argv[1])))

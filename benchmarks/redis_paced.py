"""Latency of a Redis listener and of Envoy's redis_proxy at a constant rate, from when a command should have been sent.

    python benchmarks/redis_paced.py [--rate 20000] [--seconds 5] [--rounds 3]

GETs go out over 50 connections at a rate that no answer slows down (open loop).  The proxies are those of `redis_rows`,
one after the other on CPU 0; CPU 1 has the server and the load.  Commands that the load itself sent more than a
millisecond late are counted: where they are many the machine did something else, and the figures say nothing.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.redis_rows import Row, load, proxies
from tests.servers import Server
from tests.support import connect, until

CLIENTS = 50
COMMAND = b"*2\r\n$3\r\nGET\r\n$16\r\nkey:__rand_int__\r\n"
REPLY = b"$3\r\nxxx\r\n"


class Paced:
    """Sends GETs to a port at so many a second; `taken` are seconds from due to answered, `late` as above."""

    def __init__(self, port: int, rate: float) -> None:
        self._gap = 1.0 / rate
        self._poll = select.epoll()
        self._socks: dict[int, socket.socket] = {}
        # When the commands of each connection were due that have no answer, the oldest first; and what came of one.
        self._due: dict[int, list[float]] = {}
        self._rest: dict[int, int] = {}
        self.taken: list[float] = []
        self.late = 0
        for _ in range(CLIENTS):
            sock = connect(port)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socks[sock.fileno()] = sock
            self._due[sock.fileno()] = []
            self._rest[sock.fileno()] = 0
            self._poll.register(sock, select.EPOLLIN)

    def run(self, seconds: float) -> None:
        """Send for so long, and wait for the last answers for a second at most."""
        numbers = list(self._socks)
        began = due = time.monotonic()
        sent, end = 0, began + seconds
        while due < end or (any(self._due.values()) and time.monotonic() < end + 1.0):
            now = time.monotonic()
            while due <= now and due < end:
                number = numbers[sent % CLIENTS]
                self._socks[number].send(COMMAND)
                self._due[number].append(due)
                self.late += now - due > 0.001
                sent += 1
                due = began + sent * self._gap
            for number, _ in self._poll.poll(max(0.0, min(due - time.monotonic(), 0.001)) if due < end else 0.001):
                self._take(number)
        for each in self._socks.values():
            each.close()

    def _take(self, number: int) -> None:
        got = self._rest[number] + len(self._socks[number].recv(65536))
        count, self._rest[number] = divmod(got, len(REPLY))
        now, due = time.monotonic(), self._due[number]
        self.taken += [now - each for each in due[:count]]
        del due[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description="Latency of a Redis listener and of its peers at a constant rate.")
    parser.add_argument("--rate", type=float, default=20_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})
    server = Server().start()
    running = []
    with tempfile.TemporaryDirectory(prefix="redis-paced-") as directory:
        try:
            running = proxies(Path(directory), [server.port])
            for proxy in running:
                until(lambda proxy=proxy: not connect(proxy.port).close(), proxy.name)  # type: ignore[misc]
                load(proxy.port, Row("warm", "set", 1, 1000), 1.0)
            for _ in range(options.rounds):
                for proxy in running:
                    paced = Paced(proxy.port, options.rate)
                    before = proxy.cpu()
                    paced.run(options.seconds)
                    found = sorted(paced.taken)
                    p50, p99 = found[len(found) // 2] * 1e3, found[len(found) * 99 // 100] * 1e3
                    busy = (proxy.cpu() - before) / options.seconds * 100
                    shown = f"p50 {p50:.3f} ms, p99 {p99:.3f} ms, {busy:.0f} % of a core, {paced.late} late"
                    print(f"{proxy.name:16} {len(found) / options.seconds:8,.0f}/s  {shown}", flush=True)
        finally:
            for proxy in running:
                if proxy.process is not None:
                    proxy.process.kill()
                    proxy.process.wait()
            server.stop()


if __name__ == "__main__":
    main()

"""An open-loop client: requests leave at a constant rate, whether or not earlier ones have been answered.

usage: steady.py PORT RATE SECONDS

wrk sends the next request when the last has been answered, so a proxy that stalls is asked less while it stalls and
the stall is hardly seen.  Here every request has its moment.  It goes out on a connection that has nothing in flight;
if all wait for answers another one is opened.  Latency is counted from the moment the bytes leave to the end of the
answer.  Requests that leave more than a millisecond behind schedule are counted too: many of them mean that the machine
was too busy to measure.  A plain loop round select(), whose timeout has microseconds (epoll's has milliseconds), with
the garbage collector off: its pauses would be taken for the proxy's.
"""

from __future__ import annotations

import gc
import select
import socket
import sys
import time
from dataclasses import dataclass, field

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\nUser-Agent: steady\r\nAccept: */*\r\n\r\n"
FIRST_CONNECTIONS = 16
MOST_CONNECTIONS = 512  # select() takes descriptors below 1,024
SKIPPED = 500  # requests at the beginning that warm up and are not counted
LATE = 1_000_000  # nanoseconds


@dataclass
class Run:
    """What one run has seen: `latencies` in nanoseconds, in the order of the answers."""

    latencies: list[int] = field(default_factory=list)
    errors: int = 0
    late: int = 0


class Link:
    """One keep-alive connection, with at most one request in flight."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent = 0
        self._buffer = b""
        self._whole = 0

    def fileno(self) -> int:
        return self.sock.fileno()

    def ask(self) -> None:
        """Send one request now."""
        self._buffer = b""
        self._whole = 0
        self.sent = time.perf_counter_ns()
        self.sock.sendall(REQUEST)

    def read(self) -> int:
        """Read what is there.  1: the answer is complete; 0: not yet; -1: the connection or the answer is bad."""
        try:
            data = self.sock.recv(65536)
        except OSError:
            return -1
        if not data:
            return -1
        self._buffer += data
        if not self._whole:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return 0
            head = self._buffer[:end].lower()
            mark = head.find(b"\r\ncontent-length:")
            if mark < 0 or not head.startswith(b"http/1.1 200"):
                return -1
            self._whole = end + 4 + int(head[mark + 17 :].split(b"\r\n", 1)[0])
        return 1 if len(self._buffer) >= self._whole else 0


def run(port: int, rate: int, seconds: float) -> Run:
    """Send `rate` requests a second for `seconds`, then wait up to five seconds for the last answers."""
    seen = Run()
    idle = [Link(port) for _ in range(FIRST_CONNECTIONS)]
    busy: set[Link] = set()
    total = int(rate * seconds) + SKIPPED
    interval = 1e9 / rate
    begun = time.perf_counter_ns()
    sent = 0
    while sent < total or busy:
        now = time.perf_counter_ns()
        due = begun + int(sent * interval)
        if sent < total and now >= due:
            seen.late += now - due > LATE and sent >= SKIPPED
            sent += 1
            _send(port, idle, busy, seen)
            continue
        if sent == total and now > due + 5_000_000_000:
            seen.errors += len(busy)
            break
        wait = (due - now) / 1e9 if sent < total else 0.1
        for link in select.select(list(busy), [], [], max(wait, 0.0))[0]:
            _receive(link, idle, busy, seen)
    return seen


def _send(port: int, idle: list[Link], busy: set[Link], seen: Run) -> None:
    if not idle and len(busy) >= MOST_CONNECTIONS:
        seen.errors += 1
        return
    try:
        link = idle.pop() if idle else Link(port)
        link.ask()
        busy.add(link)
    except OSError:
        seen.errors += 1


def _receive(link: Link, idle: list[Link], busy: set[Link], seen: Run) -> None:
    state = link.read()
    if state == 0:
        return
    busy.discard(link)
    if state < 0:
        seen.errors += 1
        link.sock.close()
        return
    seen.latencies.append(time.perf_counter_ns() - link.sent)
    idle.append(link)


def percentile(values: list[int], share: float) -> int:
    """The value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


if __name__ == "__main__":
    gc.disable()
    result = run(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    counted = result.latencies[SKIPPED:]
    print("RESULT", percentile(counted, 0.5), percentile(counted, 0.99), result.errors, result.late)

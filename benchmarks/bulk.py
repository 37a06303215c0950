"""TCP in bulk, as iperf3 does it: one side sends blocks as fast as they go, the other counts and drops them.

usage: bulk.py serve PORT           send to everybody who connects, until they leave
       bulk.py drain PORT SECONDS   connect, read for that long, print bytes and microseconds
"""

from __future__ import annotations

import socket
import sys
import threading
import time

BLOCK = 128 * 1024  # iperf3's default
GREETING = 1024


def _send(sock: socket.socket) -> None:
    block = b"x" * BLOCK
    with sock:
        try:
            while True:
                sock.sendall(block)
        except OSError:
            return


def serve(port: int) -> None:
    """Accept for ever, one thread per connection."""
    with socket.create_server(("127.0.0.1", port), backlog=128) as listening:
        while True:
            sock, _ = listening.accept()
            threading.Thread(target=_send, args=(sock,), daemon=True).start()


def drain(port: int, seconds: float) -> tuple[int, int]:
    """Read for `seconds` after the first bytes have come; returns bytes and microseconds."""
    buffer = bytearray(BLOCK)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.recv_into(buffer, GREETING)
        begun = time.perf_counter_ns()
        until = begun + int(seconds * 1e9)
        total = 0
        while time.perf_counter_ns() < until:
            got = sock.recv_into(buffer)
            if not got:
                raise RuntimeError(f"the connection ended after {total} bytes")
            total += got
        return total, (time.perf_counter_ns() - begun) // 1000


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        print("RESULT", *drain(int(sys.argv[2]), float(sys.argv[3])))

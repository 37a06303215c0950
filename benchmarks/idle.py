"""Opens many keep-alive connections, asks once on each, and keeps them until its standard input ends.

usage: idle.py PORT COUNT

Prints ``RESULT count errors`` once all have been answered.
"""

from __future__ import annotations

import socket
import struct
import sys

from proxies import SMALL

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
END = SMALL.encode()


def ask(port: int) -> socket.socket:
    """Open a connection and read one answer from it."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    # A reset at the end leaves no TIME_WAIT behind, of which the next round would soon have tens of thousands.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.sendall(REQUEST)
    data = b""
    while END not in data:
        got = sock.recv(65536)
        if not got:
            raise ConnectionError(f"cut after {len(data)} bytes")
        data += got
    return sock


if __name__ == "__main__":
    kept, errors = [], 0
    for _ in range(int(sys.argv[2])):
        try:
            kept.append(ask(int(sys.argv[1])))
        except OSError:
            errors += 1
            if errors > 100:
                break
    print("RESULT", len(kept), errors, flush=True)
    sys.stdin.read()

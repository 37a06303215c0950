"""The services behind the demonstration: a small HTTP service in two versions, and a TCP echo.

``python -m twisted_mesh.server.demo_services http NAME PORT`` and ``... echo PORT``; each runs until it is stopped.
They use nothing of the mesh, as an application would not.
"""

from __future__ import annotations

import json
import socketserver
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one segment, or the second waits for the first one's acknowledgement.
    wbufsize = 65536

    def do_GET(self) -> None:
        name = self.server.name  # type: ignore[attr-defined]
        if self.path == "/healthz":
            self._send(b"ok\n")
            return
        seen = {"service": name, "path": self.path, "x-request-id": self.headers.get("x-request-id")}
        self._send(json.dumps(seen).encode() + b"\n")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self._send(b"%d bytes\n" % len(body))

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json" if body.startswith(b"{") else "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """The sidecar's access log says it all."""


class HttpService(ThreadingHTTPServer):
    """Says which version it is."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        super().__init__(("127.0.0.1", port), _Answering)


class _Echoing(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data)


class EchoService(socketserver.ThreadingTCPServer):
    """Sends back what it gets."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Echoing)


def main(arguments: list[str]) -> int:
    """Run one service."""
    if len(arguments) == 3 and arguments[0] == "http":
        service: socketserver.BaseServer = HttpService(arguments[1], int(arguments[2]))
    elif len(arguments) == 2 and arguments[0] == "echo":
        service = EchoService(int(arguments[1]))
    else:
        sys.stderr.write("usage: demo_services http NAME PORT | echo PORT\n")
        return 2
    try:
        service.serve_forever()
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

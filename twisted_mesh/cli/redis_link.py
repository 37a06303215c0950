"""A plain conversation with one Redis, for commands that look at data: one connection, and bounded waits."""

from __future__ import annotations

import socket
import ssl
from typing import Any, Sequence, Union
from urllib.parse import unquote, urlsplit

import hiredis

from twisted_mesh.cli.failure import BUS, USAGE, Failure
from twisted_mesh.codec.resp import pack

Word = Union[bytes, str, int]
# Seconds for a connection, and for each answer.
PATIENCE = 30.0


class RedisLink:
    """Asks commands of one Redis, many at a time.

    :param url: ``HOST:PORT``, or ``redis://USER:PASSWORD@HOST:PORT/DB``; ``rediss://`` for TLS by the system's CAs.
    :raises Failure: it makes no sense, or cannot be connected to or logged in to.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url if "://" in url else f"redis://{url}")
        try:
            port = parts.port or 6379
            db = int(parts.path.strip("/") or 0)
        except ValueError:
            port = db = -1
        if parts.scheme not in ("redis", "rediss") or not parts.hostname or port < 0:
            raise Failure(f"expected HOST:PORT or redis://USER:PASSWORD@HOST:PORT/DB, got {_hidden(url)}", USAGE)
        self.name = f"{parts.hostname}:{port}"
        self._reader = hiredis.Reader()
        self._sock = self._connected(parts.hostname, port, parts.scheme == "rediss")
        login: list[list[Word]] = []
        if parts.password:
            user = [unquote(parts.username)] if parts.username else []
            login.append(["AUTH", *user, unquote(parts.password)])
        if db:
            login.append(["SELECT", db])
        for answer in self.ask(login):
            if isinstance(answer, hiredis.ReplyError):
                raise Failure(f"{self.name} refuses: {answer}", BUS)

    def _connected(self, host: str, port: int, tls: bool) -> socket.socket:
        try:
            sock = socket.create_connection((host, port), PATIENCE)
            if tls:
                sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        except OSError as error:
            raise Failure(f"{self.name} cannot be connected to: {error.strerror or error}", BUS) from None
        return sock

    def ask(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """Return the replies to commands, in their order; errors are values, ``hiredis.ReplyError``.

        :raises Failure: the connection is lost, or an answer does not come in time.
        """
        found: list[Any] = []
        try:
            self._sock.sendall(b"".join(pack(list(map(_encoded, words))) for words in commands))
            while len(found) < len(commands):
                reply = self._reader.gets()
                while reply is False:
                    data = self._sock.recv(1 << 18)
                    if not data:
                        raise Failure(f"{self.name} has closed the connection", BUS)
                    self._reader.feed(data)
                    reply = self._reader.gets()
                found.append(reply)
        except (OSError, hiredis.ProtocolError) as error:
            raise Failure(f"{self.name}: {error}", BUS) from None
        return found

    def close(self) -> None:
        """End the conversation."""
        self._sock.close()


def _encoded(word: Word) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode("utf-8", "surrogateescape")


def _hidden(url: str) -> str:
    """Return an address without what may be its password."""
    return url.rpartition("@")[2]

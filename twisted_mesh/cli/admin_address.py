"""Asking one sidecar's admin address."""

from __future__ import annotations

import argparse
import http.client
import os
import socket
from typing import Iterator, Optional

from twisted_mesh.cli.failure import BUS, NO, USAGE, Failure

DEFAULT = "127.0.0.1:9901"
VARIABLE = "MESHCTL_ADMIN"
# Seconds that a sidecar may take for an answer.
PATIENCE = 10.0


def option(parser: argparse.ArgumentParser) -> None:
    """Add ``--admin``."""
    parser.add_argument(
        "--admin",
        metavar="ADDRESS",
        help=f"the sidecar's admin address, HOST:PORT or unix:/path; {VARIABLE}, or {DEFAULT} if not given",
    )


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)


def _connection(address: str) -> http.client.HTTPConnection:
    from twisted_mesh.model.address import Address

    try:
        parsed = Address.parse(address)
    except ValueError as error:
        raise Failure(f"--admin: {error}", USAGE) from None
    if parsed.path:
        return _UnixConnection(parsed.path)
    return http.client.HTTPConnection(parsed.host, parsed.port, timeout=PATIENCE)


def lines(arguments: argparse.Namespace, path: str) -> Iterator[bytes]:
    """Yield the lines of a page of the admin as they come, until it ends.

    :raises Failure: as `ask` does.
    """
    address = arguments.admin or os.environ.get(VARIABLE) or DEFAULT
    connection = _connection(address)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status >= 400:
            raise Failure(answer.read().decode("utf-8", "replace").strip(), NO)
        if connection.sock is not None:
            # The page ends by itself, and may say nothing for long.
            connection.sock.settimeout(None)
        yield from answer
    except (OSError, http.client.HTTPException) as error:
        shown = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Failure(f"the sidecar's admin at {address} cannot be asked: {shown}", BUS) from None
    finally:
        connection.close()


def ask(arguments: argparse.Namespace, path: str, method: str = "GET", body: Optional[bytes] = None) -> bytes:
    """Return what a page of the admin answers.

    :raises Failure: it cannot be asked, or answers that something is wrong; one line that says what.
    """
    address = arguments.admin or os.environ.get(VARIABLE) or DEFAULT
    connection = _connection(address)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        shown = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Failure(f"the sidecar's admin at {address} cannot be asked: {shown}", BUS) from None
    finally:
        connection.close()
    if answer.status >= 400:
        raise Failure(text.decode("utf-8", "replace").strip() or f"the sidecar answers {answer.status}", NO)
    return text

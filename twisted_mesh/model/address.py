"""Where to listen and where to connect."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Any, Optional

from pydantic_core import CoreSchema

from twisted_mesh.model.text import describe, expected, text_schema

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.ASCII)
_NUMERIC = re.compile(r"[0-9.]+", re.ASCII)
# sun_path of Linux holds 108 bytes with the final NUL.
_LONGEST_PATH = 107


def literal_family(host: str) -> Optional[int]:
    """Return ``socket.AF_INET`` or ``AF_INET6`` for an IP address, None for a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0] if family == socket.AF_INET6 else host)
        except (OSError, ValueError):
            continue
        return family
    return None


@dataclass(frozen=True)
class Address:
    """Where to listen or to connect: a host and a port, or the path of a unix socket.

    `host` is an IP address without brackets, or a name; with a unix socket it is empty, and `path` is set.  The text
    is ``127.0.0.1:80``, ``[::1]:80``, ``name:80`` or ``unix:/path``.
    """

    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, text: object) -> Address:
        """Read an address.

        :raises ValueError: it is none; says what would be right.
        """
        if not isinstance(text, str):
            raise expected("an address such as 127.0.0.1:8080, [::1]:8080 or unix:/path", text)
        if text.startswith("unix:"):
            return cls("", 0, _unix_path(text[5:], text))
        host, colon, digits = text.rpartition(":")
        if not colon:
            raise ValueError(f"expected an address with a port, such as {_host_shown(text)}:8080, got {describe(text)}")
        return cls(_host(host, digits, text), _port(digits, text))

    @property
    def family(self) -> Optional[int]:
        """``AF_UNIX``, ``AF_INET`` or ``AF_INET6``; None where the host is a name."""
        return socket.AF_UNIX if self.path else literal_family(self.host)

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        return text_schema(cls, cls.parse)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {
            "type": "string",
            "pattern": r"^(unix:/.+|\[[0-9A-Fa-f:.]+(%.+)?\]:\d+|[^:/]+:\d+)$",
            "examples": ["127.0.0.1:8080", "[::1]:8080", "unix:/run/app.sock"],
        }


def _unix_path(path: str, text: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"expected an absolute path, unix:/path, got {describe(text)}")
    if "\0" in path or len(path.encode("utf-8", "replace")) > _LONGEST_PATH:
        raise ValueError(f"expected a path of at most {_LONGEST_PATH} bytes without NUL, got {describe(text)}")
    return path


def _host_shown(text: str) -> str:
    """A host for an error message to show in an address."""
    if literal_family(text) == socket.AF_INET6:
        return f"[{text}]"
    return text if _HOST.fullmatch(text) and not text.isdigit() else "127.0.0.1"


def _host(host: str, digits: str, text: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        if literal_family(host[1:-1]) != socket.AF_INET6:
            raise ValueError(f"expected an IPv6 address within the brackets, got {describe(text)}")
        return host[1:-1]
    if not host:
        raise ValueError(
            f"expected a host before the port, such as 127.0.0.1:{digits}; to listen on every address 0.0.0.0:{digits}"
        )
    if ":" in host:
        if host.endswith("/") or "//" in host:
            raise ValueError(f"expected an address without a scheme, host:port, got {describe(text)}")
        raise ValueError(f"expected an IPv6 address in brackets, such as [::1]:8080, got {describe(text)}")
    if len(host) > 253 or _HOST.fullmatch(host) is None:
        raise ValueError(f"expected an IP address or a host name before the port, got {describe(text)}")
    if _NUMERIC.fullmatch(host) and literal_family(host) is None:
        raise ValueError(f"expected an IPv4 address such as 127.0.0.1 before the port, got {describe(text)}")
    return host.lower()


def _port(digits: str, text: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and int(digits) <= 65535):
        raise ValueError(f"expected a port from 0 to 65535 after the colon, got {describe(text)}")
    return int(digits)

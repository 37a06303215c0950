"""What llhttp, fed directly, makes of the same bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httptools


@dataclass
class Message:
    """One message as llhttp read it, without judging."""

    method: bytes = b""
    target: bytes = b""
    version: str = ""
    status: int = 0
    reason: bytes = b""
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    headed: bool = False
    complete: bool = False


@dataclass
class Heard:
    """All that came of the bytes: the messages, and what llhttp said against them ("" if nothing)."""

    messages: list[Message] = field(default_factory=list)
    error: str = ""
    upgraded: bool = False

    @property
    def first(self) -> Message:
        return self.messages[0]


class _Listener:
    def __init__(self) -> None:
        self.heard = Heard()
        self.parser: Any = None

    @property
    def _now(self) -> Message:
        return self.heard.messages[-1]

    def on_message_begin(self) -> None:
        self.heard.messages.append(Message())

    def on_url(self, url: bytes) -> None:
        self._now.target += url

    def on_status(self, reason: bytes) -> None:
        self._now.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        pairs = self._now.trailers if self._now.headed else self._now.fields
        # llhttp hands on the white space behind a value, which is no part of it (RFC 9112 section 5.1).
        pairs.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        message = self._now
        message.headed = True
        message.version = self.parser.get_http_version()
        if isinstance(self.parser, httptools.HttpRequestParser):
            message.method = self.parser.get_method()
        else:
            message.status = self.parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._now.body += body

    def on_message_complete(self) -> None:
        self._now.complete = True


def _hear(make: Any, data: bytes) -> Heard:
    listener = _Listener()
    listener.parser = parser = make(listener)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        listener.heard.upgraded = True
    except httptools.HttpParserError as error:
        listener.heard.error = f"{type(error).__name__}: {error}"
    return listener.heard


def hear_requests(data: bytes) -> Heard:
    return _hear(httptools.HttpRequestParser, data)


def hear_responses(data: bytes) -> Heard:
    return _hear(httptools.HttpResponseParser, data)

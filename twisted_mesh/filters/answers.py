"""What a route may answer by itself: a redirect, or a fixed reply.

Each is the innermost `proceed` of its route, so that the route's filters run for it too.
"""

from __future__ import annotations

from typing import Iterable, Optional

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.headers import Field, Headers, field
from twisted_mesh.policy.rewrite import Change

_PLAIN_TEXT = field("content-type", "text/plain; charset=utf-8")
# The port that a scheme stands for; it is dropped from a Location whose scheme changes (as Envoy does).
_PORTS = {"http": "443", "https": "80"}


class FixedReply:
    """Answers every call alike; the body is text unless a header says otherwise."""

    __slots__ = ("_body", "_fields", "status")

    def __init__(self, status: int, body: str = "", headers: Iterable[tuple[str, str]] = ()) -> None:
        self.status = status
        self._body = body.encode()
        self._fields: list[Field] = [field(*each) for each in headers]
        if self._body and not any(each[0] == b"content-type" for each in self._fields):
            self._fields.append(_PLAIN_TEXT)

    def __repr__(self) -> str:
        return f"<FixedReply {self.status} {len(self._body)} bytes>"

    async def __call__(self, call: Call) -> Reply:
        """Return the reply; it is a new one each time, as filters may change it.

        :raises MeshError: `Kind.TOO_LARGE`.
        """
        call.check_body()
        return Reply(self.status, Headers(self._fields.copy()), self._body, local=True)


class Redirect:
    """Sends the client elsewhere.

    What is not given stays as it was asked: scheme, host, path, query.  `change` makes the path of the one asked for,
    and a `url` is the whole Location.  While neither scheme nor host changes it is relative (RFC 9110, section 10.2.2),
    which holds behind anything that ends TLS or changes the port.
    """

    __slots__ = ("_change", "_host", "_scheme", "_url", "status")

    def __init__(
        self,
        status: int = 302,
        *,
        url: Optional[str] = None,
        scheme: Optional[str] = None,
        host: Optional[str] = None,
        change: Optional[Change] = None,
    ) -> None:
        self.status = status
        self._url = url
        self._scheme = scheme
        self._host = host
        self._change = change

    def __repr__(self) -> str:
        return f"<Redirect {self.status} {self._url or (self._scheme, self._host, self._change)}>"

    async def __call__(self, call: Call) -> Reply:
        """Return the redirect.

        :raises MeshError: `Kind.BAD_REQUEST`: only the scheme changes, and the request names no host.
            `Kind.TOO_LARGE`.
        """
        call.check_body()
        return Reply(self.status, Headers([field("location", self.location(call))]), local=True)

    def location(self, call: Call) -> str:
        """Return where this call is sent to."""
        if self._url is not None:
            return self._url
        where = self._where(call)
        if self._scheme is not None:
            return f"{self._scheme}://{self._authority(call)}{where}"
        return f"//{self._host}{where}" if self._host is not None else where

    def _where(self, call: Call) -> str:
        asked, mark, query = call.target.decode("latin-1").partition("?")
        path = asked if self._change is None else self._change(call.resource)
        # Two slashes would make a host of what follows.
        return f"/{path.lstrip('/')}" + mark + query if path.startswith("/") else f"/{mark}{query}"

    def _authority(self, call: Call) -> str:
        if self._host is not None:
            return self._host
        if not call.authority:
            raise MeshError(Kind.BAD_REQUEST, "no Host to redirect to", origin=Origin.CLIENT)
        host, colon, port = call.authority.rpartition(":")
        return host if colon and port == _PORTS.get(self._scheme or "") else call.authority

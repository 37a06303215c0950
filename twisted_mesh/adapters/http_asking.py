"""From the head of a request to a call: who asks, for what, and how long it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Union

from twisted_mesh.adapters import http_answer as answers
from twisted_mesh.adapters.http_answering import Answering
from twisted_mesh.adapters.http_body import RequestBody
from twisted_mesh.call import Call, Reply
from twisted_mesh.chain import Driver
from twisted_mesh.codec.deadline import given
from twisted_mesh.codec.forwarded import Hop, extended, fresh
from twisted_mesh.codec.lines import CLOSE, DEADLINE, FORWARDED, KEEP, REQUEST_ID
from twisted_mesh.codec.request import RequestHead
from twisted_mesh.codec.target import host_name
from twisted_mesh.headers import Field, Headers
from twisted_mesh.stream import ByteStream, Trailers

if TYPE_CHECKING:
    from twisted_mesh.adapters.http import HttpAdapter

# Fields that say something about the caller, or the way to it.
_CALLER = FORWARDED | DEADLINE


class Asking(Answering):
    """The part of a client connection that makes calls of requests."""

    __slots__ = ("_authority", "_forward", "_host", "_host_field", "scheme")

    def __init__(self, adapter: HttpAdapter, peer: str, peer_host: str) -> None:
        super().__init__(adapter, peer, peer_host)
        self._host_field: Optional[Field] = None
        self._authority = self._host = ""
        self._forward: Optional[list[Field]] = None
        # What the next hop is told that it speaks.
        self.scheme = "http"

    def _begin(  # noqa: PLR0912, PLR0915
        self,
        head: RequestHead,
        body: Union[bytes, ByteStream],
        reading: Optional[RequestBody] = None,
        trailers: Trailers = (),
    ) -> None:
        adapter = self.adapter
        line, fields, host, length, seen, upgrade = head
        now = adapter.now()
        operation, target, path, query, _, minor, _ = line
        # A copy, as the head may come again.
        fields = fields.copy()
        call = Call("http", adapter.name, operation, Headers(fields))
        call.started = now
        call._target = target
        call.resource = path
        if query:
            call.query = query
        call.peer = self.peer
        call.client = self.peer_host
        if host is not self._host_field or minor != self._minor or self._forward is None:
            self._new_host(host, minor)
        call.authority = self._authority
        call.host = self._host
        call.body = body
        if type(body) is bytes:
            call.received = now
            if body or trailers:
                call.bytes_in = len(body)
                call.trailers = trailers
        else:
            self.body = reading
            call.bytes_in = body.size  # type: ignore[union-attr]
        if seen & REQUEST_ID:
            call.id = call.headers.get("x-request-id") or self._new_id(call)
        else:
            call.id = request_id = adapter.new_id()
            wire = request_id.encode("ascii")
            fields.append((b"x-request-id", wire, b"x-request-id: " + wire, REQUEST_ID))
        if seen & _CALLER:
            self._caller(call, seen, minor)
        else:
            fields += self._forward or ()
        self._minor = minor
        self._keep = not seen & CLOSE if minor else bool(seen & KEEP)
        if not minor:
            call.version = "1.0"
            call.plain = call.plain and bool(call.authority)
        if self.identity is not None:
            call.identity = self.identity
        if length:
            call.body_limit = adapter.body_limit
            if operation in ("GET", "HEAD"):
                # Some servers do not read such a body and take it for the next request; nothing follows on this one.
                self._keep = False
        if upgrade:
            call.upgrade = upgrade
        call.on_interim = self._interim
        self.call = call
        self.active_at = now
        self._driver = driver = Driver(call, self._answer)
        adapter.calls.add(driver)
        driver.start(adapter.chain)
        if self.call is call:
            if call.route is not None and call.max_duration is None and self.body is None:
                idle = adapter.stream_idle if call.idle_timeout is None else call.idle_timeout
                self.deadline = now + idle
            else:
                self.deadline = self._next_look(call, now)

    def _new_id(self, call: Call) -> str:
        """Give a call whose id came empty one of ours."""
        request_id = self.adapter.new_id()
        call.headers.set("x-request-id", request_id)
        return request_id

    def _new_host(self, host: Optional[Field], minor: int) -> None:
        self._host_field = host
        value = b"" if host is None else host[1]
        self._authority = value.decode("latin-1")
        self._host = host_name(value)
        self._forward = fresh(Hop(self.peer_host, self.scheme, self.adapter.node), value, minor)

    def _caller(self, call: Call, seen: int, minor: int) -> None:
        if seen & DEADLINE:
            self._hurry(call)
        if seen & FORWARDED:
            self._extend(call, minor)
        else:
            call.headers.fields += self._forward or ()

    def _hurry(self, call: Call) -> None:
        """Take in how long the caller waits, by what it says."""
        seconds, malformed = given(call.headers.fields)
        if malformed:
            self.adapter.malformed_deadline(call, malformed)
        if seconds is not None:
            self.adapter.deadlines.value += 1
            call.deadline = call.started + seconds
            call.plain = False

    def _extend(self, call: Call, minor: int) -> None:
        hop = Hop(self.peer_host, self.scheme, self.adapter.node)
        host = b"" if self._host_field is None else self._host_field[1]
        call.headers.fields, call.client = extended(call.headers.fields, hop, host, minor, self.adapter.trusted_hops)

    def _interim(self, reply: Reply) -> None:
        if self._minor and not self._gone and self._reply_body is None:
            self.transport.write(answers.interim(reply))

    def invite_body(self) -> None:
        """Say 100 Continue ourselves to a client that waits for it (RFC 9110, section 10.1.1).

        The upstream, which would say it, is not asked before a filter has the whole body.
        """
        call = self.call
        if call is None or self.body is None or "expect" not in call.headers:
            return
        call.headers.remove("expect")
        if not self.body.stream.size:
            self._interim(Reply(100))

"""A call and its reply: what one filter chain carries, whatever the protocol.

An HTTP request is a call, a TCP connection is a call (operation ``CONNECT``), a Redis command or a batch of them is a
call.  Filters read and change the same fields for all of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Callable, Optional, Protocol, Union

from twisted_mesh.errors import FLAGS, Kind, MeshError, Origin
from twisted_mesh.headers import Headers
from twisted_mesh.stream import ByteStream, Trailers

if TYPE_CHECKING:
    from twisted_mesh.interfaces import ClusterLike, EndpointLike, RouteLike

Body = Union[bytes, ByteStream]
# Doing these twice is the same as doing them once (RFC 9110, section 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
# What a request line can hold without saying something else: no space, no control character.
_TARGET = re.compile(rb"[\x21-\x7e\x80-\xff]+")
Completion = Callable[["Call"], None]


class Tunnel(Protocol):
    """An upstream connection that a reply hands over whole: a TCP call, or an upgraded HTTP connection.

    `first` holds bytes that the upstream sent behind the reply head.  Whoever takes a tunnel owns it, and ends it with
    `abort` if nothing is made of it.
    """

    first: bytes

    def abort(self) -> None: ...


class Call:
    """One unit of work on its way through a chain.

    What was asked:

    - `protocol`: ``http``, ``tcp`` or ``redis``; `listener`: the listener's name.
    - `operation`: HTTP method, ``CONNECT``, or Redis command name, upper case.
    - `host`: the host asked for, lower case, without the port ("" where the protocol has none); `authority` as sent.
    - `resource`: the normalised path, or the Redis key; `query`: what stands behind the ``?``; `target`: the request
      target as it will be forwarded.
    - `headers`, `body`, `trailers`; a body is whole ``bytes`` or a `ByteStream`.  `version` is "1.1" or "1.0".
    - `peer`: the client's address, "host:port" or "unix:"; `client`: the client's host by the trusted hops.
    - `port`: the port that a client of TCP or Redis has connected to; 0 for a unix socket, and for HTTP.
    - `id`: the request id; `identity`: who the caller is, once something knows.
    - `count`: how many operations this call stands for (pipelined Redis commands; 1 for everything else); `errors` how
      many of them Redis has answered with an error.

    What was decided on the way: `route`, `cluster`, `endpoint`, `attempts` (tries so far), `tried` (endpoints that
    failed), `timeout` (seconds from the end of the request to the reply head; None: no limit), `priority` (-1 low, 0,
    1 high), `flags` (short response flags in the order they arose), `status` and `details` of the answer.

    `deadline` is when the caller gives up by what it said itself, `try_ends` when a try is cut that has a time of its
    own; None where there is no such thing, and `ends` and `left` take all of them together.  `plain` is false where
    something in the head of the request is to be brought up to date each time that it is sent.

    Times are seconds of the monotonic clock that the listener was given, 0.0 while unknown: `started` (first byte of
    the request seen), `received` (request complete), `connected` (upstream connection in hand), `head_at` (reply head
    known), `ended` (last byte settled).  `bytes_in` and `bytes_out` count body bytes from and to the client.

    `context` is free for filters: use your filter's name as the key.
    """

    # Defaults live on the class: a call is made for every request, and an instance only pays for what it sets.
    authority: str = ""
    host: str = ""
    resource: str = ""
    query: str = ""
    _target: bytes = b""
    version: str = "1.1"
    body: Body = b""
    trailers: Trailers = ()
    peer: str = ""
    client: str = ""
    port: int = 0
    id: str = ""
    identity: Optional[str] = None
    count: int = 1
    upgrade: str = ""

    route: Optional[RouteLike] = None
    cluster: Optional[ClusterLike] = None
    endpoint: Optional[EndpointLike] = None
    attempts: int = 0
    tried: tuple[EndpointLike, ...] = ()
    timeout: Optional[float] = None
    deadline: Optional[float] = None
    try_ends: Optional[float] = None
    plain: bool = True
    idle_timeout: Optional[float] = None
    max_duration: Optional[float] = None
    body_limit: Optional[int] = None
    upgrades: bool = True
    priority: int = 0
    flags: tuple[str, ...] = ()
    status: int = 0
    details: str = ""
    errors: int = 0

    started: float = 0.0
    received: float = 0.0
    connected: float = 0.0
    head_at: float = 0.0
    ended: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0

    on_interim: Optional[Callable[[Reply], None]] = None
    source: Any = None
    _context: Optional[dict[str, Any]] = None
    _completions: Optional[list[Completion]] = None
    completed: bool = False
    # Returns `operation`, `id`, `peer`, `resource` and `client` where these are no plain attributes and one step is
    # cheaper than five; such a call has no headers of a client's.
    texts: Optional[Callable[[], tuple[str, str, str, str, str]]] = None

    def __init__(self, protocol: str, listener: str, operation: str, headers: Headers) -> None:
        self.protocol = protocol
        self.listener = listener
        self.operation = operation
        self.headers = headers

    def __repr__(self) -> str:
        where = f"{self.authority}{self.resource}"
        return f"<Call {self.id or '-'} {self.protocol} {self.operation} {where} attempts={self.attempts}>"

    @property
    def target(self) -> bytes:
        """The request target as it will be forwarded.

        :raises ValueError: on setting it to something that would not stay one word of a request line.
        """
        return self._target

    @target.setter
    def target(self, target: bytes) -> None:
        # Here and not where it is sent: a call whose target no filter touches pays nothing for it.
        if _TARGET.fullmatch(target) is None:
            raise ValueError(f"not a request target: {target!r:.100}")
        self._target = target

    @property
    def context(self) -> dict[str, Any]:
        """A dict that lives as long as the call, for filters to leave things in."""
        if self._context is None:
            self._context = {}
        return self._context

    @property
    def idempotent(self) -> bool:
        """Whether doing it twice is the same as doing it once; a TCP call has sent nothing before it is connected."""
        return self.operation in IDEMPOTENT or self.protocol == "tcp"

    @property
    def ends(self) -> Optional[float]:
        """When nobody waits for the reply's head any more, a time as `started`; None: somebody does for ever."""
        ends = self.deadline
        if self.timeout is not None and self.received and (ends is None or self.received + self.timeout < ends):
            ends = self.received + self.timeout
        return ends

    def left(self, now: float) -> Optional[float]:
        """Return the seconds for which somebody waits for the reply of a try that is begun now; None: for ever."""
        ends = self.ends
        if self.try_ends is not None and (ends is None or self.try_ends < ends):
            ends = self.try_ends
        return None if ends is None else ends - now

    def repeats(self) -> bool:
        """Whether it may be sent once more now: nothing that its caller has sent behind it would be overtaken so.

        Whoever asks does send it; what comes behind it waits for its answer from then on.
        """
        return True

    def twin(self) -> Call:
        """Return a copy for a filter that is only tried: what that changes of it changes nothing here.

        It has no completions, and no body if that is still on its way.
        """
        made = self.__class__.__new__(self.__class__)
        # A quarter of what `copy.copy` takes.
        made.__dict__.update(self.__dict__)
        made._part_from(self)
        made._completions = None
        if self._context is not None:
            made._context = {name: dict(each) if type(each) is dict else each for name, each in self._context.items()}
        if not isinstance(self.body, bytes):
            made.body = b""
        return made

    def _part_from(self, other: Call) -> None:
        """Have fields of one's own in the place of those that one shares with `other`."""
        self.headers = other.headers.copy()

    def flag(self, flag: Union[str, Kind]) -> None:
        """Add a response flag, once."""
        short = FLAGS[flag] if isinstance(flag, Kind) else flag
        if short not in self.flags:
            self.flags += (short,)

    def check_body(self) -> None:
        """Hold the body against `body_limit`, as far as its size is known yet; what grows is watched by the adapter.

        :raises MeshError: `Kind.TOO_LARGE`.
        """
        limit, body = self.body_limit, self.body
        if limit is None:
            return
        size = len(body) if isinstance(body, bytes) else body.size if body.length is None else body.length
        if size > limit:
            raise MeshError(Kind.TOO_LARGE, f"the body is over {limit} bytes", origin=Origin.CLIENT)

    def on_complete(self, then: Completion) -> None:
        """Have `then(call)` called exactly once, when the last byte is settled or the call is cut.

        Completions run in the reverse of the order they were registered in, as filters unwind.  What one of them
        raises is logged and keeps none of the others from running.  Registered too late, it runs now.
        """
        if self.completed:
            then(self)
        elif self._completions is None:
            self._completions = [then]
        else:
            self._completions.append(then)

    def complete(self, now: float, failed: Callable[[Completion], None]) -> None:
        """Run the completions; only the first call does.  For adapters.

        :param failed: told of a completion that raised, inside the ``except``.
        """
        if self.completed:
            return
        self.completed = True
        self.ended = now
        completions = self._completions
        if completions is not None:
            for each in reversed(completions):
                try:
                    each(self)
                except Exception:
                    failed(each)


def deadline_passed(call: Call) -> MeshError:
    """Return what it means that a caller waits no longer: its own doing, and not the upstream's."""
    waits = 0.0 if call.deadline is None else call.deadline - call.started
    return MeshError(Kind.DEADLINE, f"the caller waits no longer than {waits:.6g} s", origin=Origin.CLIENT)


def out_of_time(call: Call) -> MeshError:
    """Return what it means that the time of a call is over: its own, or before that its caller's."""
    if call.deadline is not None and (call.timeout is None or call.ends == call.deadline):
        return deadline_passed(call)
    return MeshError(Kind.TIMEOUT, f"no reply within {call.timeout:g} s", origin=Origin.UPSTREAM)


class Reply:
    """What came back: a head, and a body that is whole ``bytes`` or still on its way.

    `status` is the HTTP status, 0 for protocols that have none.  A `tunnel` in a reply means that the upstream
    connection itself is handed over.  `local` is true for what the mesh said itself; `bare` says that it came without a
    body, so that a Content-Length among its headers is that of a body which is not there.
    """

    # On the class for the same reason as a call's: most replies set none of these.
    reason: bytes = b""
    trailers: Trailers = ()
    tunnel: Optional[Tunnel] = None
    local: bool = False
    bare: bool = False

    def __init__(
        self,
        status: int = 0,
        headers: Optional[Headers] = None,
        body: Body = b"",
        *,
        reason: bytes = b"",
        tunnel: Optional[Tunnel] = None,
        local: bool = False,
    ) -> None:
        self.status = status
        self.headers = Headers() if headers is None else headers
        self.body = body
        if reason:
            self.reason = reason
        if tunnel is not None:
            self.tunnel = tunnel
        if local:
            self.local = True

    def __repr__(self) -> str:
        size = f"{len(self.body)} bytes" if isinstance(self.body, bytes) else repr(self.body)
        return f"<Reply {self.status} {size}>"

    def twin(self) -> Reply:
        """Return a copy for a filter that is only tried; it has no tunnel, and no body that is still on its way."""
        made = self.__class__.__new__(self.__class__)
        made.__dict__.update(self.__dict__)
        made._part_from(self)
        made.tunnel = None
        if not isinstance(self.body, bytes):
            made.body = b""
        return made

    def _part_from(self, other: Reply) -> None:
        """Have fields of one's own in the place of those that one shares with `other`."""
        self.headers = other.headers.copy()

    def discard(self) -> None:
        """Nobody will read this reply: stop its body, or end its tunnel."""
        if isinstance(self.body, ByteStream):
            self.body.cancel()
        if self.tunnel is not None:
            self.tunnel.abort()
            self.tunnel = None

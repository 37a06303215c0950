"""A listener: where connections come in, and how their protocol is spoken."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Optional, Union

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from typing_extensions import Self

from twisted_mesh.model.base import ONE_OR_LIST, DurationOrOff, Model, Name, NotEmpty, Short, one_of
from twisted_mesh.model.cluster import ADDRESS
from twisted_mesh.model.filters import FilterUse
from twisted_mesh.model.redis_user import RedisUser
from twisted_mesh.model.route import Route
from twisted_mesh.model.text import expected
from twisted_mesh.model.tls import ListenerTls
from twisted_mesh.model.units import Address, Interval, Size, duration_text

PROTOCOLS = ("http", "redis", "tcp")
_URL_BYTES = 8 * 1024
_TCP_IDLE = 3600.0
# Seconds from which on calls are slow, by protocol and for all others.  A server's slowlog-log-slower-than is the same.
SLOW = {"redis": 0.01, "": 1.0}
_MODE = re.compile(r"0?[0-7]{3}", re.ASCII)


def _mode(text: str) -> str:
    if _MODE.fullmatch(text) is None:
        raise expected("the permissions of a socket as three octal digits, such as 0660", text)
    return text


class Bind(Model):
    """An address to listen on."""

    later: ClassVar[frozenset[str]] = frozenset(["proxy_protocol", "tls", "transparent"])

    address: Address = Field(
        description="host:port, unix:/path; port 0 takes a free one, which the log and /listeners show."
    )
    backlog: int = Field(default=1024, ge=1, le=65535, description="How many connections may wait to be accepted.")
    mode: Annotated[str, AfterValidator(_mode)] = Field(
        default="0660", description="The permissions of a unix socket, octal."
    )


def _bind(value: Any) -> Any:
    return value if isinstance(value, (dict, Model)) else {"address": value}


class AccessLog(Model):
    """Where calls are logged, and how."""

    later: ClassVar[frozenset[str]] = frozenset(["filter", "sample"])

    path: str = Field(default="-", min_length=1, description='A file; "-" is standard output.')
    format: str = Field(
        default="json", min_length=1, description="json, text, or a line of your own with %NAME% for each field."
    )
    calls: Optional[Literal["all", "failed"]] = Field(
        default=None,
        description="Which have a line: all, or those that failed or were slow. If not given, listeners of redis log "
        "the latter, and others all.",
    )
    slow: Optional[Interval] = Field(
        default=None,
        description="How long a call takes that has a line although it went well, where not all have one; 10ms for "
        "redis and 1s for others if not given.",
    )

    @model_validator(mode="after")
    def _for_something(self) -> Self:
        if self.calls == "all" and self.slow is not None:
            raise ValueError("slow is for calls: failed; where all calls have a line leave it out")
        return self

    def slow_of(self, protocol: str) -> Optional[float]:
        """Return how many seconds a call of a protocol takes that has a line anyway; None if all have one."""
        if self.calls == "all" or (self.calls is None and protocol != "redis"):
            return None
        return self.slow if self.slow is not None else SLOW.get(protocol, SLOW[""])


def _log_or_off(value: Any) -> str:
    return "off" if isinstance(value, str) else "log"


OwnAccessLog = Annotated[
    Union[Annotated[AccessLog, Tag("log")], Annotated[Literal["off"], Tag("off")]], Discriminator(_log_or_off)
]


class HttpLimits(Model):
    """How much of a request is taken."""

    header_bytes: Annotated[Size, Field(ge=256)] = Field(
        default=60 * 1024, description="The head of a request, in all."
    )
    header_count: int = Field(default=100, ge=1, le=100_000, description="The number of header fields.")
    url_bytes: Annotated[Size, Field(ge=16)] = Field(default=_URL_BYTES, description="The target of a request.")
    body: Optional[Size] = Field(
        default=None, description="The body; no limit if not given. A route's body_limit comes first."
    )
    pipelined: int = Field(
        default=64, ge=1, le=10_000, description="Requests that may wait on one connection; past that it is not read."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.header_bytes < self.url_bytes != _URL_BYTES:
            raise ValueError("expected url_bytes to be no more than header_bytes, as the target is a part of the head")
        return self


class HttpTimeouts(Model):
    """How long a client may take."""

    header: Interval = Field(default=15.0, description="For the head of a request.")
    idle: Interval = Field(default=60.0, description="Between two requests.")
    stream_idle: DurationOrOff = Field(
        default=300.0, description="Without a byte of a body moving, in either direction."
    )
    tunnel_idle: DurationOrOff = Field(default=3600.0, description="Without a byte moving in an upgraded connection.")


class Normalise(Model):
    """What is done to paths before they are matched and forwarded."""

    dot_segments: bool = Field(default=True, description="Resolve /./ and /../.")
    merge_slashes: bool = Field(default=True, description="Make one slash of several.")
    escaped_slashes: Literal["keep", "reject", "decode"] = Field(
        default="keep",
        description="What to do with %2F and %5C; paths with a dot segment beside a kept one, as in /a/..%2Fb, are "
        "refused.",
    )
    dot_parameters: Literal["keep", "reject"] = Field(
        default="reject",
        description='What to do with "..;x" and ".;x", which are dot segments for some servers (Tomcat, Jetty) and '
        "names for others. Parameters of other segments are a part of the path.",
    )


class HttpOptions(Model):
    """How a listener speaks HTTP."""

    later: ClassVar[frozenset[str]] = frozenset(["compression", "version"])

    limits: HttpLimits = Field(default=HttpLimits.model_construct(), description="How much of a request is taken.")
    timeouts: HttpTimeouts = Field(default=HttpTimeouts.model_construct(), description="How long a client may take.")
    trusted_hops: int = Field(
        default=0, ge=0, le=100, description="How many proxies in front are trusted to have set X-Forwarded-For."
    )
    normalise: Normalise = Field(default=Normalise.model_construct(), description="What is done to paths.")
    half_close: bool = Field(
        default=False, description="Whether a client that has closed its sending side still gets its answers."
    )


class TcpOptions(Model):
    """How a listener treats TCP connections."""

    idle_timeout: DurationOrOff = Field(
        default=_TCP_IDLE, description="How long a connection may stand still in both directions."
    )
    max_duration: Optional[Interval] = Field(default=None, description="How long it may last; no limit if not given.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        idle, whole = self.idle_timeout, self.max_duration
        if idle is not None and whole is not None and whole < idle != _TCP_IDLE:
            raise ValueError(
                f"idle_timeout: {duration_text(idle)} is longer than the max_duration, {duration_text(whole)}, which"
                " comes first"
            )
        return self


class RedisOptions(Model):
    """How a listener speaks Redis."""

    databases: int = Field(
        default=16, ge=1, le=1_000_000, description="How many databases clients may select; as the servers have."
    )
    pipelined: int = Field(
        default=1024,
        ge=1,
        le=1_000_000,
        description="Commands of one client that may wait for their replies; past that it is not read.",
    )
    idle_timeout: DurationOrOff = Field(
        default=None,
        description="How long a client may send nothing while it waits for nothing, and listens to no channel; or off.",
    )
    stalled: Interval = Field(
        default=30.0,
        description="How long a large value may stand still on its way, from the client or to it, before the client "
        "is cut off: it keeps a connection to a server from others.",
    )
    users: tuple[RedisUser, ...] = Field(
        default=(), description="Who may use it; if there are none, every client may do everything."
    )


def _named_or_list(value: Any) -> str:
    return "name" if isinstance(value, str) else "list"


Routes = Annotated[
    Union[Annotated[Name, Tag("name")], Annotated[tuple[Route, ...], Tag("list")]], Discriminator(_named_or_list)
]


class Listener(Model):
    """Where connections come in: the protocol, the addresses, the filters and the routes."""

    later: ClassVar[frozenset[str]] = frozenset(["identity", "sniff"])

    protocol: Annotated[
        str,
        AfterValidator(one_of(*PROTOCOLS)),
        Field(json_schema_extra={"enum": list(PROTOCOLS)}),
    ] = Field(default="http", description="What is spoken: http, redis or tcp.")
    bind: Annotated[tuple[Annotated[Bind, Short(_bind, ADDRESS)], ...], NotEmpty(), ONE_OR_LIST] = Field(
        description="Where to listen: an address, an object, or a list of these."
    )
    filters: tuple[FilterUse, ...] = Field(
        default=(), description="Filters for all calls of this listener, outermost first, inside the default chain."
    )
    routes: Routes = Field(description="The name of a routing table, or the list of routes itself.")
    http: HttpOptions = Field(default=HttpOptions.model_construct(), description="Options of the http protocol.")
    tcp: TcpOptions = Field(default=TcpOptions.model_construct(), description="Options of the tcp protocol.")
    redis: RedisOptions = Field(default=RedisOptions.model_construct(), description="Options of the redis protocol.")
    tls: Optional[ListenerTls] = Field(
        default=None, description="Speak TLS, at all of its addresses; everything is in plain if not given."
    )
    max_connections: Optional[int] = Field(
        default=None, ge=1, description="How many clients may be connected; no limit if not given."
    )
    access_log: Optional[OwnAccessLog] = Field(
        default=None, description="An access log of its own, or off; the one for all listeners if not given."
    )

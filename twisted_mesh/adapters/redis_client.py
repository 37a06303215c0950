"""Who is at the other end of a connection: where it comes from, and what it has said of itself."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Optional

from twisted_mesh.adapters.redis_auth import guard_for
from twisted_mesh.policy.acl import DEFAULT

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis import RedisAdapter


class Client:
    """A client.

    `id` is its number, `peer` and `client` its address and host, `name` and `facts` what it and its library have said
    of themselves, `db` and `resp` the database and the version of the protocol that it has chosen; `last` is its last
    command.  `certificate` is who it is by its certificate, `identity` who its calls are said to come from.  Times are
    of the listener's clock.
    """

    __slots__ = (
        "_call_id",
        "_transport",
        "active_at",
        "adapter",
        "certificate",
        "client",
        "db",
        "facts",
        "guard",
        "id",
        "identity",
        "last",
        "made_at",
        "name",
        "peer",
        "resp",
        "wrote_at",
    )

    def __init__(self, adapter: RedisAdapter, number: int, peer: str, client: str) -> None:
        self.adapter = adapter
        self.id = number
        # Made when a line of a log asks for it first.
        self._call_id = ""
        self.peer = peer
        self.client = client
        self.made_at = self.active_at = adapter.now()
        # The upstream's: reads that must see a write follow it.
        self.wrote_at = -inf
        self.certificate: Optional[str] = None
        self.identity: Optional[str] = None
        # What stands between it and its commands, where the listener has users.
        self.guard = guard_for(adapter.users)
        # Most say the same.
        self.facts: dict[bytes, bytes] = {}
        self._transport: Any = None
        self.reset()

    def reset(self) -> None:
        """Be as a client that has just connected."""
        self.db = 0
        self.resp = 2
        self.name = b""
        if self.guard is not None:
            self.guard.forget()
        self.recognise()
        self.last = "NULL"

    def certify(self, identity: Optional[str]) -> None:
        """It has shown a certificate, of this identity."""
        self.certificate = identity
        self.guard = guard_for(self.adapter.users, identity)
        self.recognise()

    def recognise(self) -> None:
        """Who it is may have changed."""
        guard = self.guard
        if guard is None:
            self.identity = self.certificate
        elif guard.user is None:
            self.identity = self.certificate or DEFAULT
        else:
            self.identity = guard.user.name

    @property
    def user(self) -> str:
        """Who it has logged in as."""
        known = None if self.guard is None else self.guard.user
        return DEFAULT if known is None else known.name

    @property
    def call_id(self) -> str:
        """The id of its calls."""
        if not self._call_id:
            self._call_id = f"{self.adapter.ids}{self.id}"
        return self._call_id

    @property
    def here(self) -> str:
        """Where it has connected to, for people."""
        address = self._transport.getHost() if self._transport is not None else None
        host, port = getattr(address, "host", None), getattr(address, "port", None)
        return "unix:" if host is None else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def descriptor(self) -> int:
        """The number of its socket; -1 where there is none."""
        sock = getattr(self._transport, "sock", None)
        return -1 if sock is None else int(sock.fileno())

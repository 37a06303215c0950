"""Sessions that stay at one endpoint, which a cookie or a header of their calls names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Collection, Optional, Sequence

from twisted_mesh.call import Call, Reply
from twisted_mesh.errors import Kind, MeshError, Origin
from twisted_mesh.interfaces import Proceed
from twisted_mesh.policy.ring import key_hash
from twisted_mesh.policy.values import cookie_values
from twisted_mesh.upstream.endpoint import Endpoint

if TYPE_CHECKING:
    from twisted_mesh.model import Affinity as AffinityConfig


# Characters of a token.
_LENGTH = 16


def token(address: str) -> str:
    """Return what stands for an endpoint; every sidecar says the same of one address."""
    return f"{key_hash(address):0{_LENGTH}x}"


class Affinity:
    """The sessions of one cluster: nothing is kept of them, each call brings what is known."""

    def __init__(self, config: AffinityConfig, cluster: str) -> None:
        self._cluster = cluster
        self._cookie = config.cookie
        self._header = "" if config.header is None else config.header
        self._strict = config.strict
        self._endpoints: dict[str, Endpoint] = {}
        self._allowed: Collection[Endpoint] = ()

    def __repr__(self) -> str:
        return f"<Affinity of {self._cluster} by {self._header or self._cookie}>"

    def use(self, endpoints: Sequence[Endpoint], allowed: Sequence[Endpoint], resting: Sequence[Endpoint]) -> None:
        """There are these endpoints, and calls may go to `allowed`, if need be to those `resting` too."""
        self._endpoints = {token(each.address): each for each in endpoints}
        self._allowed = frozenset([*allowed, *resting] if self._strict else allowed)

    def pick(self, call: Call) -> Optional[Endpoint]:
        """Return the endpoint of the call's session; None if it has none, or that cannot be used.

        :raises MeshError: `Kind.NO_ENDPOINT`: it cannot be used, and no other may stand in.
        """
        asked = self._asked(call)
        if len(asked) != _LENGTH:
            # Not from a sidecar.
            return None
        endpoint = self._endpoints.get(asked)
        if endpoint is not None and endpoint in self._allowed and (self._strict or endpoint not in call.tried):
            return endpoint
        if self._strict:
            what = "is not there any more" if endpoint is None else f"{endpoint.address} takes no calls"
            detail = f"cluster {self._cluster}: the endpoint of the session {what}"
            raise MeshError(Kind.NO_ENDPOINT, detail, origin=Origin.UPSTREAM)
        return None

    def mark(self, call: Call, reply: Reply, address: str) -> None:
        """Have a reply tell the client where its session is, unless it knows."""
        found = token(address)
        if self._cookie is None:
            reply.headers.set(self._header, found)
        elif self._asked(call) != found:
            reply.headers.add("set-cookie", self._cookie_of(found))

    def _asked(self, call: Call) -> str:
        if self._cookie is None:
            return call.headers.get(self._header) or ""
        lines = call.headers.get_all("cookie")
        values = cookie_values(lines, self._cookie.name) if lines else ()
        return values[0] if values else ""

    def _cookie_of(self, value: str) -> str:
        cookie = self._cookie
        assert cookie is not None
        parts = [f"{cookie.name}={value}", f"Path={cookie.path}", "HttpOnly", "SameSite=Lax"]
        if cookie.ttl is not None:
            parts.append(f"Max-Age={max(1, round(cookie.ttl))}")
        if cookie.secure:
            parts.append("Secure")
        return "; ".join(parts)


class Marking:
    """Sends calls on, and has their replies name the endpoint; a `Proceed`, round the one of HTTP."""

    __slots__ = ("__weakref__", "_affinity", "_forward")

    def __init__(self, affinity: Affinity, forward: Proceed) -> None:
        self._affinity = affinity
        self._forward = forward

    def __repr__(self) -> str:
        return f"<Marking for {self._affinity!r}>"

    async def __call__(self, call: Call) -> Reply:
        """Send the call.

        :raises MeshError: as what is inside.
        """
        reply = await self._forward(call)
        if call.endpoint is not None:
            self._affinity.mark(call, reply, call.endpoint.address)
        return reply

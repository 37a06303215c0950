"""Who asked, told to the next hop: X-Forwarded-*, Forwarded (RFC 7239) and Via (RFC 9110 section 7.6.3).

With `trusted_hops` N, the last N proxies in front of us are believed: the client is the Nth address from the right of
X-Forwarded-For, as in Envoy's xff_num_trusted_hops.  With none, what a client claims about its protocol or host is
replaced; its X-Forwarded-For is kept in front of its real address, which changes nothing for whoever counts from the
right.  A Forwarded that is not well-formed is dropped: in a quotation that does not end, ours would be lost.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from twisted_mesh.codec.grammar import TOKEN
from twisted_mesh.codec.lines import FORWARDED, Field

# RFC 7239, section 4, in so far as it is about where a value ends: what quotes open, they close.  Addresses that should
# be quoted and are not do no harm.
_BARE = rb"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_PAIR = rb"(?:" + TOKEN + rb"=(?:" + _BARE + rb"|" + _QUOTED + rb")[ \t]*)?"
_FORWARDED = re.compile(_PAIR + rb"(?:[;,][ \t]*" + _PAIR + rb")*")
# An address with its port, or in brackets, as some proxies write it (Azure's gateway does): the client is the address,
# whichever port it happens to come from.
_NODE = re.compile(r"(?:(\d{1,3}(?:\.\d{1,3}){3})|\[([0-9A-Fa-f:.]+)\])(?::\d{1,5})?", re.ASCII)
_OURS = {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"via"}


class Hop(NamedTuple):
    """What one hop knows: the peer's address ("" behind a unix socket), the scheme, and our name for Via."""

    peer: str
    scheme: str
    via: str


def _field(name: bytes, value: bytes) -> Field:
    return (name, value, b"%b: %b" % (name, value), FORWARDED)


def fresh(hop: Hop, host: bytes, minor: int) -> list[Field]:
    """Return the fields for a request that carries none of them."""
    peer = hop.peer.encode("ascii")
    made = [_field(b"x-forwarded-for", peer)] if peer else []
    made.append(_field(b"x-forwarded-proto", hop.scheme.encode("ascii")))
    if host:
        made.append(_field(b"x-forwarded-host", host))
    made.append(_field(b"forwarded", _element(hop, host)))
    made.append(_field(b"via", _via(hop, minor)))
    return made


def extended(fields: list[Field], hop: Hop, host: bytes, minor: int, trusted_hops: int) -> tuple[list[Field], str]:
    """Return the fields of a request that carries some of them already, ours added, and the client's address."""
    came: dict[bytes, list[bytes]] = {}
    for each in fields:
        if each[0] in _OURS:
            came.setdefault(each[0], []).append(each[1])
    kept = [each for each in fields if each[0] not in _OURS]
    chain = [part.strip() for value in came.get(b"x-forwarded-for", ()) for part in value.split(b",") if part.strip()]
    peer = hop.peer.encode("ascii")
    if peer:
        chain.append(peer)
    if chain:
        kept.append(_field(b"x-forwarded-for", b", ".join(chain)))
    for name, value in ((b"x-forwarded-proto", hop.scheme.encode("ascii")), (b"x-forwarded-host", host)):
        claimed = came.get(name) if trusted_hops else None
        if claimed or value:
            kept.append(_field(name, claimed[-1] if claimed else value))
    forwarded = [each for each in came.get(b"forwarded", ()) if each and _FORWARDED.fullmatch(each) is not None]
    kept.append(_field(b"forwarded", b", ".join([*forwarded, _element(hop, host)])))
    kept.append(_field(b"via", b", ".join([*came.get(b"via", ()), _via(hop, minor)])))
    return kept, _client(chain, hop.peer, trusted_hops)


def _client(chain: list[bytes], peer: str, trusted_hops: int) -> str:
    if not trusted_hops or not chain:
        return peer
    # A proxy behind a unix socket has no address that would stand in the chain.
    index = len(chain) - trusted_hops - (1 if peer else 0)
    found = chain[max(index, 0)].decode("latin-1")
    node = _NODE.fullmatch(found)
    return found if node is None else node[1] or node[2]


def _element(hop: Hop, host: bytes) -> bytes:
    peer = hop.peer.encode("ascii")
    node = b'"[%b]"' % peer if b":" in peer else peer or b"unknown"
    about_host = b';host="%b"' % host if host else b""
    return b"for=%b%b;proto=%b" % (node, about_host, hop.scheme.encode("ascii"))


def _via(hop: Hop, minor: int) -> bytes:
    return b"1.%d %b" % (minor, hop.via.encode("ascii"))

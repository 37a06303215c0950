"""What servers say about where keys live and who they are: slots, roles, redirections.

The replies are taken as plain values: bytes, numbers, lists, None.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Sequence

from twisted_mesh.codec.slots import SLOTS

Place = tuple[str, int]
"""Host and port; an empty host is that of the server that was asked."""

PRIMARY, REPLICA = "primary", "replica"


class Shard(NamedTuple):
    """A primary, its replicas, and the slots that they have: first and last of each range."""

    primary: Place
    replicas: tuple[Place, ...]
    ranges: tuple[tuple[int, int], ...]


class Redirection(NamedTuple):
    """Where a server says that a key is to be asked for; `once` for ASK, which holds for one command."""

    slot: int
    place: Place
    once: bool


class Role(NamedTuple):
    """What a server is.

    `linked`: a replica that follows its primary now; a primary always is.  `primary` is whom a replica follows,
    `replicas` who follows a primary.
    """

    name: str
    linked: bool
    primary: Optional[Place]
    replicas: tuple[Place, ...]


def shards(reply: Any) -> list[Shard]:
    """Return what CLUSTER SLOTS says.

    :raises ValueError: it is no such reply.
    """
    ranges: dict[Place, list[tuple[int, int]]] = {}
    replicas: dict[Place, list[Place]] = {}
    try:
        for first, last, primary, *others in reply:
            if not 0 <= first <= last < SLOTS:
                raise ValueError(f"slots {first} to {last}")
            place = _node(primary)
            ranges.setdefault(place, []).append((first, last))
            replicas[place] = list(map(_node, others))
    except (TypeError, IndexError, ValueError) as wrong:
        raise ValueError(f"not a reply to CLUSTER SLOTS: {wrong}") from None
    return [Shard(place, tuple(replicas[place]), tuple(sorted(ranges[place]))) for place in ranges]


def names(reply: Any) -> dict[Place, Place]:
    """Return what CLUSTER SLOTS says of nodes that are to be called by names: where these are."""
    nodes = [node for _, _, *nodes in reply for node in nodes]
    found = {_place(node[0], node[1]): _node(node) for node in nodes}
    return {name: place for name, place in found.items() if name != place}


def redirection(reply: bytes) -> Optional[Redirection]:
    """Return what an error reply says, if it is ``-MOVED slot host:port`` or ``-ASK slot host:port``."""
    if not reply.startswith((b"-MOVED ", b"-ASK ")):
        return None
    words = reply.split()
    if len(words) != 3 or not words[1].isdigit() or int(words[1]) >= SLOTS:
        return None
    host, colon, port = words[2].rpartition(b":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        return None
    return Redirection(int(words[1]), (host.decode("latin-1"), int(port)), words[0] == b"-ASK")


def role(reply: Any) -> Role:
    """Return what ROLE says.

    :raises ValueError: it is no such reply, or that of a Sentinel.
    """
    try:
        kind = reply[0]
        if kind == b"master":
            return Role(PRIMARY, True, None, tuple(_place(each[0], int(each[1])) for each in reply[2]))
        if kind == b"slave":
            return Role(REPLICA, reply[3] == b"connected", _place(reply[1], reply[2]), ())
    except (TypeError, IndexError, ValueError) as wrong:
        raise ValueError(f"not a reply to ROLE: {wrong}") from None
    raise ValueError(f"not the role of a server that has data: {kind!r:.50}")


def watched_primary(reply: Any) -> Optional[Place]:
    """Return what SENTINEL GET-MASTER-ADDR-BY-NAME says; None: it watches nobody by that name.

    :raises ValueError: it is no such reply.
    """
    if reply is None:
        return None
    try:
        host, port = reply
        return _place(host, int(port))
    except (TypeError, ValueError) as wrong:
        raise ValueError(f"not the address of a primary: {wrong}") from None


def watched_replicas(reply: Any) -> list[Place]:
    """Return the replicas of SENTINEL REPLICAS that can be read from: those that are up and follow their primary.

    :raises ValueError: it is no such reply.
    """
    try:
        described = [_pairs(each) for each in reply]
        return [_place(each[b"ip"], int(each[b"port"])) for each in described if _serves(each)]
    except (TypeError, KeyError, ValueError) as wrong:
        raise ValueError(f"not a list of replicas: {wrong}") from None


def _serves(facts: dict[bytes, bytes]) -> bool:
    flags = facts[b"flags"].split(b",")
    down = any(each in flags for each in (b"s_down", b"o_down", b"disconnected"))
    return not down and facts.get(b"master-link-status", b"ok") == b"ok"


def _pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    if isinstance(flat, dict):
        return flat
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _node(entry: Any) -> Place:
    """Return where a node is: by its IP address, also where it wants to be called by a name."""
    told = _pairs(entry[3]) if len(entry) > 3 else {}
    return _place(told.get(b"ip") or entry[0], entry[1])


def _place(host: Any, port: Any) -> Place:
    if host is None:
        host = b""
    if not isinstance(host, bytes) or not isinstance(port, int) or not 0 < port < 65536:
        raise ValueError(f"host {host!r:.50} port {port!r:.20}")
    text = host.decode("latin-1")
    # Servers that do not know how they are called say so.
    return ("" if text == "?" else text, port)

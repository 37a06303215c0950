"""What a call is told apart by when the balance hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional, Sequence

from twisted_mesh.call import Call
from twisted_mesh.policy.ring import key_hash
from twisted_mesh.policy.values import cookie_values, query_values

if TYPE_CHECKING:
    from twisted_mesh.model.hashing import HashKey

# Returns the hash of a call's key, None if it has none.
Hashed = Callable[[Call], Optional[int]]
_Read = Callable[[Call], Optional[bytes]]


def hashed(keys: Sequence[HashKey]) -> Hashed:
    """Return a function that hashes the first of these keys that a call has."""
    if len(keys) == 1:
        read = _read(keys[0])

        def one(call: Call) -> Optional[int]:
            value = read(call)
            return None if value is None else key_hash(value)

        return one
    reads = [_read(each) for each in keys]

    def first(call: Call) -> Optional[int]:
        for each in reads:
            value = each(call)
            if value is not None:
                return key_hash(value)
        return None

    return first


def _read(key: HashKey) -> _Read:
    if key.header is not None:
        return _header(key.header)
    if key.cookie is not None:
        return _cookie(key.cookie)
    if key.query is not None:
        return _query(key.query)
    assert key.part is not None
    return _PARTS[key.part]


def _header(name: str) -> _Read:
    lowered = name.lower().encode()
    return lambda call: call.headers.get_bytes(lowered)


def _cookie(name: str) -> _Read:
    def read(call: Call) -> Optional[bytes]:
        lines = call.headers.get_all("cookie")
        values = cookie_values(lines, name) if lines else ()
        return values[0].encode() if values else None

    return read


def _query(name: str) -> _Read:
    def read(call: Call) -> Optional[bytes]:
        values = query_values(call.query).get(name) if call.query else None
        # Escapes of bytes that are no UTF-8 come as surrogates.
        return values[0].encode(errors="surrogateescape") if values else None

    return read


def _source(call: Call) -> Optional[bytes]:
    return call.client.encode() or None


def _host(call: Call) -> Optional[bytes]:
    return call.host.encode(errors="surrogateescape") or None


def _path(call: Call) -> Optional[bytes]:
    return call.resource.encode(errors="surrogateescape") or None


def _identity(call: Call) -> Optional[bytes]:
    return call.identity.encode() if call.identity else None


_PARTS: dict[str, _Read] = {"source": _source, "host": _host, "path": _path, "key": _path, "identity": _identity}

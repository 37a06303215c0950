"""What a rate limit is for each of: one key from any parts of a call."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Callable, Hashable, Sequence
from urllib.parse import quote

from twisted_mesh.call import Call
from twisted_mesh.model.fields import is_token
from twisted_mesh.model.text import expected

if TYPE_CHECKING:
    from twisted_mesh.redis_call import RedisCall

Part = Callable[[Call], Hashable]

# As in the balances that hash; what a call has not counts as one more value.
PARTS: dict[str, Part] = {
    "source": lambda call: call.client,
    "identity": lambda call: call.identity,
    "host": lambda call: call.host,
    "path": lambda call: call.resource,
    "key": lambda call: call.resource,
    "method": lambda call: call.operation,
    "command": lambda call: call.operation,
    "route": lambda call: "" if call.route is None else call.route.name,
    "listener": lambda call: call.listener,
}
# Those that calls of other protocols than HTTP have; of HTTP calls have all.
PARTS_OF = {
    "tcp": frozenset(("source", "identity", "route", "listener")),
    "redis": frozenset(("source", "identity", "path", "key", "method", "command", "route", "listener", "prefix")),
}
# Those that differ between the commands of one call.
_OF_COMMANDS = frozenset(("path", "key", "method", "command"))
_HEADER = "header:"
_PREFIX = "prefix:"
# Characters of a key's name at Redis; what would be longer is a digest.
LONGEST = 160


def check_part(text: str) -> str:
    """Return `text` if it says what a limit may be for each of.

    :raises ValueError: it does not.
    """
    if text in PARTS or (text.startswith(_PREFIX) and text != _PREFIX):
        return text
    if not (text.startswith(_HEADER) and is_token(text[len(_HEADER) :])):
        raise expected(f"{', '.join(PARTS)}, header:NAME or prefix:SEPARATOR", text)
    return text


def key_of(parts: Sequence[str]) -> Part:
    """Return what makes the key of a call."""
    made = [_part(each) for each in parts]
    if not made:
        return lambda call: None
    if len(made) == 1:
        return made[0]
    return lambda call: tuple([each(call) for each in made])


def keys_of(parts: Sequence[str]) -> Callable[[RedisCall], list[Hashable]]:
    """Return what makes the key of each command of a call that holds several."""
    key = key_of(parts)
    if not any(each in _OF_COMMANDS or each.startswith(_PREFIX) for each in parts):
        return lambda call: [key(call)] * call.count
    return lambda call: [key(_One(call, at)) for at in range(call.count)]  # type: ignore[arg-type]  # as a call


class _One:
    """One command of a call, as far as keys look at it."""

    def __init__(self, call: RedisCall, at: int) -> None:
        self._call = call
        self.operation = call.row(at).name
        self.resource = (call.commands[at][1] or b"").decode("utf-8", "surrogateescape")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


def name_of(parts: Sequence[str], key: Hashable) -> str:
    """Return the text of a key, as others may see it: equal keys have equal texts; what headers say is not shown."""
    if not parts:
        return "all"
    values = key if isinstance(key, tuple) else (key,)
    text = ",".join(f"{part}={_shown(part, value)}" for part, value in zip(parts, values, strict=True))
    return text if len(text) <= LONGEST else _digest(text.encode())


def _shown(part: str, value: Hashable) -> str:
    if value is None:
        return ""
    raw = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
    # It may be a token or a cookie, and names of keys are seen by many.
    return _digest(raw) if part.startswith(_HEADER) else quote(raw, safe="/:.@[]")


def _digest(raw: bytes) -> str:
    return blake2b(raw, digest_size=16).hexdigest()


def _part(text: str) -> Part:
    if text.startswith(_HEADER):
        name = text[len(_HEADER) :].lower().encode()
        return lambda call: call.headers.get_bytes(name)
    if text.startswith(_PREFIX):
        return _prefix(text[len(_PREFIX) :])
    return PARTS[text]


def _prefix(separator: str) -> Part:
    """Up to the first separator that is not at the very beginning: ``user`` of ``user:7``, ``/api`` of ``/api/x``."""

    def prefix(call: Call) -> str:
        resource = call.resource
        end = resource.find(separator, 1)
        return resource if end < 0 else resource[:end]

    return prefix

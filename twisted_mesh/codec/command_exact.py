"""Commands that do something else each time, as what they have done once: what a copy must be to have the same effect.

That is told by their replies: the id that a server has given to an entry of a stream (XADD with ``*``), the members
that it has taken at random (SPOP).
"""

from __future__ import annotations

from typing import Optional, Sequence

import hiredis

# What may be no other command's name.
VAGUE = frozenset([b"XADD", b"SPOP"])
_LIMITS = frozenset([b"MAXLEN", b"MINID"])


def is_vague(words: Sequence[bytes]) -> bool:
    """Whether a command may do something else the next time, and its reply says what it was."""
    name = words[0].upper()
    if name == b"XADD":
        at = _id_of(words)
        return at is not None and (words[at] == b"*" or words[at].endswith(b"-*"))
    return name == b"SPOP"


def exact(words: Sequence[bytes], reply: bytes) -> Optional[list[bytes]]:
    """Return the command that does what a vague one has done; None if it has done nothing.

    :param reply: to the command, whole; of an error the command itself is returned, which may be refused there, too.
    """
    reader = hiredis.Reader()
    reader.feed(reply)
    said = reader.gets()
    if isinstance(said, hiredis.ReplyError):
        return list(words)
    if said is None or (not isinstance(said, bytes) and not said):
        return None
    if words[0].upper() == b"SPOP":
        return [b"SREM", words[1], *([said] if isinstance(said, bytes) else said)]
    at = _id_of(words)
    assert at is not None and isinstance(said, bytes), "it is vague, and was carried out"
    return [*words[:at], said, *words[at + 1 :]]


def _id_of(words: Sequence[bytes]) -> Optional[int]:
    """Return where the id stands among the words of XADD; None if there is none."""
    at = 2
    while at < len(words):
        word = words[at].upper()
        if word == b"NOMKSTREAM":
            at += 1
        elif word in _LIMITS:
            at += 3 if words[at + 1 : at + 2] in ([b"="], [b"~"]) else 2
        elif word == b"LIMIT":
            at += 2
        elif word in (b"KEEPREF", b"DELREF", b"ACKED"):
            at += 1
        else:
            return at
    return None

"""A small cache of replies by key: bounded in bytes, the longest unused go first, and nothing stale gets in.

What is asked while something about its key changes is not kept: whoever asks gets a token first, and a change in
between makes it worthless.  https://valkey.io/topics/client-side-caching/ calls that avoiding race conditions.
"""

from __future__ import annotations

from math import inf
from typing import Hashable, Optional

# What an entry takes beside its bytes, roughly.
_ENTRY = 300


class KeyCache:
    """Replies to questions about keys.

    :param size: bytes, :param ttl: seconds that a reply is kept at most, whatever nobody has said about it.
    """

    __slots__ = ("_asked", "_kept", "_size", "_ttl", "held")

    def __init__(self, size: int, ttl: float) -> None:
        self._size = size
        self._ttl = ttl
        # In the order of their last use: for each key the replies by question, with the time until which they are good.
        self._kept: dict[bytes, dict[Hashable, tuple[bytes, float]]] = {}
        # Tokens of those who ask now.
        self._asked: dict[bytes, set[object]] = {}
        self.held = 0

    def __repr__(self) -> str:
        return f"<KeyCache {len(self._kept)} keys, {self.held} bytes>"

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes, question: Hashable, now: float) -> Optional[bytes]:
        """Return what is known; None if nothing is."""
        replies = self._kept.get(key)
        if replies is None:
            return None
        known = replies.get(question)
        if known is None:
            return None
        if now >= known[1]:
            self._drop(key)
            return None
        # The most recently used stand last.
        self._kept[key] = self._kept.pop(key)
        return known[0]

    def has(self, key: bytes, question: Hashable, now: float) -> bool:
        """Whether `get` would return something; nothing changes."""
        known = self._kept.get(key, {}).get(question)
        return known is not None and now < known[1]

    def ask(self, key: bytes) -> object:
        """Begin to ask about a key; returns the token that `answer` wants."""
        token = object()
        self._asked.setdefault(key, set()).add(token)
        return token

    def answer(
        self,
        key: bytes,
        token: object,
        question: Hashable,
        reply: Optional[bytes],
        now: float,
        until: float = inf,
    ) -> bool:
        """End asking; the reply, if there is one, is kept unless something has changed meanwhile.  Returns whether.

        :param until: when the key comes to its end.
        """
        tokens = self._asked.get(key)
        if tokens is None or token not in tokens:
            return False
        tokens.discard(token)
        if not tokens:
            del self._asked[key]
        if reply is None or now >= until:
            return False
        takes = len(key) + len(reply) + _ENTRY
        if takes > self._size // 4:
            return False
        replies = self._kept.setdefault(key, {})
        before = replies.get(question)
        if before is not None:
            self.held -= len(key) + len(before[0]) + _ENTRY
        replies[question] = (reply, min(now + self._ttl, until))
        self.held += takes
        while self.held > self._size:
            self._drop(next(iter(self._kept)))
        return True

    def forget(self, key: bytes) -> None:
        """Something about a key has changed, or may have."""
        self._asked.pop(key, None)
        if key in self._kept:
            self._drop(key)

    def clear(self) -> None:
        """Anything may have changed."""
        self._asked.clear()
        self._kept.clear()
        self.held = 0

    def _drop(self, key: bytes) -> None:
        for reply, _ in self._kept.pop(key).values():
            self.held -= len(key) + len(reply) + _ENTRY

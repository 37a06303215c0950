"""A token bucket: what comes in at a rate, up to a size, and goes out by the call."""

from __future__ import annotations


class TokenBucket:
    """Full at first.  Times are seconds of one monotonic clock; a clock that goes back adds nothing.

    :param size: tokens that it holds at most, :param rate: tokens a second.
    :raises ValueError: one of them is not more than 0.
    """

    __slots__ = ("_at", "_tokens", "rate", "size")

    def __init__(self, size: float, rate: float, now: float) -> None:
        if size <= 0 or rate <= 0:
            raise ValueError("a bucket has a size and a rate of more than 0")
        self.size = size
        self.rate = rate
        self._tokens = float(size)
        self._at = now

    def take(self, tokens: float, now: float) -> bool:
        """Take all of `tokens` or none; returns whether they were there."""
        self._fill(now)
        # Sums of many small fills fall short of whole tokens by rounding alone.
        if self._tokens + 1e-9 < tokens:
            return False
        self._tokens -= tokens
        return True

    def take_some(self, tokens: int, now: float) -> int:
        """Take as many whole tokens as there are, `tokens` at most; returns how many."""
        self._fill(now)
        taken = min(tokens, int(self._tokens + 1e-9))
        self._tokens -= taken
        return taken

    def wait(self, now: float, tokens: float = 1.0) -> float:
        """Return the seconds until `tokens` are there: 0.0 if they are, infinity if they never will be."""
        self._fill(now)
        if tokens > self.size:
            return float("inf")
        return max(0.0, (tokens - self._tokens) / self.rate)

    def _fill(self, now: float) -> None:
        if now > self._at:
            self._tokens = min(self.size, self._tokens + (now - self._at) * self.rate)
            self._at = now

"""One key of a rate limit that many sidecars share: what this sidecar has of it, and when it asks for more.

The count itself is elsewhere (a `Gcra` at Redis).  Asking it for each call would cost each call a round trip, so units
are leased: some at a time, as many as the calls of the last moments suggest, and no more than a part of what is left.
What a lease leaves unused goes back.  While nobody answers, a share of the limit is admitted without asking, and it is
made up for afterwards.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from twisted_mesh.policy.balance import Dice
from twisted_mesh.policy.gcra import Gcra, Grant, Verdict

# Calls that one question is to last for: a round trip for every sixteenth call.
CALLS = 16
# Seconds that it is to last for at least, where calls come so fast that these are more.
LEAST = 0.1
# Seconds after which units that nobody used go back; a lease is never for longer.
LIFE = 3.0
# The share of the burst that all sidecars together have in leases, where that is enough for `CALLS`.
LEASED = 0.8
# A lease is no more than this part of what is left, so that the last units go to whoever comes; but where there was too
# little of late everything is used at once.
PART = 3
# Units below which a lease is used up before there is another.
FEW = 8
# Seconds between two questions at most where there was too little: whoever finds nothing tries again so soon.
PAUSE = 1.0


class Ask(NamedTuple):
    """A question: `want` units if they are there, none if there are fewer than `least`; `debt` as for `Gcra.grant`."""

    want: int
    least: int
    debt: int


class RateLease:
    """What this sidecar has of one key.  Times are seconds of one monotonic clock.

    `tokens` may be spent without asking; `asking` says that a question is on its way; `demand` counts what was asked
    for here since the last one, admitted or not, and is kept by whoever spends; `low` is when to ask for more, so that
    no call has to wait.
    """

    __slots__ = (
        "_alone",
        "_arrival",
        "_full_at",
        "_interval",
        "_rate",
        "_remaining",
        "_scarce_until",
        "_wanted",
        "asked_at",
        "asking",
        "debt",
        "demand",
        "ends",
        "gcra",
        "low",
        "pause_until",
        "tokens",
    )

    def __init__(self, gcra: Gcra, now: float) -> None:
        self.gcra = gcra
        self.tokens = 0
        self.low = -1
        self.ends = now + LIFE
        self.asking = False
        self.asked_at = 0.0
        self.demand = 0
        self.debt = 0
        self.pause_until = 0.0
        self._wanted = 0
        self._rate = 0.0
        self._remaining = gcra.burst
        # When nothing of the limit is used any more, as far as is known here.
        self._full_at = now
        self._scarce_until = 0.0
        self._alone = False
        self._arrival = 0.0
        self._interval = gcra.interval

    def __repr__(self) -> str:
        return f"<RateLease {self.tokens} units, {self.debt} owed{', asking' if self.asking else ''}>"

    # --- asking

    def ask(self, units: int, first: int, calls_cost: int, sidecars: int, now: float) -> Ask:
        """Return the question to ask now.

        :param units: what waits for the answer; 0 if nothing does.
        :param first: what the call that came first waits for.
        :param calls_cost: what a call usually costs.
        :param sidecars: how many share the limit.
        """
        self._measure(now)
        burst, calls = self.gcra.burst, CALLS * calls_cost
        most = max(burst * LEASED / max(1, sidecars), min(burst / PART, calls))
        if now >= self._scarce_until:
            most = min(most, self._remaining / PART)
        usual = min(max(calls, self._rate * LEAST), self._rate * LIFE, most)
        least = max(1, first - self.tokens)
        self._wanted = max(least, units - self.tokens, int(usual))
        self.asking = True
        asked = Ask(self._wanted, least, self._owed(now))
        self.debt = 0
        return asked

    def _measure(self, now: float) -> None:
        """Learn how fast calls come: twice as much by what was since the last question as by what was before."""
        if self.asked_at:
            # Two calls at once are no thousand a second: whoever comes that fast is believed step by step.
            elapsed = max(now - self.asked_at, LEAST / 2)
            seen = self.demand / elapsed
            # What was long ago says nothing.
            self._rate = seen if elapsed > LIFE or not self._rate else (self._rate + 2 * seen) / 3
        self.demand = 0
        self.asked_at = now

    def _owed(self, now: float) -> int:
        """Return what was used without asking and would not be there again by now."""
        ahead = ceil((self._arrival - now) / self._interval - 1e-6) if self._arrival > now else 0
        return min(self.debt, ahead)

    def answered(self, grant: Grant, calls_cost: int, dice: Dice, now: float) -> bool:
        """Take in the answer; returns whether all was granted that was wanted."""
        self.asking = self._alone = False
        # Used already while the answer was late.
        settled = min(self.debt, grant.granted)
        self.debt -= settled
        self.tokens += grant.granted - settled
        self.ends = now + LIFE
        self._remaining = grant.remaining
        self._full_at = now + grant.reset_after
        # To have something of little at hand all the time would keep it from the others.
        self.low = self._wanted // 4 if self._wanted >= FEW else -1
        whole = grant.granted >= self._wanted
        if not whole:
            self._scarce_until = now + LIFE
            fills = self.gcra.tolerance
            pause = CALLS * calls_cost / self._rate if self._rate else PAUSE
            pause = min(max(pause, min(LEAST / 2, fills / 4)), PAUSE, fills / 2)
            # Sidecars that ask in step would leave nothing to the last of them, each time.
            pause *= 0.75 + 0.5 * dice()
            self.pause_until = now + max(pause, grant.retry_after)
            self.low = -1
        return whole

    def failed(self, asked: Ask) -> None:
        """There will be no answer: nobody knows whether the question was heard."""
        self.asking = False
        self.debt = min(self.gcra.burst, self.debt + max(0, asked.debt))

    def give_back(self) -> int:
        """Return how many units go back now; they are nobody's here from now on."""
        tokens, self.tokens = self.tokens, 0
        return tokens

    # --- without asking

    def alone(self, units: int, share: Gcra, now: float) -> Verdict:
        """Decide by a share of the limit.

        :param share: the limit divided by the number of sidecars.
        """
        if not self._alone:
            # Whoever was at the limit before stays there: the times to refill a limit and a share of it are equal.
            self._alone = True
            self._arrival = min(self._full_at, now + share.tolerance)
        self._interval = share.interval
        self._arrival, verdict = share.take(self._arrival, now, units)
        if verdict.admitted:
            self.debt = min(self.gcra.burst, self.debt + units)
        return verdict

    # --- what clients are told

    def verdict(self, admitted: bool, now: float) -> Verdict:
        """Return what is known of the whole limit."""
        wait = 0.0 if admitted else max(0.0, self.pause_until - now)
        left = self.tokens + self._remaining
        return Verdict(admitted, left, max(0.0, self._full_at - now), wait)

    @property
    def left(self) -> int:
        """How much of the whole limit is left, as far as is known here."""
        return self.tokens + self._remaining

    def idle(self, now: float) -> bool:
        """Whether nothing would be lost by forgetting it."""
        return not (self.tokens or self.asking) and now >= max(self._full_at, self.pause_until, self._arrival)

"""How the endpoints of a cluster behave, as calls show it."""

from __future__ import annotations

from typing import Optional, Sequence

from twisted_mesh.call import Call
from twisted_mesh.errors import Kind
from twisted_mesh.headers import Headers
from twisted_mesh.interfaces import Env
from twisted_mesh.policy.ewma import REFUSED, PeakEwma
from twisted_mesh.policy.outcome import Outcome, outcome
from twisted_mesh.upstream.endpoint import Endpoint


class Conduct:
    """What tries have shown of one endpoint; forwards tell it how each has ended."""

    __slots__ = ("_env", "latency")

    def __init__(self, env: Env) -> None:
        self._env = env
        self.latency: Optional[PeakEwma] = None

    def ended(
        self, call: Call, status: int, kind: Optional[Kind], seconds: float, headers: Optional[Headers] = None
    ) -> None:
        """A try has its reply head, or failed.

        :param kind: what went wrong; None if there was a reply.
        :param seconds: how long that took.
        :param headers: the reply's.
        """
        result = outcome(status, kind)
        if self.latency is not None:
            _score(self.latency, result, seconds, headers, self._env.now())

    def describe(self) -> dict[str, object]:
        """Everything worth showing to an operator."""
        latency = self.latency
        return {"latency": None if latency is None else round(latency.latency(self._env.now()), 6)}


class Conducts:
    """Who is watched in a cluster, and how."""

    def __init__(self, env: Env, latency: bool) -> None:
        """
        :param latency: whether the balance goes by it.
        """
        self._env = env
        self._latency = latency

    def __repr__(self) -> str:
        return f"<Conducts latency={self._latency}>"

    def tend(self, endpoints: Sequence[Endpoint]) -> None:
        """Watch exactly these; what was learnt of one stays as long as it is asked for."""
        for each in endpoints:
            self.of(each)

    def latencies(self, endpoints: Sequence[Endpoint]) -> list[PeakEwma]:
        """Return the latency of each."""
        found = []
        for each in endpoints:
            conduct = self.of(each)
            assert conduct is not None and conduct.latency is not None, "the balance goes by latency"
            found.append(conduct.latency)
        return found

    def of(self, endpoint: Endpoint) -> Optional[Conduct]:
        """Return the conduct of an endpoint, made as it has to be here; None if nobody asks for it."""
        if not self._latency:
            endpoint.conduct = None
            return None
        conduct = endpoint.conduct
        if conduct is None:
            endpoint.conduct = conduct = Conduct(self._env)
        if conduct.latency is None:
            conduct.latency = PeakEwma(self._env.now())
        return conduct


def _score(latency: PeakEwma, result: Outcome, seconds: float, headers: Optional[Headers], now: float) -> None:
    """Take in a latency; what failed fast must not look like the best there is."""
    if result is Outcome.SUCCESS:
        latency.observe(seconds, now)
    elif result is Outcome.UNKNOWN:
        # It would have taken longer, nobody knows how much.
        if seconds > latency.latency(now):
            latency.observe(seconds, now)
    elif result is Outcome.REFUSED or result is Outcome.GATEWAY:
        latency.refused(max(seconds, _retry_after(headers)), now)
    else:
        latency.observe(max(seconds, REFUSED), now)


def _retry_after(headers: Optional[Headers]) -> float:
    """Return the seconds of a Retry-After, 0 if there is none or it is a date."""
    text = None if headers is None else headers.get("retry-after")
    # Ten digits are more than any limit already.
    return float(text[:10]) if text and text.isascii() and text.isdigit() else 0.0

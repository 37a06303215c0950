"""What is sent to the endpoint in the place of the path and the host that were asked for.

Made by a route, and no filter of the configuration.  Logs, metrics, hashing and filters go on seeing what was asked.
"""

from __future__ import annotations

from typing import Awaitable, Optional

from twisted_mesh.call import Call, Reply
from twisted_mesh.headers import Field, field
from twisted_mesh.interfaces import Explanation, Proceed
from twisted_mesh.policy.rewrite import Change


class Rewrite:
    """Changes the path, whose query stays, or the Host, or both."""

    __slots__ = ("_change", "_host")

    def __init__(self, change: Optional[Change] = None, host: Optional[str] = None) -> None:
        self._change = change
        self._host: Optional[Field] = None if host is None else field("Host", host)

    def __repr__(self) -> str:
        return f"<Rewrite {self._change} {self._host}>"

    def explain(self, call: Call) -> Explanation:
        """Change the imaginary call, too."""
        self._make(call)
        host = "" if self._host is None else f", for {self._host[1].decode('latin-1')}"
        return Explanation("change", f"asks for {call.target.decode('latin-1')}{host}")

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        self._make(call)
        return proceed(call)

    def _make(self, call: Call) -> None:
        # The target * of OPTIONS is no path.
        if self._change is not None and call.resource != "*":
            _, mark, query = call.target.partition(b"?")
            call.target = self._change(call.resource).encode("latin-1") + mark + query
        if self._host is not None:
            others = [each for each in call.headers.fields if each[0] != b"host"]
            call.headers.fields = [self._host, *others]

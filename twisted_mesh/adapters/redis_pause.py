"""CLIENT PAUSE: commands of a listener's clients wait for a while, all of them or those that may change something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from twisted.internet.interfaces import IDelayedCall

from twisted_mesh.adapters.redis_binding import Binding
from twisted_mesh.adapters.redis_rows import Row

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis import RedisAdapter
    from twisted_mesh.adapters.redis_connection import RedisConnection

# Seconds: nobody waits for longer, and clocks can still count it.
LONGEST = 10 * 365 * 86400.0
# What replicas would hear of although it only reads, or changes no key.
_TOLD = frozenset(["PFCOUNT", "PUBLISH", "SPUBLISH"])


class Pause:
    """One pause, from its beginning to its end.

    While there is one every client has a binding, which takes its commands one by one and has those wait that are held.

    :param writes: whether only commands are held that may change something.
    """

    __slots__ = ("_adapter", "_ends", "_timer", "_writes")

    def __init__(self, adapter: RedisAdapter, writes: bool) -> None:
        self._adapter = adapter
        self._writes = writes
        self._ends = 0.0
        self._timer: Optional[IDelayedCall] = None

    def __repr__(self) -> str:
        return f"<Pause of {'writes' if self._writes else 'everything'} until {self._ends:.3f}>"

    def go_on(self, seconds: float, writes: bool) -> None:
        """Pause for so long from now, if it does not anyway; once everything is held, that stays so."""
        adapter = self._adapter
        self._writes = self._writes and writes
        ends = adapter.now() + min(seconds, LONGEST)
        if ends > self._ends:
            self._ends = ends
            if self._timer is not None:
                self._timer.cancel()
            self._timer = adapter.env.clock.callLater(ends - adapter.now(), self._over)
        for each in adapter.open:
            self.include(each)

    def include(self, client: RedisConnection) -> None:
        """Have the commands of a client wait."""
        if client.binding is None:
            client.binding = Binding(client)

    def holds(self, row: Optional[Row], binding: Binding) -> bool:
        """Whether a command has to wait; None is one that is refused."""
        if not self._writes:
            return True
        if row is None:
            return False
        name = row.command.name
        return row.command.write or name in _TOLD or (name == "EXEC" and binding.writes)

    def end(self) -> None:
        """Have everybody go on."""
        if self._timer is not None:
            self._timer.cancel()
            self._over()

    def _over(self) -> None:
        self._timer = None
        adapter = self._adapter
        adapter.pause = None
        for each in list(adapter.open):
            each.unpaused()

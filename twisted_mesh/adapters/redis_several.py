"""The way of commands of many keys to shards, where all that layers do to them is known beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from twisted_mesh.adapters.redis_ordinary import Ordinary, RowTally, Spread
from twisted_mesh.codec.command_pieces import SEPARATOR, pieces_of
from twisted_mesh.codec.resp import CRLF

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis_commands import Commands
    from twisted_mesh.adapters.redis_shortcut import Shortcut

# The commands, as the pieces that their names are, and how long such a piece may be.
_NAMES = {
    b"%d\r\n%b" % (len(each), each): each
    for name in (b"DEL", b"EXISTS", b"MGET", b"MSET", b"TOUCH", b"UNLINK")
    for each in (name, name.lower())
}
_NAME_SIZE = 12
# How far into a command the count of its words ends at most.
_COUNT_SIZE = 12


class Several:
    """The way of commands of many keys to shards."""

    __slots__ = ("_parts", "_shortcut", "_spread", "_tallies")

    def __init__(self, shortcut: Shortcut, spread: Spread) -> None:
        self._shortcut = shortcut
        self._spread = spread
        ways = shortcut.ways
        self._parts = spread.tally(ways.slow, ways.timeout, ways.count_tries)
        # By the piece that the name is in a command; of those that have come.
        self._tallies: dict[bytes, RowTally] = {}

    def send(self, connection: Commands, data: bytes) -> Optional[tuple[Ordinary, RowTally]]:
        """Send `data` if it is one ordinary command of many keys; return what waits for its reply, and its tally."""
        at = data.find(SEPARATOR, 0, _COUNT_SIZE) + 3
        name = data[at : data.find(SEPARATOR, at + 1, at + _NAME_SIZE)]
        tally = self._tallies.get(name) or self._new_tally(name)
        if tally is None:
            return None
        pieces = pieces_of(data)
        if pieces[0] != b"*%d" % (len(pieces) - 1) or not data.endswith(CRLF):
            return None
        del pieces[0]
        pending = Ordinary(connection, tally, data, self._shortcut.now(), self._shortcut.rescue)
        if not self._spread.parts(pending, tally.row.command, pieces, self._parts):
            return None
        return pending, tally

    def _new_tally(self, name: bytes) -> Optional[RowTally]:
        """Return what a command that comes for the first time is counted by; None if it is none of these."""
        known = _NAMES.get(name)
        row = None if known is None else self._shortcut.rows.find(known)
        if row is None:
            return None
        tally = self._tallies[name] = RowTally(self._shortcut, row, in_parts=True)
        return tally

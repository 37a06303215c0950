"""Where the keys of a command stand among its words, by the key specifications that servers give.

One specification says where to begin (at an index, or behind a word such as STREAMS) and how to go on from there (so
far, in such steps; or as many as a number says).  https://redis.io/docs/latest/develop/reference/key-specs/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

# Options of GEORADIUS that have a word behind them.
_VALUED = frozenset([b"STORE", b"STOREDIST", b"COUNT"])
# Written as ACCESS:BEGIN:FIND in a row of the table; ``-`` is what a server does not tell.
_ACCESS = {"RO": "r", "RW": "w", "OW": "w", "RM": "w"}


@dataclass(frozen=True)
class KeySpec:
    """One place where keys stand.

    `access` is ``r`` or ``w``, ``rw`` for what changes a key and tells of its value, or ``c`` for the channel of a
    command that goes to where the channel lives.  It begins at `index`, or behind `word`, which is searched from
    `index` on (backwards from the end if that is negative).
    Either `counted` is None and keys stand up to `last` (from the first, or from the end if negative; `limit` 2 takes
    half), or a number of keys stands `counted` words on, and the first key `last` words on.
    """

    access: str
    index: int
    word: bytes
    counted: Optional[int]
    last: int
    step: int
    limit: int

    def __str__(self) -> str:
        begin = f"{self.word.decode('ascii')}@{self.index}" if self.word else str(self.index)
        find = (
            f"r{self.last},{self.step},{self.limit}"
            if self.counted is None
            else f"n{self.counted},{self.last},{self.step}"
        )
        return f"{self.access}:{begin}:{find}"

    def places(self, words: Sequence[bytes]) -> range:
        """Return the indexes of keys in `words`, which begin with the command's name; empty if there are none."""
        first = self._first(words)
        if first is None or first >= len(words):
            return range(0)
        if self.counted is not None:
            return self._counted(words, first)
        if self.last >= 0:
            end = first + self.last
        elif self.limit <= 1:
            end = len(words) + self.last
        else:
            end = first + (len(words) - first) // self.limit + self.last
        return range(first, min(end, len(words) - 1) + 1, self.step)

    def _first(self, words: Sequence[bytes]) -> Optional[int]:
        if not self.word:
            return self.index
        if self.last == 0 and self.counted is None:
            return self._behind_option(words)
        places = range(self.index, len(words) - 1) if self.index > 0 else range(len(words) + self.index, 1, -1)
        for place in places:
            if 0 < place < len(words) and words[place].upper() == self.word:
                return place + 1
        return None

    def _behind_option(self, words: Sequence[bytes]) -> Optional[int]:
        """Return where the key of an option stands: of several a server takes the last one."""
        place, found = self.index, None
        while place < len(words) - 1:
            word = words[place].upper()
            if word == self.word:
                found = place + 1
            # What stands behind one of these is no option, whatever it is called.
            place += 2 if word in _VALUED else 1
        return found

    def _counted(self, words: Sequence[bytes], first: int) -> range:
        place = first + (self.counted or 0)
        if place >= len(words) or not words[place].isdigit() or len(words[place]) > 10:
            return range(0)
        start = first + self.last
        end = start + int(words[place]) * self.step
        # A number that says more than there is makes it a command that the server refuses; it has no keys.
        return range(start, end, self.step) if end - self.step < len(words) else range(0)


def spec_from_text(text: str) -> KeySpec:
    """Return what a row of the table says."""
    access, begin, find = text.split(":")
    word, _, index = begin.rpartition("@")
    one, two, three = map(int, find[1:].split(","))
    if find[0] == "r":
        return KeySpec(access, int(index), word.encode("ascii"), None, one, two, three)
    return KeySpec(access, int(index), word.encode("ascii"), one, two, three, 0)


def spec_from_server(fields: Sequence[Any]) -> Optional[KeySpec]:
    """Return what COMMAND says of one specification; None if the server only says that it does not know."""
    spec = _pairs(fields)
    begin, find = _pairs(spec[b"begin_search"]), _pairs(spec[b"find_keys"])
    if b"unknown" in (begin[b"type"], find[b"type"]):
        return None
    where, how = _pairs(begin[b"spec"]), _pairs(find[b"spec"])
    flags = [flag.decode("ascii") for flag in spec[b"flags"]]
    access = "c" if "not_key" in flags else next(_ACCESS[flag] for flag in flags if flag in _ACCESS)
    if access == "w" and "access" in flags:
        access = "rw"
    index, word = (where[b"index"], b"") if b"index" in where else (where[b"startfrom"], where[b"keyword"])
    if find[b"type"] == b"range":
        return KeySpec(access, index, word, None, how[b"lastkey"], how[b"keystep"], how[b"limit"])
    return KeySpec(access, index, word, how[b"keynumidx"], how[b"firstkey"], how[b"keystep"], 0)


def _pairs(fields: Sequence[Any]) -> Mapping[bytes, Any]:
    return dict(zip(fields[::2], fields[1::2]))

"""Records under leases at Redis: what the scripts do, with values in and values out."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Iterable, Mapping, NamedTuple, Sequence, Union

from twisted.internet.defer import Deferred

from twisted_mesh.bus import lease_scripts
from twisted_mesh.bus.client import Script

if TYPE_CHECKING:
    from twisted_mesh.bus.client import Redis
    from twisted_mesh.bus.keys import Keys

# Renewals in one script: half a millisecond of the server's time.
RENEWED_AT_ONCE = 500
# Sets that one poll asks for.
POLLED_AT_ONCE = 200

PUT = Script("put", lease_scripts.PUT)
RENEW = Script("renew", lease_scripts.RENEW)
REMOVE = Script("remove", lease_scripts.REMOVE)
REFUSE = Script("refuse", lease_scripts.REFUSE)
AMEND = Script("amend", lease_scripts.AMEND)
POLL = Script("poll", lease_scripts.POLL)
READ = Script("read", lease_scripts.READ)
LIST = Script("list", lease_scripts.LIST)


class Guard(NamedTuple):
    """The guard against mass expiry: when more than `share` percent of a set are in doubt at once, those whose lease
    ran out are kept for `hold` seconds.  100 percent is no guard."""

    share: float = 50.0
    hold: float = 60.0


GUARD = Guard()
NO_GUARD = Guard(100.0, 0.0)


class Held(NamedTuple):
    """A lease to renew: the set, the id, and for how many seconds."""

    name: str
    id: str
    lease: float


class Changes(NamedTuple):
    """What happened to a set since a version: each change as it was published."""

    now: int
    version: int
    changes: Sequence[bytes]


class Whole(NamedTuple):
    """All of a set.  `ends` and `suspects` are in ms of Redis's clock, as `now` is; `born` differs after a loss."""

    now: int
    version: int
    records: Mapping[str, bytes]
    ends: Mapping[str, int]
    suspects: Mapping[str, int]
    why: str
    born: str = ""


class Listed(NamedTuple):
    """One set in the list of all: how many of its records have a lease, and how many are suspects."""

    name: str
    version: int
    leased: int
    suspects: int


class Leases:
    """The sets of one kind.  Every method fails with `BusError` when Redis does not do as it is told.

    :param kind: a word; it is part of the keys.
    """

    def __init__(self, redis: Redis, keys: Keys, kind: str, guard: Guard = NO_GUARD) -> None:
        self.kind = kind
        self.keys = keys
        self.guard = guard
        self._redis = redis

    def __repr__(self) -> str:
        return f"<Leases {self.keys.prefix}{self.kind}>"

    async def put(self, name: str, id: str, record: bytes, lease: float, owner: str = "") -> tuple[int, bytes]:
        """Store a record under a lease of so many seconds.

        :return: the version of the set; and the record that another owner held there, whose lease was still good.
        """
        version, other = await self._run(PUT, name, id, record, _ms(lease), owner)
        return version, other

    async def renew(self, held: Iterable[Held]) -> list[tuple[str, str]]:
        """Renew leases, many at once.

        :return: name and id of those that Redis does not know: they have to be put again.
        """
        unknown: list[tuple[str, str]] = []
        ordered = sorted(held, key=_group)
        for start in range(0, len(ordered), RENEWED_AT_ONCE):
            arguments: list[Any] = []
            for (name, lease), group in groupby(ordered[start : start + RENEWED_AT_ONCE], _group):
                ids = [each.id for each in group]
                arguments += [name, _ms(lease), len(ids), *ids]
            answer = [_text(each) for each in await self._run(RENEW, *arguments)]
            unknown += zip(answer[::2], answer[1::2], strict=True)
        return unknown

    async def remove(self, name: str, id: str, why: str, owner: str = "") -> int:
        """Take a record away.

        :param owner: only if it is this owner's.
        :return: 1; 0 if it was not there; -1 if it is another owner's.
        """
        return int(await self._run(REMOVE, name, id, owner, why))

    async def refuse(self, name: str, id: str, why: str) -> bool:
        """Take a record away if it is a suspect; returns whether it was."""
        return bool(await self._run(REFUSE, name, id, why))

    async def amend(self, name: str, id: str, field: str, value: bytes) -> int:
        """Change one field of a record to a value, given as JSON.

        :return: the version of the set; 0 if there is no such record.
        """
        return int(await self._run(AMEND, name, id, field, value))

    async def poll(self, names: Sequence[str]) -> tuple[dict[str, int], float]:
        """Sweep these sets and ask for their versions.

        :return: the versions; and the seconds until the next lease of any of them ends, -1 if there is none.
        """
        versions: dict[str, int] = {}
        soonest = -1.0
        for start in range(0, len(names), POLLED_AT_ONCE):
            part = names[start : start + POLLED_AT_ONCE]
            answer = await self._run(POLL, self.guard.share, _ms(self.guard.hold), *part)
            versions.update(zip(part, answer[1::2], strict=True))
            due = [each / 1000 for each in answer[2::2] if each >= 0]
            soonest = min([*due, soonest] if soonest >= 0 else due, default=-1.0)
        return versions, soonest

    async def read(self, name: str, known: int = 0, born: str = "") -> Union[Changes, Whole]:
        """Read what has happened to a set since a version, or all of it.

        :param born: what it said of itself when that version was known.
        """
        answer = await self._run(READ, self.guard.share, _ms(self.guard.hold), name, known, born)
        if len(answer) == 3:
            return Changes(*answer)
        now, version, records, ends, suspects, why, made = answer
        return Whole(
            now,
            version,
            dict(_pairs(records)),
            {id: int(float(end)) for id, end in _pairs(ends)},
            {id: int(float(end)) for id, end in _pairs(suspects)},
            _text(why),
            _text(made),
        )

    async def list(self) -> list[Listed]:
        """Return every set of the kind, by name."""
        answer = await self._run(LIST, self.guard.share, _ms(self.guard.hold))
        found = (answer[at : at + 4] for at in range(0, len(answer), 4))
        return sorted(Listed(_text(name), version, leased, suspects) for name, version, leased, suspects in found)

    def _run(self, script: Script, *arguments: Any) -> Deferred[Any]:
        return self._redis.script(script, [self.keys.prefix], [self.kind, *arguments])


def _group(held: Held) -> tuple[str, float]:
    return held.name, held.lease


def _pairs(flat: Sequence[bytes]) -> Iterable[tuple[str, bytes]]:
    return ((_text(flat[at]), flat[at + 1]) for at in range(0, len(flat), 2))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _ms(seconds: float) -> int:
    return round(seconds * 1000)

"""What a sidecar tells the store of itself: which version it has taken, what it refuses, and how its calls fare."""

from __future__ import annotations

from itertools import islice
from typing import Callable, Iterable, Literal, NamedTuple, Optional
from uuid import uuid4

import msgspec

from twisted_mesh.bus.client import Script
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.reading import PAGE_BYTES, PAGE_RECORDS, Commands
from twisted_mesh.bus.report_scripts import LEAVE, OFFER, REPORT
from twisted_mesh.bus.resource import TRIAL, Resource, base_name
from twisted_mesh.bus.status import Report
from twisted_mesh.bus.store_keys import store_channel, store_keys
from twisted_mesh.bus.stored import EMPTY, Nack, Stored
from twisted_mesh.bus.tally import Tally
from twisted_mesh.policy.canary import belongs
from twisted_mesh.policy.selector import Who

# Seconds that a report holds; three are sent in that time.
LEASE = 15.0
# What is said of what is refused: so many resources, each in so many letters.
MAX_NACKS = 50
MAX_REASON = 500
# Letters of what is said to be why a canary ends.
MAX_BLAME = 200

Side = Literal["canary", "other", ""]

_report = Script("config-report", REPORT)
_leave = Script("config-leave", LEAVE)
_offer = Script("config-offer", OFFER)


class Heard(NamedTuple):
    """What the store says to a report: its life and version, whether it wants to have this sidecar's configuration, and
    the version that ended the canary (0 if none did), and whether another process reports under the same name."""

    epoch: str
    version: int
    wanted: bool
    ended: int
    twins: bool = False


class Reporter:
    """Reports for one sidecar.

    :param software: the version of the mesh's own code.
    :param token: makes texts that are never the same twice.
    :ivar who: this sidecar.
    :ivar taken: the version of the store that is in force, as far as it could be used.
    :ivar side: which side of its open canary this sidecar is on; "" if it has nothing to do with it.
    :ivar nacks: what could not be used of it.
    """

    def __init__(
        self,
        redis: Commands,
        keys: Keys,
        who: Who,
        tally: Tally,
        *,
        lease: float = LEASE,
        software: str = "",
        token: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        self.taken = EMPTY
        self.side: Side = ""
        self.nacks: tuple[Nack, ...] = ()
        self.took = 0.0
        self.trouble = ""
        self._redis = redis
        self._keys = keys
        self.who = who
        self._tally = tally
        self._lease = max(1, round(lease * 1000))
        self._software = software
        self._token = token
        self._run = token()
        # The canary that calls are counted for, what the tally had when it was taken, and what was refused before it.
        self._canary = 0
        self._base = (0, 0)
        self._before: Optional[frozenset[str]] = None

    def __repr__(self) -> str:
        return f"<Reporter {self.who.node} {self.taken.version} {'nack' if self.nacks else 'ack'}>"

    def take(self, stored: Stored, nacks: Iterable[Nack], took: float) -> None:
        """Note which version is in force now, and what of it is not."""
        canary = 0 if stored.canary is None else stored.canary.version
        if canary and canary != self._canary:
            self._tally.look()
            self._base = (self._tally.calls, self._tally.errors)
        if not canary:
            self._before = None
        elif canary != self._canary and self.taken.version:
            self._before = frozenset(each.name for each in self.nacks)
        self._canary = canary
        self.taken = stored
        self.side = self._side()
        self.nacks = tuple(nacks)
        self.took = took

    def _side(self) -> Side:
        canary = self.taken.canary
        if canary is None or not self.taken.concerned(self.who):
            return ""
        return "canary" if belongs(self.who.node, canary.bound) else "other"

    @property
    def blame(self) -> str:
        """What this sidecar refuses because of the canary, "" if nothing."""
        canary = self.taken.canary
        if canary is None or self.side != "canary":
            return ""
        brought = {base_name(each) for each in canary.names}
        for each in self.nacks:
            news = self._before is not None and each.name not in self._before
            if news or base_name(each.name) in brought:
                return f"{each.name}: {each.reason}"[:MAX_BLAME]
        return ""

    async def send(self) -> Heard:
        """Report.

        :raises BusError: Redis could not be told.
        """
        self._tally.look()
        calls, errors = self._tally.calls, self._tally.errors
        args = (
            store_channel(self._keys),
            self.who.node,
            self._lease,
            msgspec.json.encode(self._report()),
            self.taken.epoch,
            self.taken.version,
            self.side,
            self._canary,
            calls - self._base[0],
            errors - self._base[1],
            self.blame,
            self._token(),
            self._run,
        )
        answer = await self._redis.script(_report, store_keys(self._keys), args)
        return Heard(answer[0].decode(), int(answer[1]), bool(answer[2]), int(answer[3]), bool(answer[4]))

    def _report(self) -> Report:
        shown = tuple(
            msgspec.structs.replace(each, reason=each.reason[:MAX_REASON]) for each in islice(self.nacks, MAX_NACKS)
        )
        return Report(
            node=self.who.node,
            service=self.who.service,
            zone=self.who.zone,
            labels=self.who.labels,
            run=self._run,
            software=self._software,
            epoch=self.taken.epoch,
            version=self.taken.version,
            nacks=shown,
            more=len(self.nacks) - len(shown),
            took=round(self.took, 6),
            canary=self.side == "canary",
            calls=self._tally.calls,
            errors=self._tally.errors,
            trouble=self.trouble,
        )

    async def leave(self) -> None:
        """Take the report away: this sidecar ends.

        :raises BusError: Redis could not be told; the lease ends it then.
        """
        await self._redis.script(_leave, store_keys(self._keys), [store_channel(self._keys), self.who.node])

    async def offer(self) -> bool:
        """Give the store what it lost, for `ConfigStore.restore`; False if another sidecar does.

        :raises BusError: Redis could not be told.
        """
        parts = list(_parts(self.taken.records.values()))
        head = (store_channel(self._keys), self.who.node, self._lease, self.taken.epoch, self.taken.version)
        for at, part in enumerate(parts):
            flags = (int(at == 0), int(at == len(parts) - 1))
            if not await self._redis.script(_offer, store_keys(self._keys), (*head, *flags, *part)):
                return False
        return True


def _parts(records: Iterable[Resource]) -> Iterable[list[bytes]]:
    """Yield names and records in parts as small as the pages of a reader; one part at least."""
    part: list[bytes] = []
    size = 0
    for each in records:
        if each.name.startswith(TRIAL):
            continue
        if part and (len(part) >= 2 * PAGE_RECORDS or size + len(each.record) > PAGE_BYTES):
            yield part
            part, size = [], 0
        part += (each.name.encode(), each.record)
        size += len(each.record)
    yield part

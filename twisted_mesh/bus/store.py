"""The configuration store: what `meshctl` does with the resources that all sidecars share.

Each write is one script: all of it happens, under one new version, or nothing.  A write whose reply was lost is asked
again under the same token, and happens once.
"""

from __future__ import annotations

from typing import Any, Awaitable, Callable, Mapping, NamedTuple, Optional, Protocol, Sequence
from uuid import uuid4

import msgspec
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from twisted_mesh.bus.client import Script
from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.read_scripts import BEFORE, HISTORY
from twisted_mesh.bus.reading import Behind, Commands, read
from twisted_mesh.bus.report_scripts import RESTORE
from twisted_mesh.bus.resource import MAX_CHANGES, Canary, Change, Draft, Resource, encode
from twisted_mesh.bus.status import Status, read_status, who_of
from twisted_mesh.bus.store_answers import Written, as_before, change_of, no_offer, no_such_version, written
from twisted_mesh.bus.store_errors import StoreError
from twisted_mesh.bus.store_keys import store_channel, store_keys
from twisted_mesh.bus.store_scripts import APPLY, PROMOTE, ROLLBACK
from twisted_mesh.bus.stored import EMPTY, Stored, with_trial
from twisted_mesh.policy.canary import bound_for

# Times that a write is asked again that was lost or went to the wrong server, and how long the connection may take to
# come back.
AGAIN = 2
# Versions that are looked through for the end of a canary.
MOST_VERSIONS = 1000
UP_TIMEOUT = 5.0
# How much greater than the others' the canaries' share of failed calls may be, and by how many calls that is judged.
MARGIN = 0.05
# Seconds until that is judged at all: every sidecar has reported twice by then.
SETTLE = 3.0
LEAST_CALLS = 100

# Seconds, and how often is looked: for a sidecar's offer, and for what all of them say of a version.
OFFER_WAIT, OFFER_POLL = 20.0, 0.2
WAIT_POLL, WAIT_POLL_MOST = 0.05, 0.5

_apply = Script("config-apply", APPLY)
_promote = Script("config-promote", PROMOTE)
_rollback = Script("config-rollback", ROLLBACK)
_restore = Script("config-restore", RESTORE)
_history = Script("config-history", HISTORY)
_before = Script("config-before", BEFORE)


class Connection(Commands, Protocol):
    """What writing needs of a `bus.client.Redis`."""

    def command(self, *args: Any, timeout: Optional[float] = None) -> Deferred[Any]: ...

    def up(self, timeout: float = ...) -> Deferred[None]: ...


class Trial(NamedTuple):
    """How a canary is wanted: for a `share` of the sidecars (0.1 for 10 %), above 0 and below 1.

    It rolls itself back when one of its sidecars refuses what it brings, or when their share of failed calls is more
    than `margin` greater than the others', once they had `least_calls`, and not before `settle` seconds.
    """

    share: float
    margin: float = MARGIN
    least_calls: int = LEAST_CALLS
    settle: float = SETTLE


class ConfigStore:
    """The configuration store of one mesh.

    :param token: makes texts that are never the same twice.

    All methods fire with what they say, or fail with a `StoreError` (the store refused; one clear line) or with a
    `BusError` (Redis could not be asked, or its reply was lost more than once).
    """

    def __init__(
        self,
        redis: Connection,
        keys: Keys,
        *,
        clock: IReactorTime,
        token: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        self.redis = redis
        self.keys = keys
        self._clock = clock
        self._token = token

    def __repr__(self) -> str:
        return f"<ConfigStore {self.keys.mesh}>"

    # --- reading

    def read(self, known: Stored = EMPTY) -> Deferred[Stored]:
        """Fire with the store as it is; with `known`, only what changed since is read.

        `known` comes back, the same object, if nothing changed or if the store has lost what it holds.
        """
        return ensureDeferred(self._read(known))

    async def _read(self, known: Stored) -> Stored:
        found = await read(self.redis, self.keys, known)
        return known if isinstance(found, Behind) else found

    def at(self, version: int) -> Deferred[dict[str, Resource]]:
        """Fire with the resources as they were in a version that is kept, by name.

        :raises NoSuchVersion: it is not kept.
        """
        return ensureDeferred(self._at(version))

    async def _at(self, version: int) -> dict[str, Resource]:
        stored = await self._read(EMPTY)
        while True:
            answer = await self._ask(_before, version)
            if answer[0] == b"unknown":
                raise no_such_version(version, answer)
            if (answer[1].decode(), int(answer[2])) == (stored.epoch, stored.version):
                return as_before(stored.resources, answer[3])
            stored = await self._read(stored)

    def history(self, limit: int = 20) -> Deferred[list[Change]]:
        """Fire with the newest versions that are kept, the newest first."""
        return ensureDeferred(self._history(limit))

    async def _history(self, limit: int) -> list[Change]:
        _, _, entries = await self._ask(_history, max(1, limit))
        return [change_of(each) for each in reversed(entries) if each is not None]

    def rolled_back(self, canary: int) -> Deferred[Optional[Change]]:
        """Fire with the version that ended the canary of version `canary` without promoting it; None if none did.

        Whoever waits for a canary asks afterwards: one that is refused is over before the refusal can be seen.
        """
        return ensureDeferred(self._rolled_back(canary))

    async def _rolled_back(self, canary: int) -> Optional[Change]:
        for each in await self._history(MOST_VERSIONS):
            if each.version <= canary:
                break
            if each.kind == "rollback" and each.canary == canary:
                return each
        return None

    def keep(self, versions: int) -> Deferred[None]:
        """Have the store keep so many versions from the next write on (100 if never set), 2 at least."""
        return ensureDeferred(self._keep(versions))

    async def _keep(self, versions: int) -> None:
        if versions < 2:
            raise StoreError(f"the history needs 2 versions at least, got {versions}")
        await self.redis.command("HSET", self.keys.prefix + "config:history", "limit", versions)

    def status(self) -> Deferred[Status]:
        """Fire with what the sidecars report, and how the store stands to them."""
        return ensureDeferred(read_status(self.redis, self.keys))

    # --- writing

    def apply(
        self,
        changes: Mapping[str, Optional[Draft]],
        *,
        author: str,
        reason: str,
        expected: Optional[Mapping[str, int]] = None,
        canary: Optional[Trial] = None,
        force: bool = False,
    ) -> Deferred[Written]:
        """Write resources, or delete those that are None, as one new version.  Fires with `Written`.

        What equals what is there is left out.  A value is not checked against anything but JSON.

        :param expected: the version of each resource that the writer has seen, 0 for none; one that is not named is
            written whatever it was.
        :param canary: only a share of the sidecars gets it, until `promote` or `rollback`.
        :param force: begin anew even if sidecars have what the store lost; they drop it then.
        :raises ValueError: a name or value cannot be written; the line names the resource and the place.
        :raises Conflict: a resource changed since, or is held by a canary.
        :raises CanaryOpen: there is another canary.
        :raises StoreBehind: the store lost what sidecars still have.
        """
        return ensureDeferred(self._apply(changes, author, reason, expected or {}, canary, force))

    async def _apply(
        self,
        changes: Mapping[str, Optional[Draft]],
        author: str,
        reason: str,
        expected: Mapping[str, int],
        canary: Optional[Trial],
        force: bool,
    ) -> Written:
        if len(changes) > MAX_CHANGES:
            raise ValueError(f"{len(changes)} resources at once, more than {MAX_CHANGES}")
        drafts: list[Any] = []
        for name, draft in changes.items():
            seen = expected.get(name)
            drafts += (name, "" if seen is None else seen, b"" if draft is None else encode(name, draft))
        trial = b"" if canary is None else await self._trial(canary, changes)
        args = [author, reason, "1" if force else "0", trial, *drafts]
        return written(await self._write(_apply, args))

    async def _trial(self, canary: Trial, changes: Mapping[str, Optional[Draft]]) -> bytes:
        """Return the canary's head, its bound such that of the sidecars that it concerns it gets the share."""
        if not 0.0 < canary.share < 1.0:
            raise ValueError(f"canary: expected a share above 0 % and below 100 %, got {canary.share:.4g} of 1")
        sidecars = (await read_status(self.redis, self.keys)).sidecars
        tried = with_trial(await self._read(EMPTY), changes)
        bound = bound_for(canary.share, [each.node for each in sidecars if tried.concerned(who_of(each.report))])
        made = Canary(0, canary.share, bound, canary.margin, canary.least_calls, settle=canary.settle)
        return msgspec.json.encode(made)

    def delete(
        self, names: Sequence[str], *, author: str, reason: str, expected: Optional[Mapping[str, int]] = None
    ) -> Deferred[Written]:
        """Delete resources: what the file of a sidecar has under the name is in force again.  Raises as `apply`."""
        return self.apply(dict.fromkeys(names), author=author, reason=reason, expected=expected)

    def promote(self, *, author: str, reason: str, version: Optional[int] = None) -> Deferred[Written]:
        """Give what the canary has to all, as a new version.

        :param version: the canary that is meant, so that no other one is promoted.
        :raises NoCanary: there is none, or another one.
        """
        args = [author, reason, "" if version is None else version]
        return ensureDeferred(self._written_by(_promote, args, version))

    def rollback(self, *, author: str, reason: str, to: Optional[int] = None) -> Deferred[Written]:
        """Make the resources as they were in version `to`, as a new version; an open canary ends in any case.

        Without `to` it ends the canary, or, if there is none, undoes the last version that changed anything.

        :raises NoSuchVersion: it is not kept (see `history`), or there is nothing to undo.
        """
        return ensureDeferred(self._written_by(_rollback, [author, reason, "" if to is None else to], to))

    def restore(self, *, author: str, reason: str, node: str = "", wait: float = OFFER_WAIT) -> Deferred[Written]:
        """Write back what a sidecar has and the store lost, as a new version in a new life of the store.

        An open canary is not restored, and resources that no sidecar knew are deleted.

        :param node: the sidecar that is meant; without it, whichever offers.
        :param wait: seconds for a sidecar to offer what it has; they look every few seconds.
        :raises NoOffer: none did.
        """
        return ensureDeferred(self._restore(author, reason, node, wait))

    async def _restore(self, author: str, reason: str, node: str, wait: float) -> Written:
        ends = self._clock.seconds() + wait
        while True:
            answer = await self._write(_restore, [author, reason, node])
            if answer[0] != b"none":
                return written(answer)
            if self._clock.seconds() >= ends:
                raise no_offer(answer, node)
            await deferLater(self._clock, OFFER_POLL)

    def wait(self, version: int, timeout: float) -> Deferred[Status]:
        """Fire once every live sidecar has taken or refused `version` or a later one, or after `timeout` seconds.

        `Status.waiting_for(version)` says which have not, `Status.nacks` who refused what.
        """
        return ensureDeferred(self._wait(version, timeout))

    async def _wait(self, version: int, timeout: float) -> Status:
        ends = self._clock.seconds() + timeout
        pause = WAIT_POLL
        while True:
            found = await read_status(self.redis, self.keys)
            left = ends - self._clock.seconds()
            if left <= 0 or not found.waiting_for(version):
                return found
            await deferLater(self._clock, min(pause, left))
            pause = min(pause * 1.5, WAIT_POLL_MOST)

    async def _written_by(self, script: Script, args: Sequence[Any], asked: Optional[int]) -> Written:
        return written(await self._write(script, args), asked)

    async def _write(self, script: Script, args: Sequence[Any]) -> Any:
        """Run a script that writes; again, under the same token, if its reply was lost or another server has the keys.

        :raises BusError: it says so if the script may have run.
        """
        token = self._token()
        lost = False
        for left in reversed(range(AGAIN + 1)):
            try:
                return await self._ask(script, token, *args)
            except BusError as error:
                is_lost = error.sent and error.kind != "refused"
                lost = lost or is_lost
                if not left or not (is_lost or error.wrong_server):
                    raise (_unsure(error) if lost else error) from None
            try:
                await self.redis.up(UP_TIMEOUT)
            except BusError as error:
                raise _unsure(error) from None
        raise AssertionError("unreachable")

    def _ask(self, script: Script, *args: Any) -> Awaitable[Any]:
        return self.redis.script(script, store_keys(self.keys), [store_channel(self.keys), *args])


def _unsure(error: BusError) -> BusError:
    """Return an error that says that what was asked for may have happened."""
    detail = f"{error.detail}; the change may have been written all the same, which `meshctl history` shows"
    return BusError(error.kind, detail, server=error.server, code=error.code, sent=True)

"""From "it may have changed" to a new world, or to a reason why not.

Reading and checking take a tenth of a second for thousands of resources, so a child process does it and gives back
plain values.  Building takes a few milliseconds for each hundred, so it is done in slices between which calls run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Iterable, Optional

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from twisted_mesh.control.change import Change
from twisted_mesh.control.parcels import is_same
from twisted_mesh.control.world import World
from twisted_mesh.errors import ConfigError
from twisted_mesh.families import Families

if TYPE_CHECKING:
    from twisted_mesh import model

# Seconds of building between which calls in flight get their turn; with 1,000 of them a second it is a millisecond.
SLICE = 0.0005

log = Logger("twisted_mesh.reload")

Read = Callable[[], "Deferred[model.Config]"]
Undo = Callable[[], None]
Outside = Callable[["model.Config"], Undo]


class Reload:
    """Reads the configuration and applies it, one change at a time; the newest request wins.

    :param read: reads and checks; fires with the configuration, or fails with `ConfigError`.
    :param outside: changes what lies outside the world; returns what takes that back, or raises `ConfigError`.
    :param applied: called after each change that was applied.
    :param between: called at each pause of a change, before calls get their turn.
    :param settled: called at the end of each request, with None if what was read is in force, or why it is not.
    """

    def __init__(
        self,
        world: World,
        read: Read,
        outside: Outside,
        applied: Callable[[], None],
        between: Callable[[], None] = lambda: None,
        settled: Callable[[Optional[ConfigError]], None] = lambda error: None,
    ) -> None:
        self._world = world
        self._read = read
        self._outside = outside
        self._applied = applied
        self._between = between
        self._settled = settled
        self._families = Families(world.env.metrics)
        self._running: Optional[Deferred[None]] = None
        self._again = ""
        self._stopped = False
        # Whether what is applied now is so large that it has paused before.
        self._is_long = False
        # Why the newest configuration was refused; "" once one is applied.
        self.refused = ""

    def request(self, reason: str) -> None:
        """Have the configuration read again; if that is going on already, once more after it."""
        if self._stopped:
            log.info("not reloading ({reason}): the process is ending", reason=reason)
        elif self._running is not None:
            self._again = reason
        else:
            self._start(reason)

    def stop(self) -> None:
        """Apply nothing from now on."""
        self._stopped = True

    def first(self, config: model.Config) -> None:
        """Apply the configuration that the process starts with, in one go.

        :raises ConfigError: it cannot be applied.
        """
        change = Change(self._world, config)
        try:
            for _ in change.steps():
                continue
            undo = self._outside(config)
            try:
                change.commit()
            except ConfigError:
                undo()
                raise
        except ConfigError:
            change.give_up()
            raise
        self._succeeded("applied")

    def _start(self, reason: str) -> None:
        log.info("reading the configuration ({reason})", reason=reason)
        self._running = running = ensureDeferred(self._run())
        running.addErrback(self._failed)
        running.addCallback(self._ended)

    def _ended(self, result: object) -> None:
        self._running = None
        again, self._again = self._again, ""
        if again:
            self.request(again)

    def _failed(self, failure: Any) -> None:
        """What nobody expects: say so, and go on with what runs."""
        self._reject(str(failure.value))
        log.failure("reloading failed", failure=failure)

    async def _run(self) -> None:
        try:
            self._is_long = False
            config = await self._read()
            await self._pause_if_long()
            if is_same(config, self._world.config):
                self._world.renewal.now()
                self._succeeded("unchanged")
                log.info("the configuration is as it was")
                self._settled(None)
                return
            await self._apply(config)
        except ConfigError as error:
            self._reject(str(error))
            for each in error.problems:
                log.error("refused: {problem}", problem=each)
            many = len(error.problems)
            problems = "1 problem" if many == 1 else f"{many} problems"
            log.error("the configuration was refused, {problems}; what ran goes on", problems=problems)
            self._settled(error)

    async def _apply(self, config: model.Config) -> None:
        world = self._world
        change = Change(world, config)
        if not await self._swapped(change):
            return
        await self._pause_if_long()
        self._succeeded("applied")
        log.info("applied configuration {version}: {world!r}", version=world.version, world=world)
        self._settled(None)
        await self._pause_if_long()
        await self.in_slices(change.tidy())
        self._applied()

    async def _swapped(self, change: Change) -> bool:
        """Bring a change into force; returns whether it is, as the end may overtake it.

        :raises ConfigError: it cannot; what ran goes on as it was.
        """
        undo: Optional[Undo] = None
        swapped = False
        try:
            await self.in_slices(change.steps())
            await change.warm()
            if not self._is_stopped():
                undo = self._outside(change.config)
                change.open()
                await self.in_slices(change.begin())
                await self._pause_if_long()
            # It may have been stopped in a pause.
            if not self._is_stopped():
                change.swap()
                swapped = True
        finally:
            if not swapped:
                change.give_up()
                if undo is not None:
                    undo()
        return swapped

    def _is_stopped(self) -> bool:
        return self._stopped

    async def in_slices(self, steps: Iterable[None]) -> None:
        """Take steps, with pauses in which calls have their turn."""
        env = self._world.env
        began = env.now()
        for _ in steps:
            if env.now() - began >= SLICE:
                await self._pause()
                began = env.now()

    async def _pause(self) -> None:
        self._is_long = True
        self._between()
        await deferLater(self._world.env.clock, 0.0)

    async def _pause_if_long(self) -> None:
        """Begin the next part in a turn of its own; what is small goes through in one."""
        if self._is_long:
            await self._pause()

    def _succeeded(self, result: str) -> None:
        self.refused = ""
        families = self._families
        families.config_reloads.labels(result).value += 1
        families.config_version.labels().value = self._world.version
        families.config_last_success.labels().value = self._world.env.wall()

    def _reject(self, why: str) -> None:
        self.refused = why
        self._families.config_reloads.labels("rejected").value += 1
        self._families.config_rejected.labels().value += 1

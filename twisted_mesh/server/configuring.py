"""How a sidecar comes by its configuration: files and bus are judged, what is right is applied, and the bus is told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from twisted_mesh.control.judge import bare, lacks_only
from twisted_mesh.control.reload import Outside, Reload
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.server import memory
from twisted_mesh.server.source import Source
from twisted_mesh.server.waiting import Waiting

if TYPE_CHECKING:
    from twisted_mesh import model
    from twisted_mesh.control.load import Files
    from twisted_mesh.control.world import World
    from twisted_mesh.server.meshbus import MeshBus

# What the connections to Redis are made from, once.
FIXED = ("redis", "mesh", "registry", "state")

log = Logger("twisted_mesh.sidecar")


class Configuring:
    """The configuration of one process, from its start to its end.

    :param over: puts what the command line says over a configuration.
    :param outside: as for `Reload`.
    :param applied: called after each change that was applied.
    :param give_up: called with what is wrong if there is nothing to serve.
    :ivar bus: the mesh's Redis; None where the configuration names none.
    """

    def __init__(
        self,
        world: World,
        reactor: Any,
        path: str,
        over: Callable[[model.Config], model.Config],
        *,
        outside: Outside,
        applied: Callable[[], None],
        give_up: Callable[[Sequence[Problem]], None],
    ) -> None:
        self.reloading = Reload(world, self._read, outside, applied, memory.set_aside, self._settled)
        self.source = Source(path, reactor, self.reloading.in_slices)
        self.waiting = Waiting(world, reactor, give_up)
        self.bus: Optional[MeshBus] = None
        self._world = world
        self._reactor = reactor
        self._path = path
        self._over = over

    def __repr__(self) -> str:
        return f"<Configuring {self.source!r} {self.bus!r}>"

    # --- its life

    def prepare(self) -> None:
        """Judge what there is to start with, and bring it into force.

        :raises ConfigError: it is wrong, or cannot be applied.
        """
        self.reloading.first(self._first(self.source.read_files()))
        self.source.accepted()
        config = self._world.config
        assert config is not None
        if self.bus is not None:
            self.bus.prepare()
            if self.waiting.lacks is None:
                self.bus.register(config, self._world.connector)

    def start(self) -> None:
        """Begin to follow the bus.

        :raises EmbeddedError: its server does not start.
        """
        bus = self.bus
        if bus is not None:
            bus.start()
            self.waiting.begin(lambda: bus.trouble, hold=not bus.remembered)

    def hold_still(self) -> None:
        """The process is ending: apply nothing from now on."""
        self.reloading.stop()

    def leave(self) -> Deferred[None]:
        """Take the application out of the registry; fires when it is gone, or Redis does not answer."""
        return self.bus.leave() if self.bus is not None else succeed(None)

    async def stop(self) -> None:
        """End what connects to Redis."""
        if self.bus is not None:
            await self.bus.stop()

    # --- what makes it look

    def request(self, reason: str) -> None:
        """The files may have changed: read them, and apply what is right."""
        self.source.changed()
        self.reloading.request(reason)

    def _news(self) -> None:
        self.reloading.request("news from the bus")

    # --- reading

    def _first(self, files: Files) -> model.Config:
        """Return what to start with: the files, with what was good when the process ran last over them.

        Where the files ask for resources that only the bus can have, and nothing was kept, it is a configuration
        without any: the process waits for the bus.
        """
        wrong: Optional[ConfigError] = None
        try:
            config = self._over(self.source.first(files, {}))
        except ConfigError as error:
            wrong, config = error, self._bare(files, error)
        if config.redis is None:
            if wrong is not None:
                raise wrong
            return config
        bus = self._connect(config)
        try:
            return self._over(self.source.first(files, bus.remembered.good))
        except ConfigError as error:
            if not lacks_only(files, os.environ, error):
                raise
            self.waiting.lacks = error
            return self._bare(files, error)

    def _bare(self, files: Files, error: ConfigError) -> model.Config:
        try:
            return self._over(bare(files, os.environ))
        except ConfigError:
            # The other error says all that this one does, and more.
            raise error from None

    def _connect(self, config: model.Config) -> MeshBus:
        # Late: what is not needed does not cost a start anything.
        from twisted_mesh.server.meshbus import MeshBus

        env = self._world.env
        self.bus = bus = MeshBus(config, env, self._reactor, self.source, self._news, self._path)
        env.discover(bus.registry, bus.overrides, bus.redis, bus.limits, bus.verdicts)
        return bus

    def _read(self) -> Deferred[model.Config]:
        return Deferred.fromCoroutine(self._judged())

    async def _judged(self) -> model.Config:
        if self.bus is not None:
            await self.reloading.in_slices(self.bus.offering())
        before = self._world.config
        config = self._over(await self.source.read(before))
        changed = [name for name in FIXED if getattr(config, name) != getattr(before, name)]
        if changed and (config.redis is not None or self.bus is not None):
            why = "it has changed, which takes a restart"
            raise ConfigError([Problem(name, 0, 0, "", why) for name in changed])
        return config

    def _settled(self, error: Optional[ConfigError]) -> None:
        """What was read last is in force, or why it is not."""
        if error is not None:
            if self.source.rejected(error):
                self.reloading.request("without what cannot be applied")
            elif self.bus is not None:
                self.bus.rejected(error)
            return
        self.source.accepted()
        if self.bus is not None:
            self._tell(self.bus)

    def _tell(self, bus: MeshBus) -> None:
        for each in self.source.refused:
            log.error("refused: {refusal}; what was in force before stays", refusal=each)
        if bus.was_read:
            self.waiting.over()
        config = self._world.config
        assert config is not None
        try:
            bus.register(config, self._world.connector)
        except ConfigError as error:
            log.error("the application is registered as before: {problem}", problem=error)
        bus.applied()
        bus.is_now(config.node)

    # --- what is shown

    def inbound(self) -> Sequence[int]:
        """Return the ports that the registry tells others."""
        registration = self.bus.registration if self.bus is not None else None
        return () if registration is None else tuple(registration.instance.ports.values())

    def bus_state(self) -> Optional[Mapping[str, object]]:
        """What there is to say of the mesh's Redis; None where the configuration names none."""
        return None if self.bus is None else self.bus.describe()

    def origins(self) -> Mapping[str, str]:
        """Where each resource of the configuration in force comes from, by its name."""
        return {} if self.bus is None else self.source.origins(self._world.config, not self.bus.was_read)

"""The sidecar as one Twisted service, and how it comes up."""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Sequence

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_mesh import __version__
from twisted_mesh.bus.tally import Tally
from twisted_mesh.control.env import MeshEnv
from twisted_mesh.control.found import find_filter
from twisted_mesh.control.reload import Undo
from twisted_mesh.control.world import World
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.families import Families
from twisted_mesh.logfile import LogFiles
from twisted_mesh.metrics import Registry
from twisted_mesh.net.loop import loop_of
from twisted_mesh.server import memory, signals
from twisted_mesh.server.admin import Admin
from twisted_mesh.server.configuring import Configuring
from twisted_mesh.server.drain import Drain
from twisted_mesh.server.ending import ending
from twisted_mesh.server.leaving import Leaving
from twisted_mesh.server.redis_process import EmbeddedError
from twisted_mesh.server.secrets import Secrets
from twisted_mesh.server.settling import Settling
from twisted_mesh.server.supervised import Supervised, take_line
from twisted_mesh.server.watch import Watch, state_of

if TYPE_CHECKING:
    from twisted_mesh import model
    from twisted_mesh.server.options import Options

log = Logger("twisted_mesh.sidecar")


class Sidecar(MultiService):
    """One sidecar: a world, what changes it, what shows it, and what ends it.

    :param over: puts what the command line says over a configuration.
    """

    def __init__(self, reactor: Any, path: str, over: Callable[[model.Config], model.Config]) -> None:
        super().__init__()
        self.setName("mesh")
        self.path = path
        # Whether whoever starts it sees no more of it than an exception of `startService`.
        self.daemon = False
        self.secrets = Secrets(path, os.environ)
        self.registry = Registry()
        self._reactor = reactor
        self._families = Families(self.registry)
        self._logs = LogFiles(reactor, time.time, self._families)
        self._env = MeshEnv(
            reactor,
            now=time.monotonic,
            wall=time.time,
            random=random.Random(),
            metrics=self.registry,
            logs=self._logs,
            loop=loop_of(reactor),
        )
        self.world = World(self._env, loop_of(reactor), find_filter)
        self.configuring = Configuring(
            self.world,
            reactor,
            path,
            over,
            outside=self._move_admin,
            applied=self._applied,
            give_up=self._give_up,
        )
        self._departing = ""
        self._watch = Watch(path, reactor, self._changed)
        self._drain = Drain(self.world, reactor, self._drained)
        self._leaving = Leaving(self.world, reactor)
        self._supervised: Optional[Supervised] = None
        self._admin = Admin(self, self._env, loop_of(reactor))
        self._admin.setServiceParent(self)
        self._settling = Settling(self.world, reactor, Tally(self._families))
        self.registry.on_collect(self._show)

    def prepare(self) -> None:
        """Read the configuration, build what it says, and open the sockets; nothing is accepted before the loop runs.

        :raises ConfigError: it does not load, or cannot be applied.
        """
        self._watch.known(state_of(self.path))
        self.configuring.prepare()
        assert self.world.config is not None
        self._introduce(self.world.config.node)

    def _introduce(self, node: model.Node) -> None:
        """Say who this is, in a metric."""
        info = self._families.info
        info.forget("version", (__version__,))
        info.labels(__version__, node.id or socket.gethostname(), node.service, node.zone).value = 1

    def give_sockets_to(self, uid: int, gid: int) -> None:
        """Have the files of unix sockets belong to whom the process will belong to, who removes them at its end.

        :raises ConfigError: that is not allowed.
        """
        config = self.world.config
        assert config is not None
        binds = [bind.address for each in config.listeners.values() for bind in each.bind]
        for address in [*binds, *([config.admin] if config.admin is not None else [])]:
            if address.path:
                try:
                    os.chown(address.path, uid, gid)
                except OSError as error:
                    why = f"cannot be given to {uid}:{gid}: {error.strerror}"
                    raise ConfigError([Problem(address.path, 0, 0, "", why)]) from error

    # --- IService

    def startService(self) -> None:
        """Begin to serve."""
        super().startService()
        self.world.start()
        self._start_bus()
        self._watch.start()
        self._reactor.callWhenRunning(self._running)

    def stopService(self) -> Deferred[Any]:
        """End; fires when the access logs are written."""
        self.configuring.hold_still()
        self._watch.stop()
        self._settling.stop()
        self.configuring.waiting.stop()
        self.world.stop()
        self._leaving.stop()
        if self._supervised is not None:
            self._supervised.finish()
        stopped = super().stopService()
        return Deferred.fromCoroutine(self._close(stopped))

    def _start_bus(self) -> None:
        try:
            self.configuring.start()
        except EmbeddedError as error:
            problems = [Problem("redis", 0, 0, "", str(error))]
            self._give_up(problems)
            if self.daemon:
                raise ConfigError(problems) from error

    def _give_up(self, problems: Sequence[Problem]) -> None:
        """There is nothing to serve: say why and end."""
        for each in problems:
            log.critical("{problem}", problem=each)
            sys.stderr.write(f"{each}\n")
        ending.status = 1
        self._reactor.callWhenRunning(self._reactor.stop)

    async def _close(self, stopped: Any) -> None:
        if stopped is not None:
            await stopped
        await self.configuring.stop()
        await self._logs.close()

    # --- what happens to it

    def reload(self, reason: str) -> None:
        """Read the configuration again, and apply it if it is sound."""
        self._watch.known(state_of(self.path))
        self.configuring.request(reason)

    def drain(self, reason: str) -> None:
        """End gently: finish what is in flight, then stop the process; `meshctl run` sees to the application first."""
        if self._supervised is not None and self._supervised.ask_to_end():
            log.info("{reason}: meshctl is asked to end the command and the sidecar", reason=reason)
            return
        self.configuring.hold_still()
        assert self.world.config is not None
        times = self.world.config.drain
        self._departing = self._departing or reason
        # First of all nobody is to find the application any more.
        self.configuring.leave().addCallback(lambda _: self._drain.begin(reason, limit=times.limit, wait=times.wait))

    def ready(self) -> tuple[bool, str]:
        """Whether calls should be sent here, and why not."""
        if self._drain.begun or self._departing:
            return False, "draining"
        if self._leaving.begun:
            return False, "leaving"
        if self.configuring.waiting.reason:
            return False, self.configuring.waiting.reason
        return self.world.ready()

    @property
    def refused(self) -> str:
        """Why the newest configuration was refused; "" if it was not."""
        return self.configuring.reloading.refused

    def bus_state(self) -> Optional[Mapping[str, object]]:
        """What there is to say of the mesh's Redis; None where the configuration names none."""
        return self.configuring.bus_state()

    def origins(self) -> Mapping[str, str]:
        """Where each resource of the configuration in force comes from, by its name."""
        return self.configuring.origins()

    # --- `meshctl run`

    def supervise(self, line: int) -> None:
        """Go by what `meshctl run` says over the descriptor `line`, once the loop runs."""
        self._supervised = Supervised(self, self._reactor)
        self._reactor.callWhenRunning(self._supervised.open, line)

    @property
    def leave_limit(self) -> float:
        """Seconds that `leave` and `end` may take, each."""
        assert self.world.config is not None
        return self.world.config.drain.wait + self.world.config.drain.limit

    def leave(self, left: Callable[[], None]) -> None:
        """Take the instance out of the mesh and let the calls that come in finish; then `left` is called."""
        self.configuring.hold_still()
        assert self.world.config is not None
        config, ports = self.world.config, self.configuring.inbound()
        begin = partial(self._leaving.begin, ports, left, limit=self.leave_limit, wait=config.drain.wait)
        self.configuring.leave().addCallback(lambda _: begin())

    def end(self, reason: str) -> None:
        """Drain and stop the process without a wait: the application is not there any more."""
        self.configuring.hold_still()
        assert self.world.config is not None
        limit = self.world.config.drain.limit
        self.configuring.leave().addCallback(lambda _: self._drain.begin(reason, limit=limit, wait=0.0))

    def _terminated(self, reason: str) -> None:
        """The first time end gently, the second time at once."""
        if self._drain.begun or self._departing:
            self._drain.end_now(f"{reason} again")
        else:
            self.drain(reason)

    def _running(self) -> None:
        """The reactor runs and has installed its signal handlers; ours go over them."""
        signals.install(
            self._reactor,
            {
                signal.SIGTERM: partial(self._terminated, "SIGTERM"),
                signal.SIGINT: partial(self._terminated, "SIGINT"),
                signal.SIGHUP: partial(self.reload, "SIGHUP"),
                signal.SIGUSR1: self._logs.reopen,
            },
        )
        memory.settle_first()
        log.info("{world!r} at {addresses}", world=self.world, addresses=", ".join(self._addresses()))

    def _addresses(self) -> list[str]:
        return [f"{each.name} {address}" for each in self.world.listeners.values() for address in each.addresses]

    def _drained(self, status: int) -> None:
        ending.status = status
        self._reactor.stop()

    # --- the configuration

    def _changed(self) -> None:
        self.configuring.request("it has changed")

    def _move_admin(self, config: model.Config) -> Undo:
        before = self.world.config.admin if self.world.config is not None else None
        try:
            self._admin.serve_at(config.admin)
        except OSError as error:
            raise ConfigError([Problem("admin", 0, 0, "", error.strerror or str(error))]) from error
        return partial(self._admin.serve_at, before)

    def _applied(self) -> None:
        assert self.world.config is not None
        self._introduce(self.world.config.node)
        self._settling.changed()

    def _show(self) -> None:
        self._families.ready.labels().value = int(self.ready()[0])


def make_service(options: Options) -> Sidecar:
    """Return a sidecar that is ready to be started.

    A configuration that does not load or cannot be applied ends the process: each problem is a line on stderr, and
    the exit status is 1.
    """
    from twisted_mesh.server.reactor import install_reactor

    ending.prepare()
    line = take_line(os.environ)
    signals.ignore_until_started()
    sidecar = Sidecar(install_reactor(), options["config"], options.over)
    if options.get("admin") is not None:
        sidecar.configuring.source.admin = str(options["admin"])
    sidecar.daemon = options.daemon
    try:
        sidecar.prepare()
        if options.owner is not None and os.geteuid() == 0:
            sidecar.give_sockets_to(*options.owner)
    except ConfigError as error:
        for each in error.problems:
            sys.stderr.write(f"{each}\n")
        sys.exit(1)
    if line is not None:
        sidecar.supervise(line)
    return sidecar

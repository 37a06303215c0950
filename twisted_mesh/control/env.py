"""What filters, clusters and adapters are given of the world."""

from __future__ import annotations

import asyncio
import random as _random
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Optional

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from twisted_mesh.logfile import LogFiles
from twisted_mesh.metrics import Registry
from twisted_mesh.park import Parked
from twisted_mesh.strain import Strain
from twisted_mesh.tasks import in_task, understand_deferreds

if TYPE_CHECKING:
    from twisted_mesh.interfaces import LimitsLike
    from twisted_mesh.upstream.overruled import Overrides
    from twisted_mesh.upstream.services import Services, Verdicts


class MeshEnv:
    """The Env of a process; `named` gives the same world under another name.

    :param reactor: anything with IReactorTime; for `http` a whole reactor.
    :param now: monotonic seconds.
    :param wall: seconds since the epoch.
    :param logs: the log files of the process.
    :param loop: the asyncio loop that the reactor runs on; without one (in tests) `asyncio` fails.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        now: Callable[[], float],
        wall: Callable[[], float],
        random: _random.Random,
        metrics: Registry,
        logs: LogFiles,
        name: str = "mesh",
        loop: Optional[asyncio.AbstractEventLoop] = None,
    ) -> None:
        self.clock: IReactorTime = reactor
        self.now = now
        self.wall = wall
        self.random = random
        self.metrics = metrics
        self.logs = logs
        self.name = name
        self.log = Logger(f"twisted_mesh.{name}")
        self.loop = loop
        if loop is not None:
            understand_deferreds(loop)
        self._world = _World(reactor)

    def __repr__(self) -> str:
        return f"<MeshEnv {self.name}>"

    def named(self, name: str) -> MeshEnv:
        """Return the same world for another part: `name` says which, as in ``listeners/edge/headers``."""
        made = MeshEnv(
            self.clock,
            now=self.now,
            wall=self.wall,
            random=self.random,
            metrics=self.metrics,
            logs=self.logs,
            name=name,
            loop=self.loop,
        )
        made._world = self._world
        return made

    async def sleep(self, seconds: float) -> None:
        """Wait; the timer goes when the call does."""
        parked: Parked[None] = Parked()
        timer = self.clock.callLater(seconds, parked.fire, None)
        try:
            await parked
        finally:
            if timer.active():
                timer.cancel()

    def asyncio(self, coroutine: Awaitable[Any]) -> Awaitable[Any]:
        """Run a coroutine as an asyncio task and wait for it; cancelling the wait cancels the task.

        Inside it may await Deferreds and `Parked` too, so that the rest of the chain can run in it.
        """
        if self.loop is None:
            raise RuntimeError("this process runs no asyncio loop")
        task: asyncio.Task[Any] = self.loop.create_task(in_task(coroutine))
        self._world.tasks.add(task)
        task.add_done_callback(self._world.tasks.discard)
        return task

    @property
    def http(self) -> Any:
        """A treq client with a pool of its own, made when it is first asked for."""
        return self._world.http()

    @property
    def services(self) -> Optional[Services]:
        """The service registry; None where the configuration names no Redis."""
        return self._world.services

    @property
    def overrides(self) -> Optional[Overrides]:
        """What operators say of endpoints at run time; None where the configuration names no Redis."""
        return self._world.overrides

    @property
    def limits(self) -> Optional[LimitsLike]:
        """Rate limits that all sidecars of the mesh count together; None where the configuration names no Redis."""
        return self._world.limits

    @property
    def strain(self) -> Strain:
        """How much the process has to do; one for all names of it."""
        return self._world.strain(self.now)

    @property
    def verdicts(self) -> Optional[Verdicts]:
        """What sidecars say of endpoints to each other; None where the configuration names no Redis."""
        return self._world.verdicts

    def discover(
        self,
        services: Services,
        overrides: Overrides,
        redis: Any = None,
        limits: Optional[LimitsLike] = None,
        verdicts: Optional[Verdicts] = None,
    ) -> None:
        """Have clusters find services and overrides here, and filters Redis, whatever this world is called."""
        self._world.services = services
        self._world.limits = limits
        self._world.verdicts = verdicts
        self._world.overrides = overrides
        self._world.redis = redis

    @property
    def redis(self) -> Any:
        """The mesh's Redis (`bus.client.Redis`); None where the configuration names none.

        While it is away a command fails at once; filters must go on without.
        """
        return self._world.redis


class _World:
    """What all names of one process share."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._http: Any = None
        self._strain: Optional[Strain] = None
        self.services: Optional[Services] = None
        self.overrides: Optional[Overrides] = None
        self.redis: Any = None
        self.limits: Optional[LimitsLike] = None
        self.verdicts: Optional[Verdicts] = None
        # The loop itself holds tasks weakly.
        self.tasks: set[asyncio.Task[Any]] = set()

    def strain(self, now: Callable[[], float]) -> Strain:
        if self._strain is None:
            self._strain = Strain(self._reactor, now)
        return self._strain

    def http(self) -> Any:
        if self._http is None:
            # Late: treq brings twisted.web, which costs a tenth of a second at the start.
            from treq.client import HTTPClient
            from twisted.web.client import Agent, HTTPConnectionPool

            self._http = HTTPClient(Agent(self._reactor, pool=HTTPConnectionPool(self._reactor)))
        return self._http

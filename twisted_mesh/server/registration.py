"""The instance of this sidecar in the registry: there while its application is well, and gone first when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Protocol, Sequence

from twisted.internet.defer import Deferred, DeferredLock, TimeoutError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.instance import Instance, check
from twisted_mesh.bus.leases import Held
from twisted_mesh.families import Families
from twisted_mesh.model.address import Address
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.health import HealthChecks

if TYPE_CHECKING:
    from twisted_mesh.control.env import MeshEnv
    from twisted_mesh.model import HealthCheck
    from twisted_mesh.net.connect import Connector

# How often an application that is not well yet is asked; seconds.  Its clients wait for it.
EAGER = 0.25
# Seconds that the end waits for Redis to take the instance away; its lease does so later.
LEAVING = 1.0
# After a connect: the longest wait before the heartbeat, so that a thousand sidecars do not come at once; seconds.
SPREAD = 0.5

log = Logger("twisted_mesh.registration")


class Registers(Protocol):
    """The registry, as far as it is needed here."""

    def register(self, instance: Instance) -> Deferred[Optional[Instance]]:
        """Store an instance and begin its lease."""

    def renew(self, held: Sequence[Held]) -> Deferred[list[tuple[str, str]]]:
        """Renew leases; fires with what is not registered."""

    def deregister(self, service: str, id: str, owner: str = "", why: str = "") -> Deferred[bool]:
        """Take an instance away."""


class Link(Protocol):
    """The connection to Redis."""

    on_up: list[Any]

    @property
    def connected(self) -> bool:
        """Whether there is one."""


class Registration:
    """Registers one instance while its application answers its health check.

    :param app: where the application is asked.
    """

    def __init__(
        self,
        instance: Instance,
        app: Address,
        config: HealthCheck,
        registry: Registers,
        redis: Link,
        env: MeshEnv,
        connector: Connector,
    ) -> None:
        self.instance = check(instance)
        self.registered = False
        self.trouble = ""
        self._config = config
        self._registry = registry
        self._redis = redis
        self._env = env
        self._connector = connector
        self._app = Endpoint(app)
        self._checks: Optional[HealthChecks] = None
        self._timer: Optional[IDelayedCall] = None
        self._lock = DeferredLock()
        self._running = False
        # Redis may have it, although the answer did not come.
        self._maybe = False
        families = Families(env.metrics)
        self._gauge = families.registered.labels()
        self._heartbeats = families.heartbeats

    def __repr__(self) -> str:
        return f"<Registration of {self.instance} {self.state}>"

    @property
    def state(self) -> str:
        """One line for people."""
        if self.registered:
            return "registered"
        if not self._app.checked:
            return "not asked yet"
        if not self._app.healthy:
            return f"not registered: {self._app.health_reason}"
        return f"not registered: {self.trouble or 'on its way'}"

    def describe(self) -> dict[str, object]:
        """Everything worth showing to an operator."""
        return {
            "service": self.instance.service,
            "id": self.instance.id,
            "address": self.instance.address,
            "ports": dict(self.instance.ports),
            "registered": self.registered,
            "state": self.state,
            "application": self._app.describe(),
        }

    # --- its life

    def start(self) -> None:
        """Begin to ask the application, and register it when it is well."""
        self._running = True
        self._redis.on_up.append(self._up)
        self._ask(eager=True)

    def leave(self) -> Deferred[None]:
        """Take the instance away and do not bring it back; fires when it is gone, or Redis does not answer."""
        self.stop()
        left: Deferred[None] = Deferred.fromCoroutine(self._leave())
        left.addTimeout(LEAVING, self._env.clock)
        return left.addErrback(self._not_left)

    def stop(self) -> None:
        """Do nothing any more; what is registered stays until its lease ends."""
        if self._running:
            self._running = False
            self._redis.on_up.remove(self._up)
        if self._checks is not None:
            self._checks.stop()
            self._checks = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _leave(self) -> None:
        await self._lock.acquire()
        try:
            await self._remove("its sidecar ends")
        finally:
            self._lock.release()

    def _not_left(self, failure: Any) -> None:
        failure.trap(BusError, TimeoutError)
        log.warn("{instance} could not be deregistered: {why}", instance=self.instance, why=failure.getErrorMessage())

    # --- the application

    def _ask(self, eager: bool) -> None:
        if self._checks is not None:
            self._checks.stop()
        config = self._config
        if eager:
            config = config.model_copy(update={"interval": min(config.interval, EAGER)})
        self._checks = HealthChecks(
            f"application {self.instance.service}", config, self._env, self._connector, self._told
        )
        self._checks.watch([self._app])

    def _told(self, endpoint: Endpoint) -> None:
        """The application has become well, or not well."""
        # Not from within the check that tells.
        self._env.clock.callLater(0, self._turned)

    def _turned(self) -> None:
        if self._running:
            self._ask(eager=not self._app.healthy)
            self._beat_in(0.0)

    # --- heartbeats

    def _up(self) -> None:
        """Redis is back, perhaps empty, perhaps another one."""
        self._beat_in(SPREAD * self._env.random.random())

    def _beat_in(self, wait: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._env.clock.callLater(wait, self._beat)

    def _beat(self) -> None:
        self._timer = None
        Deferred.fromCoroutine(self._beat_now()).addErrback(
            lambda failure: log.failure("registering {instance} failed", failure=failure, instance=self.instance)
        )

    async def _beat_now(self) -> None:
        await self._lock.acquire()
        try:
            if self._running and self._redis.connected and self._app.checked:
                await (self._keep() if self._app.healthy else self._remove(self._app.health_reason))
                self._trouble("")
        except BusError as error:
            self._heartbeats.labels("failed").value += 1
            self._trouble(str(error))
        finally:
            self._lock.release()
            if self._running and self._timer is None:
                self._beat_in(self.instance.heartbeat * (0.9 + 0.1 * self._env.random.random()))

    async def _keep(self) -> None:
        one = self.instance
        if self.registered:
            if not await self._registry.renew([Held(one.service, one.id, one.lease)]):
                self._heartbeats.labels("renewed").value += 1
                return
            self._heartbeats.labels("unknown").value += 1
            log.warn("{instance} is not registered any more: it is registered again", instance=one)
            self._have(False)
        self._maybe = True
        other = await self._registry.register(one)
        self._have(True)
        log.info("{instance} is registered", instance=one)
        if other is not None:
            log.warn(
                "{instance} takes the place of {other}, which was alive: ids of instances must be unique",
                instance=one,
                other=other,
            )

    async def _remove(self, why: str) -> None:
        if self.registered or self._maybe:
            one = self.instance
            await self._registry.deregister(one.service, one.id, one.owner, why)
            self._maybe = False
            self._have(False)
            log.info("{instance} is deregistered: {why}", instance=one, why=why)

    def _have(self, registered: bool) -> None:
        self.registered = registered
        self._gauge.value = int(registered)

    def _trouble(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.warn("{instance}: {trouble}", instance=self.instance, trouble=trouble)
        self.trouble = trouble

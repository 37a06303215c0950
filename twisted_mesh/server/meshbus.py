"""All that connects a sidecar with its mesh's Redis: its parts, and the order in which they begin and end."""

from __future__ import annotations

import os
import re
import socket
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Callable, Iterator, Optional

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twisted_mesh import __version__
from twisted_mesh.bus.access import Access
from twisted_mesh.bus.client import Redis, Subscriber
from twisted_mesh.bus.config_follow import ConfigFollower
from twisted_mesh.bus.disk import Disk
from twisted_mesh.bus.instance import Instance
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.leases import Guard
from twisted_mesh.bus.limits import Limits
from twisted_mesh.bus.overrides import Overrides
from twisted_mesh.bus.registry import ServiceRegistry
from twisted_mesh.bus.resource import base_name
from twisted_mesh.bus.stored import EMPTY, Nack, Stored
from twisted_mesh.bus.verdicts import Verdicts
from twisted_mesh.control.offers import Offer, Refusal
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.families import Families
from twisted_mesh.policy.selector import Who
from twisted_mesh.server.embedded import Embedded, EmbeddedError, default_directory
from twisted_mesh.server.keeper import Keeper, State
from twisted_mesh.server.own_instance import address_towards, app_of, instance_of
from twisted_mesh.server.registration import Registration
from twisted_mesh.server.remembered import Remembered

if TYPE_CHECKING:
    from twisted_mesh import model
    from twisted_mesh.control.env import MeshEnv
    from twisted_mesh.model.redis import Redis as Settings
    from twisted_mesh.net.connect import Connector
    from twisted_mesh.server.source import Source

log = Logger("twisted_mesh.bus")


class MeshBus:
    """The mesh's Redis, as one sidecar uses it; for as long as the process lives.

    :param config: says where Redis is, which mesh it is, and who this is.
    :param news: called when the store has something new; `source` has it then.
    :ivar remembered: what it had when it ran last.
    :ivar behind: why the store is not followed, or the connection is missing; "" if all is well.
    """

    def __init__(
        self, config: model.Config, env: MeshEnv, reactor: Any, source: Source, news: Callable[[], None], path: str
    ) -> None:
        assert config.redis is not None
        self.mesh = config.mesh
        self.settings: Settings = config.redis
        self.who = _who(config.node)
        self.embedded: Optional[Embedded] = None
        self.registration: Optional[Registration] = None
        # Whether what is offered came from Redis in this life of the process.
        self.was_read = False
        self._env = env
        self._source = source
        self._news = news
        self._reactor = reactor
        directory = config.state or os.path.dirname(default_directory(self.mesh))
        self._disk = Disk(os.path.join(directory, f"{_file_name(self.who.node, path)}.kept"))
        self.remembered = Remembered(self._disk, self.mesh, env.wall)
        self._stored = self.remembered.stored
        # What of it the source was told last, and is to be acknowledged.
        self._offered: Optional[Stored] = None
        self._unfit: tuple[Nack, ...] = ()
        self._changed_at = env.now()
        self._running = False
        if self.settings.url.scheme == "embedded":
            self.embedded = Embedded(reactor, self.settings, os.path.join(directory, "redis"))
        if self.remembered:
            for _ in self.offering():
                continue
        self._make(config)
        self._age = Families(env.metrics).bus_config_age.labels()
        env.metrics.on_collect(self._show)

    def _make(self, config: model.Config) -> None:
        env, keys = self._env, Keys(self.mesh)
        clients = self.embedded.clients if self.embedded is not None else self.settings
        common: dict[str, Any] = {"random": env.random, "metrics": env.metrics}
        self.redis = Redis(clients, reactor=self._reactor, now=env.now, mesh=self.mesh, **common)
        self.subscriber = Subscriber(clients, reactor=self._reactor, now=env.now, mesh=self.mesh, **common)
        access = Access(
            self.redis, self.subscriber, keys, env.clock, env.random, env.wall, env.metrics, config.registry.poll
        )
        guard = Guard(config.registry.mass_expiry, config.registry.suspects_for)
        self.registry = ServiceRegistry(access, guard, self.remembered.instances)
        self.overrides = Overrides(access, self.remembered.kept)
        run = f"{self.who.node}/{env.random.getrandbits(64):016x}"
        self.limits = Limits(self.redis, keys, run, clock=env.clock, random=env.random)
        self.verdicts = Verdicts(access, run, self.who.node)
        self.follower = ConfigFollower(
            self.redis,
            self.subscriber,
            keys,
            self.who,
            self._take,
            clock=env.clock,
            now=env.now,
            random=env.random,
            families=Families(env.metrics),
            known=self._stored,
            software=__version__,
        )
        self.keeper = Keeper(self._disk, self.mesh, self._reactor, env.wall, self._state)
        self.registry.on_change.append(lambda view: self.keeper.changed())
        self.overrides.follow(self.keeper.changed)

    @cached_property
    def _address(self) -> str:
        """This machine's address for others.  Looked up once: that may block, and calls do not wait at the start."""
        hosts = [each.host for each in self.settings.url.addresses if each.host]
        return address_towards(hosts[0] if hosts else "")

    def __repr__(self) -> str:
        return f"<MeshBus {self.mesh} {self.redis!r} {self.follower!r}>"

    # --- what is kept

    def _state(self) -> State:
        services = {each.service: each.instances for each in self.registry.views() if each.known or each.records}
        # Those that nobody has asked for yet in this life are kept as they are.
        return State(self._stored, dict(self._source.good), services, self.overrides.kept())

    # --- its life

    def prepare(self) -> None:
        """Find out what is certain to fail.

        :raises ConfigError: the embedded server cannot be started.
        """
        if self.embedded is not None:
            try:
                self.embedded.prepare()
            except EmbeddedError as error:
                raise ConfigError([Problem("redis", 0, 0, "", str(error))]) from error

    def start(self) -> None:
        """Begin to connect and to follow.

        :raises EmbeddedError: the embedded server does not start.
        """
        if self.embedded is not None:
            self.embedded.startService()
        self._running = True
        self.redis.start()
        self.subscriber.start()
        self.registry.start()
        self.overrides.start()
        self.limits.start()
        self.verdicts.start()
        self.follower.start()
        if self.registration is not None:
            self.registration.start()

    def leave(self) -> Deferred[None]:
        """Take this sidecar's instance out of the registry; fires when it is, or after a second."""
        registration, self.registration = self.registration, None
        if registration is None:
            done: Deferred[None] = Deferred()
            done.callback(None)
            return done
        return registration.leave()

    def stop(self) -> Deferred[None]:
        """End everything; what is registered stays for its lease if `leave` was not called."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if not self._running:
            return
        self._running = False
        if self.registration is not None:
            self.registration.stop()
        await self.keeper.stop()
        await self.follower.stop()
        self.registry.stop()
        self.overrides.stop()
        await self.limits.stop()
        self.verdicts.stop()
        await self.subscriber.stop()
        await self.redis.stop()
        if self.embedded is not None:
            await self.embedded.stopService()

    # --- this sidecar's instance

    def register(self, config: model.Config, connector: Connector) -> None:
        """Have registered what a configuration says, from the start or from now on.

        :raises ConfigError: it does not say enough.
        """
        instance = instance_of(config, self._address)
        before = self.registration
        if before is not None and instance == before.instance:
            return
        made = None
        if instance is not None:
            try:
                app = app_of(config.node, instance)
            except OSError as error:
                raise ConfigError([Problem("node.app", 0, 0, "", error.strerror or str(error))]) from error
            check = config.node.health_check
            made = Registration(instance, app, check, self.registry, self.redis, self._env, connector)
        if before is not None:
            same = made is not None and _place(made.instance) == _place(before.instance)
            if same:
                before.stop()
            else:
                before.leave()
        self.registration = made
        if made is not None and self._running:
            made.start()

    # --- the configuration

    def is_now(self, node: model.Node) -> None:
        """Another configuration says who this is: the selectors of the store are looked at anew if that has changed."""
        who = _who(node)
        if who != self.who:
            log.info("this sidecar is {who} from now on", who=who)
            self.who = self.follower.reporter.who = who
            self._offered = None
            self._news()

    def _take(self, stored: Stored) -> None:
        """The store was read."""
        self.was_read = True
        self._stored = stored
        self._news()

    def offering(self) -> Iterator[None]:
        """Tell the source what the store has for this sidecar, in steps that are each short."""
        stored = self._stored
        if stored is self._offered:
            return
        effective = yield from stored.resolving(self.who)
        offers = {}
        for name, each in effective.resources.items():
            offers[name] = Offer(name, each.version, each.body)
            yield
        # Whom these are for cannot be told any more, so whoever has their last good keeps it.
        good = self._source.good if self.was_read else self.remembered.good
        unfit = {base_name(each.name) for each in effective.refused}
        offers.update({name: good[name] for name in unfit if name in good and name not in offers})
        self._offered, self._unfit = stored, effective.refused
        self._source.offer(offers)

    def applied(self) -> None:
        """What the source has is in force: tell the store, and keep it."""
        self._changed_at = self._env.now()
        if self.was_read:
            nacks = [*self._unfit, *map(_nack, self._source.refused)]
            self.follower.acknowledge(self._offered or EMPTY, nacks)
        self.keeper.changed()

    def rejected(self, error: ConfigError) -> None:
        """What the source has cannot be applied at all: tell the store, for each resource that has changed."""
        if not self.was_read:
            return
        reason = f"refused with the whole: {error}"
        changed = (Nack(each.name, each.version, reason) for each in self._source.news())
        self.follower.acknowledge(self._offered or EMPTY, [*self._unfit, *changed])

    # --- what is shown

    @property
    def trouble(self) -> str:
        """What is wrong with the bus, in one line; "" if nothing is."""
        found = (self.redis.trouble, self.follower.behind, self.keeper.trouble)
        return "; ".join(each for each in found if each)

    def describe(self) -> dict[str, object]:
        """Return what /config and /ready show of the bus."""
        return {
            "redis": self.settings.url.shown,
            "server": self.redis.server,
            "connected": self.redis.connected and self.subscriber.connected,
            "trouble": self.trouble,
            "version": self._stored.version,
            "source": "redis" if self.was_read else "disk" if self.remembered else "nothing yet",
            "refused": [str(each) for each in self._source.refused]
            + [f"{each.name}: {each.reason}" for each in self._unfit],
            "registration": None if self.registration is None else self.registration.describe(),
        }

    def _show(self) -> None:
        self._age.value = self._env.now() - self._changed_at


def _who(node: model.Node) -> Who:
    return Who(node.id or socket.gethostname(), node.service, node.zone, node.labels)


def _nack(refusal: Refusal) -> Nack:
    return Nack(refusal.name, refusal.version, refusal.reason)


def _place(instance: Instance) -> tuple[str, str]:
    return instance.service, instance.id


def _file_name(node: str, path: str) -> str:
    """Return a name for what one sidecar keeps: by its node and the configuration that it was started with."""
    own = re.sub(r"[^A-Za-z0-9_.-]", "_", node)[:64]
    return f"{own}-{sha256(f'{node} {path}'.encode()).hexdigest()[:12]}"

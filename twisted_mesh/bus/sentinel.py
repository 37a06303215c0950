"""Finding the master that Sentinels know, and leaving it when they have chosen another.

After https://redis.io/docs/latest/develop/reference/sentinel-clients/: the Sentinels are asked in turn, the one that
answered is asked first the next time, and the server must say of itself that it is the master.  A master that hangs
keeps its connections, so ``+switch-master`` is listened to as well.
"""

from __future__ import annotations

import random as _random
from typing import TYPE_CHECKING, Any, Callable, Optional

from twisted.internet.defer import CancelledError, Deferred

from twisted_mesh.bus.dial import Dialer
from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.find import Finder
from twisted_mesh.metrics import Registry
from twisted_mesh.model.address import Address
from twisted_mesh.model.redis import Redis, RedisUrl

if TYPE_CHECKING:
    from twisted_mesh.bus.dial import Link

# Seconds for one Sentinel to answer; the next one is asked then.
ASK_TIMEOUT = 1.0
SWITCHED = "+switch-master"


class SentinelFinder(Finder):
    """Finds the master of one name."""

    def __init__(
        self,
        dialer: Dialer,
        mesh: str,
        *,
        reactor: Any,
        random: _random.Random,
        metrics: Registry,
        now: Callable[[], float],
    ) -> None:
        from twisted_mesh.bus.subscriber import Subscriber

        super().__init__(dialer, mesh)
        self._dialer = dialer
        self._name = dialer.settings.url.master
        settings = _settings_of_sentinels(dialer.settings)
        self._sentinels = list(settings.url.addresses)
        self._asking = Dialer(settings, reactor)
        # The master as last heard of.
        self._master: Optional[Address] = None
        self._watch = Subscriber(
            settings, reactor=reactor, random=random, metrics=metrics, now=now, mesh=mesh, link="sentinel"
        )
        self._looking: Optional[Deferred[Any]] = None
        # What was said while nobody listened may have been a switch.
        self._watch.on_up.append(self._look)

    def start(self) -> None:
        """Begin to listen to a Sentinel."""
        self._watch.start()
        self._watch.subscribe(SWITCHED, self._switched).addErrback(self._deaf)

    def stop(self) -> Deferred[None]:
        """End."""
        if self._looking is not None:
            self._looking.cancel()
        return self._watch.stop()

    async def find(self) -> Link:
        """Return a connection to the master."""
        address = self._master = await self._ask()
        link = await self._dialer.dial(address)
        if link.role not in ("master", ""):
            error = BusError(
                "refused", "it is a replica by now; the Sentinels will name its master", server=link.server
            )
            link.abort(error)
            raise error
        return link

    def refused(self, error: BusError) -> None:
        """The Sentinels are asked anew anyway."""

    async def _ask(self) -> Address:
        """Return where the master is, by the first Sentinel that knows."""
        problems = []
        for each in list(self._sentinels):
            try:
                answer = await self._ask_one(each)
            except BusError as error:
                problems.append(str(error))
                continue
            if answer is not None:
                self._sentinels.remove(each)
                self._sentinels.insert(0, each)
                return answer
            problems.append(f"redis {each}: no master is called {self._name}")
        raise BusError("down", f"no Sentinel names the master {self._name}: {'; '.join(problems)}")

    async def _ask_one(self, sentinel: Address) -> Optional[Address]:
        link = await self._asking.dial(sentinel)
        try:
            answer = await link.ask(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name), ASK_TIMEOUT)
        finally:
            link.abort(BusError("down", "asked", server=link.server))
        if not (isinstance(answer, list) and len(answer) == 2):
            return None
        return Address(answer[0].decode(), int(answer[1]))

    # --- what Sentinels say by themselves

    def _switched(self, payload: bytes) -> None:
        """``NAME OLD-HOST OLD-PORT NEW-HOST NEW-PORT``."""
        words = payload.decode("utf-8", "replace").split(" ")
        if len(words) == 5 and words[0] == self._name and words[4].isdigit():
            self._now_at(Address(words[3], int(words[4])))

    def _look(self) -> None:
        if self._looking is None:
            self._looking = Deferred.fromCoroutine(self._ask())
            self._looking.addCallbacks(self._now_at, self._deaf).addBoth(self._looked)

    def _looked(self, result: Any) -> Any:
        self._looking = None
        return result

    def _now_at(self, address: Address) -> None:
        if self._master is not None and address != self._master:
            before, self._master = self._master, address
            self.on_moved(f"the master moved from {before} to {address}")

    def _deaf(self, failure: Any) -> None:
        """Whoever looks for the master next asks again, and says what is wrong."""
        failure.trap(BusError, CancelledError)


def _settings_of_sentinels(settings: Redis) -> Redis:
    """Return the settings for the connections to the Sentinels themselves."""
    url = RedisUrl("rediss" if settings.secure else "redis", settings.url.addresses)
    changes = {
        "url": url,
        "username": settings.sentinel.username,
        "password": settings.sentinel.password,
        "timeout": min(ASK_TIMEOUT, settings.timeout),
    }
    return settings.model_copy(update=changes)

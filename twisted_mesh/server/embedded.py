"""``redis: embedded``: a real server that lives and dies with the sidecar.

Several sidecars of one mesh on one machine may say so: the first one starts the server, the others use it, and when the
first one ends another starts it again with the same data.
"""

from __future__ import annotations

import random
import time
from typing import Any, Callable, Optional

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from twisted_mesh.model.address import Address
from twisted_mesh.model.redis import Redis, RedisUrl, embedded_directory
from twisted_mesh.policy.backoff import decorrelated_jitter
from twisted_mesh.server.redis_process import EmbeddedError, RedisProcess

__all__ = ["Embedded", "EmbeddedError", "default_directory"]

# Seconds for the server to answer after its start.
START_LIMIT = 2.0
# Seconds between two looks whether it runs, and between two whether we should be the one that runs it.
LOOK_EVERY = 0.25
# Seconds between two starts of a server that keeps ending, at least and at most.
SHORTEST_WAIT = 0.05
LONGEST_WAIT = 10.0
# Seconds that it has to write its data at the end.
END_LIMIT = 5.0
# Seconds between two looks for something that is about to happen.
SOON = 0.01

log = Logger("twisted_mesh.redis")


def default_directory(mesh: str) -> str:
    """Return where the server of a mesh has its data if nobody says where; see `embedded_directory`."""
    return embedded_directory(mesh)


class Embedded(Service):
    """The server as a service.

    :param settings: what the configuration says: ``embedded`` or ``embedded://127.0.0.1:6379``, which is listened at
        beside the unix socket, and perhaps a password.
    :param directory: where its data is; see `default_directory`.
    """

    name = "redis"

    def __init__(
        self,
        reactor: Any,
        settings: Redis,
        directory: str,
        *,
        now: Callable[[], float] = time.monotonic,
        dice: Optional[Callable[[], float]] = None,
    ) -> None:
        self.process = RedisProcess(directory, settings)
        self._settings = settings
        self._reactor = reactor
        self._now = now
        self._dice = dice or random.Random().random
        self._timer: Optional[IDelayedCall] = None
        self._wait = SHORTEST_WAIT
        self._started_at = 0.0

    def __repr__(self) -> str:
        return f"<Embedded {self.process!r}>"

    @property
    def clients(self) -> Redis:
        """The settings for whoever talks to it."""
        username, password = self._settings.login
        url = RedisUrl("unix", (Address("", 0, self.process.socket),))
        return Redis(url=url, username=username, password=password, timeout=self._settings.timeout)

    def prepare(self) -> None:
        """Find out before the start, and before a daemon closes its streams, what is certain to fail.

        :raises EmbeddedError: a server cannot be started.
        """
        self.process.prepare()

    # --- IService

    def startService(self) -> None:
        """Start the server and wait, without the reactor, which does not run yet, until it answers.

        :raises EmbeddedError: it does not within `START_LIMIT`.
        """
        self.process.prepare()
        if self.process.own():
            self._start()
        try:
            self._until_it_answers()
        except EmbeddedError:
            self.process.terminate(at_once=True)
            self.process.release()
            raise
        super().startService()
        self._timer = self._reactor.callLater(LOOK_EVERY, self._look)

    def stopService(self) -> Deferred[None]:
        """End the server; fires when it has ended."""
        super().stopService()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self.process.terminate()
        return Deferred.fromCoroutine(self._until_it_ended())

    def _until_it_answers(self) -> None:
        limit = self._now() + START_LIMIT
        while not self.process.answers():
            self._complain_if_it_ended()
            if self._now() > limit:
                raise EmbeddedError(
                    f"the Redis server in {self.process.directory} does not answer within {START_LIMIT:g} s; "
                    f"see {self.process.log}"
                )
            time.sleep(SOON)

    def _complain_if_it_ended(self) -> None:
        why = self.process.ended() if self.process.pid is not None else None
        if why is not None:
            raise EmbeddedError(f"the Redis server in {self.process.directory} does not start: {why}")

    async def _until_it_ended(self) -> None:
        limit = self._now() + END_LIMIT
        while self.process.pid is not None and self.process.ended() is None:
            if self._now() > limit:
                log.warn("the Redis server did not end within {limit:g} s; killed", limit=END_LIMIT)
                self.process.terminate(at_once=True)
            waited: Deferred[None] = Deferred()
            self._reactor.callLater(SOON, waited.callback, None)
            await waited
        self.process.release()

    # --- while it runs

    def _look(self) -> None:
        """See whether the server runs, and that somebody runs it: the loop's own news of children is not relied on."""
        wait = LOOK_EVERY
        try:
            if self.process.pid is None:
                # Another sidecar's ended, or ours did and its time to be started again has come.
                if self.process.own():
                    self._start()
            else:
                wait = self._look_at_ours()
        except EmbeddedError as error:
            log.error("{error}", error=error)
            wait = LONGEST_WAIT
        self._timer = self._reactor.callLater(wait, self._look)

    def _look_at_ours(self) -> float:
        why = self.process.ended()
        if why is None:
            return LOOK_EVERY
        if self._now() - self._started_at > LONGEST_WAIT:
            self._wait = SHORTEST_WAIT
        self._wait = decorrelated_jitter(self._wait, SHORTEST_WAIT, LONGEST_WAIT, self._dice)
        log.error("the Redis server is gone: {why}; started again in {wait:.2f} s", why=why, wait=self._wait)
        return self._wait

    def _start(self) -> None:
        self._started_at = self._now()
        self.process.start()
        log.info("the Redis server runs in {directory} as process {pid}", **self._about())

    def _about(self) -> dict[str, object]:
        return {"directory": self.process.directory, "pid": self.process.pid}

"""Keeping a lease: renewed until somebody wants it to end."""

from __future__ import annotations

import signal
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.instance import Instance
from twisted_mesh.bus.leases import Held
from twisted_mesh.cli.output import complain
from twisted_mesh.cli.session import Session


async def keep(session: Session, instance: Instance) -> int:
    """Renew the lease of `instance` until SIGTERM or SIGINT, then deregister it; returns the status."""
    ended = _told_to_end(session.reactor)
    while not ended:
        await _pause(session.reactor, instance.heartbeat, ended)
        if ended:
            break
        try:
            gone = await session.registry.renew([Held(instance.service, instance.id, instance.lease)])
            if gone:
                complain(f"{instance.service}/{instance.id} was not registered any more: it is again")
                await session.registry.register(instance)
        except BusError as error:
            # It is tried again with the next heartbeat; the lease has room for that.
            complain(str(error))
    await session.registry.deregister(instance.service, instance.id, owner=instance.owner)
    return 0


class _Ended:
    """Whether somebody wants it to end."""

    def __init__(self) -> None:
        self.told = False
        self.waiting: Deferred[Any] = Deferred()

    def __bool__(self) -> bool:
        return self.told

    def tell(self) -> None:
        self.told = True
        self.waiting.cancel()


def _told_to_end(reactor: Any) -> _Ended:
    ended = _Ended()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reactor.callFromThread(ended.tell))
    return ended


async def _pause(reactor: Any, seconds: float, ended: _Ended) -> None:
    ended.waiting = deferLater(reactor, seconds)
    await ended.waiting.addErrback(lambda failure: None)

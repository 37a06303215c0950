"""The service registry: instances of services, under leases."""

from __future__ import annotations

from typing import Callable, Iterable, Mapping, Optional, Sequence

import msgspec
from twisted.internet.defer import Deferred

from twisted_mesh.bus.access import Access
from twisted_mesh.bus.follow import Following
from twisted_mesh.bus.instance import STATUSES, Instance, check, check_id, decode, encode
from twisted_mesh.bus.leases import GUARD, Guard, Held, Listed, Whole
from twisted_mesh.bus.view import View
from twisted_mesh.model.base import check_name, either
from twisted_mesh.model.text import describe

KIND = "service"

Recall = Callable[[str], Mapping[str, Instance]]
"""Gives what was last known of a service, by instance id, in an earlier life of this process."""


class ServiceView(View[Instance]):
    """What is known of one service; `service` is its name."""

    def __init__(self, name: str) -> None:
        super().__init__(name, decode_as)

    @property
    def service(self) -> str:
        """The name of the service."""
        return self.name

    @property
    def instances(self) -> tuple[Instance, ...]:
        """Every instance, suspects too, in the order of their ids."""
        return tuple(self.records[id] for id in sorted(self.records))


class ServiceRegistry:
    """The services of one mesh.

    Every method that asks Redis returns a Deferred that fails with `BusError` when it does not answer well, and raises
    ValueError at once for what can never be right.

    :param recall: what to begin with while Redis is away.
    """

    def __init__(self, access: Access, guard: Guard = GUARD, recall: Optional[Recall] = None) -> None:
        self._leases = access.leases(KIND, guard)
        self._recall = recall
        self._follower = access.follower(self._leases, self._new_view)

    def __repr__(self) -> str:
        return f"<ServiceRegistry {self._leases.keys.prefix} {self._follower or 'followed by nobody'}>"

    # --- writing

    def register(self, instance: Instance) -> Deferred[Optional[Instance]]:
        """Store an instance, new or changed, and begin its lease.

        :return: fires with the instance of another owner whose lease was still good and which this one replaces.
        """
        check(instance)
        return Deferred.fromCoroutine(self._register(instance))

    async def _register(self, instance: Instance) -> Optional[Instance]:
        _, other = await self._leases.put(
            instance.service, instance.id, encode(instance), instance.lease, instance.owner
        )
        try:
            return decode(other) if other else None
        except ValueError:
            # What was there was no instance.
            return None

    def renew(self, held: Iterable[Held]) -> Deferred[list[tuple[str, str]]]:
        """Renew leases: ``Held(service, id, seconds)``, any number in as few commands as can be.

        :return: fires with service and id of those that are not registered (any more).
        """
        return Deferred.fromCoroutine(self._leases.renew(held))

    def deregister(self, service: str, id: str, owner: str = "", why: str = "deregistered") -> Deferred[bool]:
        """Take an instance away.

        :param owner: only if this owner registered it last.
        :return: fires with whether it was there, and is gone now.
        """
        asked = Deferred.fromCoroutine(self._leases.remove(service, check_id(id), why, owner))
        return asked.addCallback(lambda removed: removed == 1)

    def set_status(self, service: str, id: str, status: str) -> Deferred[bool]:
        """Change the status of an instance.

        :return: fires with whether there is such an instance.
        """
        if status not in STATUSES:
            raise ValueError(f"status: expected {either(STATUSES)}, got {describe(status)}")
        value = msgspec.json.encode(status)
        return Deferred.fromCoroutine(self._leases.amend(service, id, "status", value)).addCallback(bool)

    def refused(self, service: str, id: str) -> Deferred[bool]:
        """A connection to an instance was refused: if it is a suspect, it is gone.

        :return: fires with whether it was a suspect.
        """
        return Deferred.fromCoroutine(self._leases.refuse(service, id, "a suspect that refused a connection"))

    # --- looking once

    def services(self) -> Deferred[Sequence[Listed]]:
        """Fire with every service, by name, and how many instances it has."""
        return Deferred.fromCoroutine(self._leases.list())

    def instances(self, service: str) -> Deferred[ServiceView]:
        """Fire with what Redis knows of a service now; its instances say when their leases end."""
        return Deferred.fromCoroutine(self._instances(check_name(service)))

    async def _instances(self, service: str) -> ServiceView:
        whole = await self._leases.read(service)
        assert isinstance(whole, Whole)
        view = ServiceView(service)
        view.take(whole)
        ends = {**whole.ends, **whole.suspects}
        view.records = {id: msgspec.structs.replace(each, expires=ends.get(id, 0)) for id, each in view.records.items()}
        view.known = True
        return view

    # --- following

    def start(self) -> None:
        """Begin to keep what is followed up to date."""
        if self._follower is not None:
            self._follower.start()

    def stop(self) -> None:
        """Follow nothing any more."""
        if self._follower is not None:
            self._follower.stop()

    def follow(self, service: str, changed: Callable[[ServiceView], None]) -> Following:
        """Call `changed` with the view of a service whenever it has changed, and at once if anything is known."""
        assert self._follower is not None, "this registry has no subscriber"
        return self._follower.follow(service, changed)

    def views(self) -> Sequence[ServiceView]:
        """Return the view of every service that is followed."""
        return [] if self._follower is None else self._follower.views()

    @property
    def on_change(self) -> list[Callable[[ServiceView], None]]:
        """Functions that are called with every view that has changed, after those who follow it."""
        assert self._follower is not None, "this registry has no subscriber"
        return self._follower.on_change

    def _new_view(self, service: str) -> ServiceView:
        view = ServiceView(service)
        if self._recall is not None:
            view.remember(self._recall(service))
        return view


def decode_as(service: str, id: str, record: bytes) -> Instance:
    """Return the instance that stands under a service and an id.

    :raises ValueError: it is none, or another one.
    """
    instance = decode(record)
    if (instance.service, instance.id) != (service, id):
        raise ValueError(f"it says that it is {instance.service}/{instance.id}")
    return instance

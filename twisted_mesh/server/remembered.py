"""What a sidecar had when it ran last, as it was kept on disk: it begins with that until Redis is read."""

from __future__ import annotations

from typing import Callable, Mapping, Optional

from twisted.logger import Logger

from twisted_mesh.bus.disk import Disk, DiskError, Kept
from twisted_mesh.bus.instance import Instance, decode
from twisted_mesh.bus.stored import EMPTY, Stored
from twisted_mesh.control.offers import Offer

log = Logger("twisted_mesh.bus")


class Remembered:
    """Reads the file once; what is wrong with it is logged, and nothing of it is used then.

    :ivar stored: the configuration store as it was read last.
    :ivar good: the resources that were in force, by name.
    :ivar kept: all that was kept; None if nothing was.
    """

    def __init__(self, disk: Disk, mesh: str, wall: Callable[[], float]) -> None:
        self.stored: Stored = EMPTY
        self.good: dict[str, Offer] = {}
        self._path = disk.path
        self.kept: Optional[Kept] = None
        try:
            kept = disk.load(mesh)
        except DiskError as error:
            log.error("nothing is taken from disk: {error}", error=error)
        else:
            if kept is not None:
                self._take(kept, wall)

    def __repr__(self) -> str:
        return f"<Remembered {self.stored.version} from {self._path}>" if self else "<Remembered nothing>"

    def __bool__(self) -> bool:
        """Whether anything was kept from an earlier life."""
        return self.kept is not None

    def _take(self, kept: Kept, wall: Callable[[], float]) -> None:
        self.kept = kept
        self.good = {each.name: Offer(each.name, each.version, each.body.encode()) for each in kept.good}
        try:
            self.stored = Stored.load(kept.store)
        except ValueError as error:
            log.error("{path}: the configuration there cannot be used: {error}", path=self._path, error=error)
        log.info(
            "until Redis is read, version {version} of the configuration holds, as kept in {path}: "
            "{good} resources, {services} services, {overrides} overrides, written {age:.0f} s ago",
            version=self.stored.version,
            path=self._path,
            good=len(kept.good),
            services=len(kept.services),
            overrides=len(kept.overrides.records),
            age=wall() - kept.at,
        )

    def instances(self, service: str) -> Mapping[str, Instance]:
        """Return the instances of a service that were known, by their ids."""
        found = {}
        for text in self.kept.services.get(service, ()) if self.kept is not None else ():
            try:
                instance = decode(text.encode())
            except ValueError as error:
                log.error("{path}: an instance of {name}: {error}", path=self._path, name=service, error=error)
            else:
                found[instance.id] = instance
        return found

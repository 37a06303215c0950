"""Instances whose address is a host name: each name is looked up as long as an instance has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from twisted_mesh.upstream.names import NameWatch

if TYPE_CHECKING:
    from twisted_mesh.model import Address

Watch = Callable[["Address", Callable[[NameWatch], None]], NameWatch]
"""Makes what looks one name up again and again; not started yet."""


class InstanceNames:
    """Looks names up and calls `found` when the addresses of one have changed."""

    def __init__(self, watch: Watch, found: Callable[[], None]) -> None:
        self._watch = watch
        self._found = found
        self._watches: dict[str, NameWatch] = {}
        self._asked: set[str] = set()

    def __repr__(self) -> str:
        return f"<InstanceNames {', '.join(map(repr, self._watches.values())) or 'none'}>"

    def addresses(self, target: Address) -> tuple[str, ...]:
        """Return the hosts that a name stands for; none before it was looked up, which begins now."""
        key = str(target)
        self._asked.add(key)
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = self._watch(target, lambda watch: self._found())
            watch.start()
        return watch.addresses

    def begin(self) -> None:
        """Whatever is asked from now on is wanted."""
        self._asked.clear()

    def end(self) -> None:
        """Look up no more what was not asked for since `begin`."""
        for key in self._watches.keys() - self._asked:
            self._watches.pop(key).stop()

    def stop(self) -> None:
        """Look up nothing any more."""
        self.begin()
        self.end()

    def adopt(self, old: InstanceNames) -> None:
        """Begin with the addresses that are known already."""
        for key, before in old._watches.items():
            watch = self._watches[key] = self._watch(before.address, lambda watch: self._found())
            watch.addresses = before.addresses

    def start(self) -> None:
        """Look up what was adopted."""
        for each in self._watches.values():
            each.start()

    def problem(self) -> str:
        """Why a name has no address, "" if they all have some."""
        return next((each.problem for each in self._watches.values() if each.problem and not each.addresses), "")

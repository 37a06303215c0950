"""Where the configuration comes from: the files, and what the bus has over them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Iterable, Mapping, Optional

from twisted_mesh.control.judge import Request, Verdict, judge
from twisted_mesh.control.load import Files, read_files
from twisted_mesh.control.offers import Offer, Refusal, owner_of
from twisted_mesh.control.parcels import Unpacking
from twisted_mesh.errors import ConfigError
from twisted_mesh.server.child import judge_in_child

if TYPE_CHECKING:
    from twisted_mesh import model

# Bytes of files and resources together that are judged here: it takes 4 ms, and a child process a quarter of a second.
SMALL = 16 << 10

InSlices = Callable[[Iterable[None]], Awaitable[None]]


class Source:
    """Judges files and bus, and remembers what was good.

    :ivar good: the resources of the bus that are in force, by name.
    :ivar refused: what the bus has and is not in force, and why.
    :ivar files: what the files held when they were in force last.
    """

    def __init__(self, path: str, reactor: Any, in_slices: InSlices, env: Mapping[str, str] = os.environ) -> None:
        self.path = path
        # The address of the admin that goes over the files' own.
        self.admin: Optional[str] = None
        self.good: dict[str, Offer] = {}
        self.refused: list[Refusal] = []
        self.files: Optional[Files] = None
        self._reactor = reactor
        self._in_slices = in_slices
        self._env = env
        self._offers: dict[str, Offer] = {}
        # What is right and could not be applied, by name: a listener whose address is taken.
        self._unusable: dict[str, Refusal] = {}
        self._reread = True
        self._verdict: Optional[Verdict] = None

    def __repr__(self) -> str:
        return f"<Source {self.path} {len(self.good)} from the bus, {len(self.refused)} refused>"

    # --- what there is to judge

    def changed(self) -> None:
        """The files may have changed: they are read at the next time; what could not be applied is tried again."""
        self._reread = True
        self._unusable = {}

    def offer(self, offers: Mapping[str, Offer]) -> None:
        """Take what the bus has now."""
        self._offers = dict(offers)

    def news(self) -> list[Offer]:
        """Return what the bus has and is not in force."""
        return [each for name, each in self._offers.items() if self.good.get(name) != each]

    def _offered(self) -> list[Offer]:
        """Return what is to be judged: what could not be applied is left out for what was there before."""
        found = []
        self._unusable = {name: each for name, each in self._unusable.items() if name in self._offers}
        for name, each in self._offers.items():
            unusable = self._unusable.get(name)
            if unusable is None or unusable.version != each.version:
                self._unusable.pop(name, None)
                found.append(each)
            elif name in self.good:
                found.append(self.good[name])
        return found

    # --- judging

    def first(self, files: Files, good: Mapping[str, Offer]) -> model.Config:
        """Judge what the process starts with.  What does not fit any more is left out until the bus says more.

        :param good: what was in force when it ran last.
        :raises ConfigError: the files are wrong.
        """
        before = tuple(good.values())
        tries = [(tuple(self._offers.values()), before), (before, ()), ((), ())]
        self._reread = False
        for at, (offers, kept) in enumerate(dict.fromkeys(tries)):
            try:
                config, self._verdict = judge(Request(self.path, files, offers, kept), self._env)
            except ConfigError:
                if at == len(dict.fromkeys(tries)) - 1:
                    self.files = files
                    raise
            else:
                return config
        raise AssertionError("the last try returns or raises")

    async def read(self, before: Optional[model.Config]) -> model.Config:
        """Judge what there is now.

        :param before: what is in force: what is equal in it is taken from there.
        :raises ConfigError: the files are wrong.
        """
        reread, self._reread = self._reread or self.files is None, False
        offers = self._offered()
        request = Request(self.path, None if reread else self.files, offers, tuple(self.good.values()), self.admin)
        if not reread and self._is_small(offers):
            config, self._verdict = judge(request, self._env)
            return config
        unpacking = Unpacking(await judge_in_child(self._reactor, request), before)
        await self._in_slices(unpacking.steps())
        self._verdict = unpacking.more.verdict(request)
        return unpacking.config

    def read_files(self) -> Files:
        """Read the files here and now.

        :raises ConfigError: there are none.
        """
        return read_files(self.path, self.admin)

    def _is_small(self, offers: Iterable[Offer]) -> bool:
        assert self.files is not None
        size = sum(len(text or "") for _, text in self.files.texts)
        return size + sum(len(each.body) for each in offers) <= SMALL

    # --- what becomes of it

    def accepted(self) -> None:
        """What was judged last is in force."""
        verdict = self._verdict
        if verdict is None:
            return
        self.files = verdict.files
        self.good = {each.name: each for each in verdict.in_force}
        self.refused = [*verdict.refused, *self._unusable.values()]

    def rejected(self, error: ConfigError) -> bool:
        """What was judged last could not be applied; returns whether it may be without what is to blame."""
        stepped = False
        for each in error.problems:
            name = owner_of(each)
            offer, good = self._offers.get(name), self.good.get(name)
            if offer is not None and name not in self._unusable and (good is None or good.version != offer.version):
                self._unusable[name] = Refusal(name, offer.version, (each,))
                stepped = True
        return stepped

    # --- what is shown

    def origins(self, config: Optional[model.Config], stale: bool) -> dict[str, str]:
        """Return where each resource comes from, by its name: the file, a version of the bus, or the last good.

        :param stale: the bus was not read since the start.
        """
        found = {}
        names = {each.name for each in self.refused}
        for section in ("listeners", "routes", "clusters"):
            for own in getattr(config, section) if config is not None else ():
                name = f"{section}/{own}"
                good = self.good.get(name)
                if good is None:
                    found[name] = "file"
                elif stale or name in names:
                    found[name] = f"last good, version {good.version}"
                else:
                    found[name] = f"bus, version {good.version}"
        return found

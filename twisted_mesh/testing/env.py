"""The world of a filter under test."""

from __future__ import annotations

import copy
import random
from typing import Any, Optional

from twisted.logger import ILogObserver, LogEvent, Logger, formatEvent
from zope.interface import implementer

from twisted_mesh.control.env import MeshEnv
from twisted_mesh.control.found import find_filter
from twisted_mesh.control.settings import SettingsReader
from twisted_mesh.families import Families
from twisted_mesh.interfaces import Filter
from twisted_mesh.logfile import LogFiles
from twisted_mesh.metrics import Cell, Registry
from twisted_mesh.shadow import Sampled, Shadow
from twisted_mesh.testing.loop import Clock

# What `Env.wall` says when the Clock stands at 0: 2020-01-01, midnight UTC.
EPOCH = 1577836800.0


@implementer(ILogObserver)
class _Events(list[LogEvent]):
    def __call__(self, event: LogEvent) -> None:
        self.append(event)


class Env(MeshEnv):
    """An Env whose time (`time`, the same as `clock`) is a `Clock`, whose dice are seeded, whose log is a list.

    :param http: what filters get as ``env.http``, such as ``treq.testing.StubTreq``.
    :param redis: what filters get as ``env.redis``; :param limits: what they get as ``env.limits``.
    :param seed: of the dice.
    """

    def __init__(
        self, name: str = "test", *, http: Any = None, redis: Any = None, limits: Any = None, seed: int = 0
    ) -> None:
        self.time = clock = Clock()
        metrics = Registry()
        self.events = _Events()
        self._http = http
        self._redis = redis
        self._limits = limits

        def wall() -> float:
            return EPOCH + clock.seconds()

        super().__init__(
            clock,
            now=clock.seconds,
            wall=wall,
            random=random.Random(seed),
            metrics=metrics,
            logs=LogFiles(clock, wall, Families(metrics)),
            name=name,
            loop=clock.loop,
        )
        self._tell(name)

    def __repr__(self) -> str:
        return f"<Env {self.name} at {self.now():g} s>"

    def named(self, name: str) -> Env:
        """Return the same world under another name."""
        made = copy.copy(self)
        made._tell(name)
        return made

    def build(self, name: str, /, *, mode: str = "enforce", percent: float = 100.0, **settings: Any) -> Filter:
        """Build a filter by its name, as a configuration does.

        :param mode: ``enforce`` or ``shadow``.
        :param settings: as in a configuration: ``"2s"`` is a duration.
        :raises ValueError: there is no such filter, or a setting is refused.
        """
        made = SettingsReader(find_filter)(name, settings)
        inner = find_filter(name).build(made, self.named(name))
        if mode == "shadow":
            return Shadow(inner, name, percent, self)
        return inner if percent == 100.0 else Sampled(inner, percent, self)

    @property
    def http(self) -> Any:
        """What the test gave."""
        if self._http is None:
            raise AssertionError("the filter wants env.http: make the Env with http=, such as treq.testing.StubTreq")
        return self._http

    @property
    def redis(self) -> Any:
        """What the test gave."""
        return self._redis

    @property
    def limits(self) -> Any:
        """What the test gave."""
        return self._limits

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.time.advance(seconds)

    @property
    def logged(self) -> list[str]:
        """Every log line so far."""
        return [formatEvent(each) for each in self.events]

    def count(self, family: str, *labels: str) -> float:
        """Return the value of a counter or a gauge; 0 where nothing was counted.

        :raises AssertionError: there is no such family, or it is a histogram.
        """
        found = self.metrics.family(family)
        if found is None or found.kind == "histogram":
            raise AssertionError(f"no counter or gauge {family!r} in {[each.name for each in self.metrics.families()]}")
        cell: Optional[Any] = dict(found.series()).get(labels)
        assert cell is None or isinstance(cell, Cell)
        return 0 if cell is None else cell.value

    def _tell(self, name: str) -> None:
        self.name = name
        self.log = Logger(f"twisted_mesh.{name}", observer=self.events)

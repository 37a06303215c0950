"""How much the process says of itself, changed while it runs: a log level for each namespace of loggers."""

from __future__ import annotations

from typing import Any

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    LogPublisher,
    globalLogPublisher,
)

# The namespace that all others follow.
EVERYTHING = ""
# Namespaces with a level of their own.
MOST = 100

NAMES = ("debug", "info", "warn", "error", "critical")


class Levels:
    """The log levels of a process.  Before `install` and after `uninstall` they change nothing."""

    def __init__(self, publisher: LogPublisher = globalLogPublisher) -> None:
        self._publisher = publisher
        self._levels: dict[str, str] = {}
        self._predicate = LogLevelFilterPredicate(LogLevel.info)
        self._replaced: list[tuple[ILogObserver, ILogObserver]] = []

    def install(self) -> None:
        """Have the observers that the process started with see only what the levels let pass."""
        # twistd makes its observers before it asks any plugin, and the publisher has no public way to list them.
        observers: list[Any] = list(getattr(self._publisher, "_observers", ()))
        for observer in observers:
            filtered = FilteringLogObserver(observer, [self._predicate])
            self._publisher.removeObserver(observer)
            self._publisher.addObserver(filtered)
            self._replaced.append((observer, filtered))

    def uninstall(self) -> None:
        """Have every observer see everything again."""
        replaced, self._replaced = self._replaced, []
        for observer, filtered in replaced:
            self._publisher.removeObserver(filtered)
            self._publisher.addObserver(observer)

    def show(self) -> dict[str, str]:
        """Return the level of each namespace that has one; "" is what the others follow."""
        default = self._predicate.defaultLogLevel.name
        return {EVERYTHING: default, **dict(sorted(self._levels.items()))}

    def set(self, namespace: str, level: str) -> None:
        """Set the level of a namespace and of those below it, or take it away with ``default``.

        :raises ValueError: no such level, or there are too many namespaces.
        """
        if level != "default" and level not in NAMES:
            raise ValueError(f"expected {', '.join(NAMES)} or default, got {level!r}")
        if level != "default" and len(self._levels) >= MOST and namespace not in self._levels:
            raise ValueError(f"{MOST} namespaces have a level of their own already; set some to default")
        if namespace == EVERYTHING:
            self._predicate.defaultLogLevel = LogLevel.info if level == "default" else _level(level)
        elif level == "default":
            self._levels.pop(namespace, None)
        else:
            self._levels[namespace] = level
        self._predicate.clearLogLevels()
        for name, each in self._levels.items():
            self._predicate.setLogLevelForNamespace(name, _level(each))


def _level(name: str) -> Any:
    return LogLevel.levelWithName(name)

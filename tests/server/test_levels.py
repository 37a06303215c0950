"""Log levels by namespace, for observers that were there before."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.logger import Logger, LogPublisher

from twisted_mesh.server.levels import MOST, Levels


class Seen(list[str]):
    def __call__(self, event: dict[str, Any]) -> None:
        self.append(f"{event['log_namespace']} {event['log_level'].name}")


def talk(publisher: LogPublisher) -> None:
    for namespace in ("twisted_mesh.net", "twisted_mesh.net.accept", "other"):
        log = Logger(namespace, observer=publisher)
        log.debug("d")
        log.info("i")
        log.error("e")


def test_what_is_below_the_level_of_its_namespace_is_not_seen() -> None:
    seen = Seen()
    publisher = LogPublisher(seen)
    levels = Levels(publisher)
    levels.install()
    levels.set("twisted_mesh.net", "debug")
    levels.set("", "error")
    talk(publisher)
    assert seen == [
        *[f"twisted_mesh.net {each}" for each in ("debug", "info", "error")],
        *[f"twisted_mesh.net.accept {each}" for each in ("debug", "info", "error")],
        "other error",
    ]
    assert levels.show() == {"": "error", "twisted_mesh.net": "debug"}


def test_by_default_all_but_debug_is_seen_and_default_is_the_way_back() -> None:
    seen = Seen()
    publisher = LogPublisher(seen)
    levels = Levels(publisher)
    levels.install()
    levels.set("other", "critical")
    levels.set("", "debug")
    levels.set("other", "default")
    levels.set("", "default")
    talk(publisher)
    assert len(seen) == 6
    assert levels.show() == {"": "info"}


def test_uninstalled_nothing_is_changed() -> None:
    seen = Seen()
    publisher = LogPublisher(seen)
    levels = Levels(publisher)
    levels.install()
    levels.uninstall()
    talk(publisher)
    assert len(seen) == 9


def test_levels_that_are_none_and_too_many_namespaces_are_refused() -> None:
    levels = Levels(LogPublisher())
    with pytest.raises(ValueError, match="expected debug, info"):
        levels.set("", "loud")
    for number in range(MOST):
        levels.set(f"n{number}", "debug")
    with pytest.raises(ValueError, match="already"):
        levels.set("one.more", "debug")
    levels.set("n1", "default")
    levels.set("one.more", "debug")

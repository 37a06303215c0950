"""What docs/redis.md says of keys and users is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable

from twisted.internet.task import Clock

from tests.bus.at_once import AtOnce
from tests.bus.direct import result_of as result
from tests.bus.test_reports import Sidecar
from tests.servers import Server
from tests.support import ROOT
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.reports import Reporter
from twisted_mesh.bus.resource import Draft
from twisted_mesh.bus.store import ConfigStore, Trial
from twisted_mesh.bus.store_keys import store_channel, store_keys

PAGE = Path(ROOT, "docs", "redis.md").read_text("utf-8")
KEYS = Keys("shop")
ANN = {"author": "ann", "reason": "why not"}


def life(connection: AtOnce, emptied: Callable[[], Any]) -> None:
    """Do all that the store does."""
    store = ConfigStore(connection, KEYS, clock=Clock())
    one = Sidecar(connection, "a")
    result(store.apply({"clusters/web": Draft(1)}, **ANN))
    result(store.apply({"clusters/web": Draft(2)}, canary=Trial(0.5), **ANN))
    one.take(result(store.read()))
    result(store.promote(**ANN))
    result(store.rollback(**ANN))
    result(store.at(1))
    result(store.history())
    result(store.keep(50))
    one.take(result(store.read()))
    emptied()
    one.report()
    assert isinstance(one.reporter, Reporter)
    assert result(one.reporter.offer())
    result(store.status())
    result(store.restore(**ANN))
    result(one.reporter.leave())


def test_every_key_is_documented(redis_server: Server) -> None:
    """And what is documented exists."""
    documented = set(re.findall(r"^\| `((?:config|sidecars):[a-z]+)` \|", PAGE, re.MULTILINE))
    assert {key.removeprefix("mesh:{shop}:") for key in store_keys(KEYS)} == documented
    seen: set[bytes] = set()

    def emptied() -> None:
        seen.update(redis_server("KEYS", "*"))
        redis_server("FLUSHALL")

    life(AtOnce(redis_server), emptied)
    seen.update(redis_server("KEYS", "*"))
    assert {key.decode().removeprefix("mesh:{shop}:") for key in seen} <= documented
    assert f"`{store_channel(KEYS).replace('{shop}', '{MESH}')}`" in PAGE


def test_the_documented_user_may_do_what_is_needed_and_no_more(redis_server: Server) -> None:
    (line,) = re.findall(r"^ACL SETUSER .*$", PAGE, re.MULTILINE)
    redis_server(*line.split())
    connection = AtOnce(redis_server)
    connection.conversation("AUTH", "mesh", "PASSWORD")
    life(connection, lambda: redis_server("FLUSHALL"))
    connection.conversation("SUBSCRIBE", store_channel(KEYS))
    denied = AtOnce(redis_server)
    denied.conversation("AUTH", "mesh", "PASSWORD")
    for command in (("GET", "mesh:{other}:config:version"), ("FLUSHALL",), ("CONFIG", "GET", "*")):
        try:
            denied.conversation(*command)
        except Exception as error:
            assert "NOPERM" in str(error)
        else:
            raise AssertionError(f"{command} was allowed")

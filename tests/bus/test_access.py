"""What the parts of the bus that keep records under leases are made from."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.task import Clock

from tests.bus.direct import Direct, result_of
from tests.servers import Server
from twisted_mesh.bus.access import Access
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.leases import NO_GUARD, Guard
from twisted_mesh.bus.view import View
from twisted_mesh.metrics import Registry


class Text(View[str]):
    """Records that are texts."""

    def __init__(self, name: str) -> None:
        super().__init__(name, lambda name, id, record: record.decode())


class Hears:
    """A subscriber of which nothing is ever heard."""

    def __init__(self) -> None:
        self.on_up: list[Any] = []
        self.on_down: list[Any] = []
        self.connected = True
        self.channels: list[str] = []

    async def subscribe(self, channel: str, heard: Any) -> None:
        self.channels.append(channel)

    def unsubscribe(self, channel: str) -> None:
        self.channels.remove(channel)


def test_records_are_kept_and_followed_by_their_kind(server: Server) -> None:
    with server.connect() as redis:
        redis("FLUSHALL")
        hears: Any = Hears()
        direct: Any = Direct(redis)
        access = Access(direct, hears, Keys("shop"), Clock(), random.Random(1), lambda: 0.0, Registry())
        leases = access.leases("note")
        assert (leases.kind, leases.guard) == ("note", NO_GUARD)
        result_of(leases.put("all", "a", b'"one"', 60.0))
        follower = access.follower(leases, Text)
        assert follower is not None
        follower.start()
        seen: list[dict[str, str]] = []
        following = follower.follow("all", lambda view: seen.append(dict(view.records)))
        assert hears.channels == ["mesh:{shop}:note:all"]
        assert seen[-1] == {"a": '"one"'}
        following.stop()
        assert hears.channels == []
        follower.stop()


def test_where_nobody_follows_there_is_no_follower(server: Server) -> None:
    with server.connect() as redis:
        direct: Any = Direct(redis)
        access = Access(direct, None, Keys("shop"), Clock(), random.Random(1), lambda: 0.0, Registry())
        leases = access.leases("note", Guard(25.0, 1.0))
        assert leases.guard.share == 25.0
        assert access.follower(leases, Text) is None

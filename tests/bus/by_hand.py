"""The scripts as another program would run them, that knows no more than docs/redis.md says."""

from __future__ import annotations

import json
from typing import Any, Optional, Sequence

from tests.servers import Conversation, Server
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.store_keys import store_channel, store_keys

PREFIX = "mesh:{shop}:"
KEYS = Keys("shop")


class ByHand:
    """One connection to a server that is empty at first, and one that hears what is published on a channel."""

    def __init__(self, server: Server, channel: str) -> None:
        self.server = server
        self.redis: Conversation = server.connect()
        self.redis("FLUSHALL")
        self._ear = server.connect()
        self._ear("SUBSCRIBE", channel)

    def close(self) -> None:
        """End both."""
        self.redis.close()
        self._ear.close()

    def store(self, script: str, *arguments: Any) -> Any:
        """Run a script of the configuration store."""
        keys = store_keys(KEYS)
        return self.redis("EVAL", script, len(keys), *keys, store_channel(KEYS), *arguments)

    def lease(self, script: str, *arguments: Any) -> Any:
        """Run a script of the registry, for services."""
        return self.redis("EVAL", script, 1, PREFIX, "service", *arguments)

    def heard(self) -> Any:
        """Return the next message, decoded."""
        kind, _, payload = self._ear.read()
        assert kind == b"message"
        return json.loads(payload)

    def hash(self, key: str) -> dict[str, str]:
        """Return a hash of the mesh."""
        flat = self.redis("HGETALL", PREFIX + key)
        return {flat[at].decode(): flat[at + 1].decode() for at in range(0, len(flat), 2)}

    def now(self) -> int:
        """Return the server's time in ms."""
        seconds, micros = self.redis("TIME")
        return int(seconds) * 1000 + int(micros) // 1000


def record(version: int, value: Any, author: str = "ann", select: Optional[str] = None) -> str:
    """Return a record of the store without its time."""
    head = json.dumps({"version": version, "author": author})
    return f"{head}\n{select or ''}\n{json.dumps(value)}"


def rest(value: Any, select: str = "") -> str:
    """Return what a writer gives of a record: its second line and the third."""
    return f"{select}\n{json.dumps(value)}"


def parts(text: str) -> tuple[dict[str, Any], str, Any]:
    """Return the three parts of a record."""
    head, select, value = text.split("\n", 2)
    return json.loads(head), select, json.loads(value)


def pairs(flat: Sequence[bytes]) -> dict[str, bytes]:
    """Return names and values that come in turns."""
    return {flat[at].decode(): flat[at + 1] for at in range(0, len(flat), 2)}

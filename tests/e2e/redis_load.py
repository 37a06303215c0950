"""Clients that keep a Redis listener busy and know what every reply has to be."""

from __future__ import annotations

import itertools
import threading
from typing import Any, Optional

from tests.servers import Conversation, Refused
from tests.support import PATIENCE

# Commands that one client has under way at once.
PIPELINE = 20
# No load meets the keys of another.
_LOADS = itertools.count()


class Writer(threading.Thread):
    """One client: it counts up some keys of its own, in pipelines, and reads each back right behind.

    A reply that is an error is counted, in `errors`, and the key's value is not known until it was read again.  What
    must never be: a value that goes back, is skipped or is another key's, a reply too few or too many.  That is `wrong`.
    """

    def __init__(self, port: int, name: str, keys: int = 5, breath: float = 0.0) -> None:
        super().__init__(daemon=True)
        self._breath = breath
        self.keys = [f"{name}:{each}" for each in range(keys)]
        self.errors: dict[str, int] = {}
        self.wrong: list[str] = []
        self.replies = 0
        self._port = port
        self._ending = threading.Event()
        # The last value that a reply gave, and how many increments since then may have happened or not.
        self._known = dict.fromkeys(self.keys, 0)
        self._unsure = dict.fromkeys(self.keys, 0)

    def run(self) -> None:
        try:
            with Conversation(self._port) as link:
                while not self._ending.is_set() and not self.wrong:
                    self._round(link)
                    if self._breath:
                        self._ending.wait(self._breath)
        except Exception as error:
            self.wrong.append(repr(error))

    def _round(self, link: Conversation) -> None:
        commands = [(name, self.keys[at // 2 % len(self.keys)]) for at in range(PIPELINE) for name in ("INCR", "GET")]
        commands = commands[:PIPELINE]
        link._client.send(b"".join(packed(*each) for each in commands))
        for name, key in commands:
            self._check(name, key, link.read())
        self.replies += len(commands)

    def _check(self, name: str, key: str, reply: Any) -> None:
        if isinstance(reply, Refused):
            word = str(reply).partition(" ")[0]
            self.errors[word] = self.errors.get(word, 0) + 1
            if name == "INCR":
                self._unsure[key] += 1
            return
        value = int(reply or 0)
        known, unsure = self._known[key], self._unsure[key]
        least, most = (known + 1, known + 1 + unsure) if name == "INCR" else (known, known + unsure)
        if not least <= value <= most:
            self.wrong.append(f"{name} {key}: {value}, expected {least} to {most}")
        # Where increments are unsure the value settles it, and nothing older may come back.
        self._known[key], self._unsure[key] = value, 0

    def end(self) -> None:
        """Stop, and wait for the end of the round."""
        self._ending.set()
        self.join(PATIENCE)
        assert not self.is_alive(), "a reply is missing"


class Owner(Writer):
    """One client whose values say which key they are of: for where the last writes may be lost with a server."""

    def _round(self, link: Conversation) -> None:
        commands = [(name, key) for key in self.keys for name in ("SET", "GET")]
        link._client.send(
            b"".join(packed(name, key, *([f"{key}="] if name == "SET" else [])) for name, key in commands)
        )
        for name, key in commands:
            reply = link.read()
            if isinstance(reply, Refused):
                word = str(reply).partition(" ")[0]
                self.errors[word] = self.errors.get(word, 0) + 1
            elif reply not in ((b"OK",) if name == "SET" else (None, f"{key}=".encode())):
                self.wrong.append(f"{name} {key}: {reply!r}")
        self.replies += len(commands)


class Load:
    """Several writers.

    :param breath: seconds between two rounds of one: sidecars read a change while the processors have nothing else to
        do, or seconds later.
    """

    def __init__(
        self, port: int, clients: int = 4, keys: int = 5, kind: type[Writer] = Writer, breath: float = 0.0
    ) -> None:
        mine = next(_LOADS)
        self.writers = [kind(port, f"w{mine}-{each}", keys, breath) for each in range(clients)]

    def __enter__(self) -> Load:
        for each in self.writers:
            each.start()
        return self

    def __exit__(self, kind: Optional[type], *exc: object) -> None:
        for each in self.writers:
            each.end()

    @property
    def replies(self) -> int:
        return sum(each.replies for each in self.writers)

    @property
    def errors(self) -> dict[str, int]:
        """How many errors there were, by their first word."""
        total: dict[str, int] = {}
        for each in self.writers:
            for word, count in each.errors.items():
                total[word] = total.get(word, 0) + count
        return total

    @property
    def wrong(self) -> list[str]:
        return [text for each in self.writers for text in each.wrong]


def packed(*words: str) -> bytes:
    """Return a command as a client sends it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(each), each.encode()) for each in words)

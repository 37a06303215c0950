"""What a client that is alone with a key knows of its value, after replies and after commands that failed."""

from __future__ import annotations

from typing import Any, Optional


class Register:
    """A key that is set to one value after the other.

    After a SET that failed it may have been set or not; what the next reply says settles that, and nothing older may
    come back: the commands of one client for one key are in order.
    """

    def __init__(self, key: str) -> None:
        self.key = key.encode()
        self._sure: Optional[bytes] = None
        self._perhaps: set[bytes] = set()

    def set(self, value: bytes) -> None:
        """It was set."""
        self._sure = value
        self._perhaps.clear()

    def set_perhaps(self, value: bytes) -> None:
        """It was set, or will be, or was not."""
        self._perhaps.add(value)

    def read(self, value: Any) -> bool:
        """Whether it can have this value; None where there is none."""
        if value != self._sure and value not in self._perhaps:
            return False
        self._sure = value
        self._perhaps.clear()
        return True

    def __repr__(self) -> str:
        perhaps = f", perhaps {sorted(each[:40] for each in self._perhaps)}" if self._perhaps else ""
        return f"<{self.key.decode()} {self._sure[:40] if self._sure else self._sure!r}{perhaps}>"


class Count:
    """A key that is counted up by one."""

    def __init__(self, key: str) -> None:
        self.key = key.encode()
        self._sure = 0
        self._perhaps = 0

    def added(self, value: Any) -> bool:
        """Whether counting up can have come to this."""
        return self._settle(value, 1)

    def added_perhaps(self) -> None:
        """It was counted up, or will be, or was not."""
        self._perhaps += 1

    def read(self, value: Any) -> bool:
        """Whether it can have this value."""
        return self._settle(int(value or 0), 0)

    def _settle(self, value: Any, more: int) -> bool:
        if not isinstance(value, int) or not self._sure + more <= value <= self._sure + more + self._perhaps:
            return False
        self._sure, self._perhaps = value, 0
        return True

    def __repr__(self) -> str:
        return f"<{self.key.decode()} {self._sure} to {self._sure + self._perhaps}>"

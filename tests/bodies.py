"""Both ends of a body: who produces it, and who receives it."""

from __future__ import annotations

from typing import Any, Optional

from twisted_mesh.stream import Trailers


class Receiver:
    """Takes a body; `trailers` are those that it ended with, None as long as it has not."""

    def __init__(self) -> None:
        self.data = b""
        self.trailers: Optional[Trailers] = None
        self.error: Any = None

    @property
    def ended(self) -> bool:
        """Whether all of it has come."""
        return self.trailers is not None

    def body_data(self, data: bytes) -> None:
        self.data += data

    def body_ended(self, trailers: Trailers) -> None:
        self.trailers = trailers

    def body_failed(self, error: BaseException) -> None:
        self.error = error


class Producer:
    """Remembers how it was told to go."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")

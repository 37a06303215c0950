"""Callbacks that do not keep alive whom they call."""

from __future__ import annotations

from twisted_mesh.weakly import weakly


class Told:
    def __init__(self, heard: list[tuple[int, ...]]) -> None:
        self._heard = heard

    def tell(self, *numbers: int) -> str:
        self._heard.append(numbers)
        return "told"


def test_it_calls_as_long_as_somebody_keeps_whom() -> None:
    heard: list[tuple[int, ...]] = []
    told = Told(heard)
    call = weakly(told.tell)
    assert call(1, 2) == "told"
    del told
    assert call(3) is None
    assert heard == [(1, 2)]

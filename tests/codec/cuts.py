"""The same bytes in other pieces: whole, byte by byte, and cut where hypothesis likes."""

from __future__ import annotations

from typing import Callable, Sequence, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def cut_at(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut at the given places; those beyond the end cut nothing."""
    edges = sorted({0, len(data), *(each for each in places if each < len(data))})
    return [data[start:end] for start, end in zip(edges, edges[1:])]


# Places to cut at, for data up to a few hundred bytes.
PLACES = st.lists(st.integers(1, 400), max_size=8)


def same_in_any_cut(data: bytes, places: Sequence[int], read: Callable[[Sequence[bytes]], T]) -> T:
    """What `read` makes of the data, after checking that it makes the same of it in other pieces."""
    whole = read([data])
    assert read(one_by_one(data)) == whole, "byte by byte"
    assert read(cut_at(data, places)) == whole, places
    return whole

"""Who has which slot of a Redis Cluster, as far as is known, and what follows from being told otherwise."""

from __future__ import annotations

from typing import Generic, Iterable, Optional, Sequence, TypeVar

SLOTS = 16_384

T = TypeVar("T")


class SlotMap(Generic[T]):
    """The owner of each slot; None where nobody is known.

    `owners` is read directly where it matters.  `complete` says that every slot has an owner.
    """

    def __init__(self) -> None:
        self.owners: list[Optional[T]] = [None] * SLOTS

    def __repr__(self) -> str:
        return f"<SlotMap of {len(self.everyone())} owners, {self.owners.count(None)} slots with none>"

    @property
    def complete(self) -> bool:
        """Whether every slot has an owner."""
        return None not in self.owners

    def everyone(self) -> list[T]:
        """Return each owner once, in the order of their first slots."""
        return [each for each in dict.fromkeys(self.owners) if each is not None]

    def assign(self, told: Iterable[tuple[T, Sequence[tuple[int, int]]]]) -> list[int]:
        """Have these owners, each with the first and last slots of its ranges, and no others.

        :returns: the slots that have another owner now.
        """
        owners: list[Optional[T]] = [None] * SLOTS
        for owner, ranges in told:
            for first, last in ranges:
                owners[first : last + 1] = [owner] * (last + 1 - first)
        before, self.owners = self.owners, owners
        if before == owners:
            return []
        return [slot for slot, owner in enumerate(owners) if owner is not before[slot]]

    def move(self, slot: int, owner: T) -> bool:
        """Have one slot somewhere else; return whether that is news."""
        if self.owners[slot] is owner:
            return False
        self.owners[slot] = owner
        return True

"""Who has which slot of a Redis Cluster, as far as is known, and what follows from being told otherwise."""

from __future__ import annotations

from typing import Generic, Iterable, Optional, Sequence, TypeVar

SLOTS = 16_384

T = TypeVar("T")


class SlotMap(Generic[T]):
    """The owner of each slot; None where nobody is known.

    `owners` is read directly where it matters.  `complete` says that every slot has an owner.  `version` is another
    number after each change.
    """

    def __init__(self) -> None:
        self.owners: list[Optional[T]] = [None] * SLOTS
        self.version = 0

    def __repr__(self) -> str:
        return f"<SlotMap of {len(self.everyone())} owners, {self.owners.count(None)} slots with none>"

    @property
    def complete(self) -> bool:
        """Whether every slot has an owner."""
        return None not in self.owners

    def everyone(self) -> list[T]:
        """Return each owner once, in the order of their first slots."""
        return [each for each in dict.fromkeys(self.owners) if each is not None]

    def last_slots(self) -> dict[T, int]:
        """Return the last slot of each owner.

        It is what an owner keeps best: slots are moved from the lowest on, and another server that takes over has them
        all.
        """
        found = dict(zip(self.owners, range(SLOTS)))
        return {each: slot for each, slot in found.items() if each is not None}

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
        self.version += 1
        return [slot for slot, owner in enumerate(owners) if owner is not before[slot]]

    def move(self, slot: int, owner: T) -> bool:
        """Have one slot somewhere else; return whether that is news."""
        if self.owners[slot] is owner:
            return False
        self.owners[slot] = owner
        self.version += 1
        return True

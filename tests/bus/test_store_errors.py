"""What the store says no to, in one line that a person can act on."""

from __future__ import annotations

import pytest

from twisted_mesh.bus.store_errors import Clash, Conflict, StoreBehind, told_of, when

AT = 1_700_000_000.0


def test_times_are_those_of_redis_for_people() -> None:
    assert when(AT) == "2023-11-14 22:13:20Z"


@pytest.mark.parametrize(
    ("author", "reason", "said"),
    [
        ("ann", "too slow", 'by ann at 2023-11-14 22:13:20Z ("too slow")'),
        ("ann", "", "by ann at 2023-11-14 22:13:20Z"),
        ("", "", "by somebody at 2023-11-14 22:13:20Z"),
    ],
)
def test_who_changed_something(author: str, reason: str, said: str) -> None:
    assert told_of(author, AT, reason) == said


@pytest.mark.parametrize(
    ("clash", "said"),
    [
        (
            Clash("clusters/web", 3, 5, "bob", "", AT),
            "clusters/web was changed in version 5 by bob at 2023-11-14 22:13:20Z; you saw version 3",
        ),
        (
            Clash("clusters/web", 3, 5, "bob", "", AT, deleted=True),
            "clusters/web was deleted in version 5 by bob at 2023-11-14 22:13:20Z; you saw version 3",
        ),
        (
            Clash("clusters/web", 0, 5, "bob", "", AT),
            "clusters/web was changed in version 5 by bob at 2023-11-14 22:13:20Z; you saw none",
        ),
        (
            Clash("clusters/web", 3, 5, "bob", "", AT, canary=True),
            "clusters/web is in the canary of version 5 by bob at 2023-11-14 22:13:20Z: "
            "promote it or roll it back first",
        ),
    ],
)
def test_a_clash_says_what_is_there_and_what_was_seen(clash: Clash, said: str) -> None:
    assert str(clash) == said


def test_a_conflict_names_every_clash() -> None:
    clashes = [Clash("clusters/a", 1, 2, "bob", "", AT), Clash("clusters/b", 1, 2, "bob", "", AT)]
    error = Conflict(clashes)
    assert error.clashes == tuple(clashes)
    assert str(error).startswith("conflict: clusters/a was changed")
    assert "; clusters/b was changed" in str(error)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreBehind(0, 7, "web-1"), "the store is empty, but web-1 runs version 7 of what it had before: "),
        (StoreBehind(3, 7, ""), "the store has version 3, but a sidecar runs version 7 of what it had before: "),
    ],
)
def test_a_store_that_is_behind_says_the_two_ways_on(error: StoreBehind, said: str) -> None:
    assert str(error).startswith(said)
    assert "`meshctl restore` writes that back; --force begins anew" in str(error)

"""What the scripts of the store answer, as values and errors."""

from __future__ import annotations

import json
from typing import Any, Sequence

import pytest

from twisted_mesh.bus.resource import Draft, decode, encode
from twisted_mesh.bus.store_answers import Written, as_before, change_of, no_offer, written
from twisted_mesh.bus.store_errors import (
    CanaryOpen,
    Clash,
    Conflict,
    NoCanary,
    NoSuchVersion,
    StoreBehind,
    StoreError,
)

CANARY = json.dumps(
    {
        "version": 4,
        "share": 0.1,
        "bound": 0.2,
        "margin": 0.05,
        "least_calls": 100,
        "author": "ann",
        "reason": "try it",
        "at": 1_700_000_000_000,
        "names": ["clusters/web", "routes/shop"],
    }
).encode()
TOLD = '(clusters/web, routes/shop) by ann at 2023-11-14 22:13:20Z ("try it")'


@pytest.mark.parametrize(
    ("answer", "expected"),
    [([b"written", 7], Written(7, True)), ([b"done", 7], Written(7, True)), ([b"same", 7], Written(7, False))],
)
def test_what_was_written(answer: Sequence[Any], expected: Written) -> None:
    assert written(answer) == expected


@pytest.mark.parametrize(
    ("answer", "asked", "error", "said"),
    [
        ([b"behind", 3, 7, b"web-1"], None, StoreBehind, "the store has version 3, but web-1 runs version 7"),
        ([b"canary", CANARY], None, CanaryOpen, f"there is a canary of version 4 {TOLD}: promote it or roll it back"),
        ([b"none", b""], 4, NoCanary, "there is no canary"),
        ([b"none", CANARY], 3, NoCanary, f"the canary of version 3 has ended; there is a canary of version 4 {TOLD}"),
        ([b"nothing", 0], None, NoSuchVersion, "there is nothing to undo: no version that is kept changed anything"),
        ([b"unknown", b"0", 0], 9, NoSuchVersion, "there is no version 9: nothing was written yet"),
        ([b"unknown", b"3", 7], 9, NoSuchVersion, "there is no version 9 yet; the newest is 7"),
        ([b"unknown", b"3", 7], 1, NoSuchVersion, "version 1 is not kept any more; the oldest that is kept is 3"),
        ([b"later"], None, StoreError, "the store answered 'later', which this version of meshctl does not know"),
    ],
)
def test_what_it_says_no_to(answer: Sequence[Any], asked: Any, error: type[StoreError], said: str) -> None:
    with pytest.raises(error) as caught:
        written(answer, asked)
    assert str(caught.value).startswith(said)


def test_clashes_have_seconds_and_what_is_missing_has_its_default() -> None:
    clashes = [
        {"name": "clusters/a", "seen": 1, "version": 2, "author": "bob", "at": 5000},
        {"name": "clusters/b", "seen": 0, "deleted": True, "unknown": 1},
    ]
    with pytest.raises(Conflict) as caught:
        written([b"conflict", json.dumps(clashes).encode()])
    assert caught.value.clashes == (
        Clash("clusters/a", 1, 2, "bob", "", 5.0),
        Clash("clusters/b", 0, deleted=True),
    )


@pytest.mark.parametrize(
    ("answer", "node", "said"),
    [
        ([b"none", 0, b""], "", "no sidecar has more than the store: there is nothing to restore"),
        ([b"none", 7, b"web-1"], "", "web-1 has version 7 but did not offer it in time; try again"),
        ([b"none", 7, b"web-1"], "web-2", "web-2 does not offer its configuration; web-1 has version 7"),
    ],
)
def test_what_nobody_offers(answer: Sequence[Any], node: str, said: str) -> None:
    assert str(no_offer(answer, node)) == said


def test_an_entry_of_the_history_names_what_a_canary_tries_once() -> None:
    entry = {
        "version": 5,
        "kind": "promote",
        "author": "ann",
        "reason": "good",
        "at": 5000,
        "names": ["clusters/web", "~clusters/web"],
        "canary": 4,
        "token": "t",
    }
    found = change_of(json.dumps(entry).encode())
    assert (found.version, found.kind, found.at, found.names, found.canary) == (
        5,
        "promote",
        5.0,
        ("clusters/web",),
        4,
    )


def test_what_there_was_before() -> None:
    def record(value: int) -> bytes:
        return b'{"version":1}\n' + encode("clusters/a", Draft(value))

    now = {name: decode(name, record(2)) for name in ("clusters/a", "clusters/new", "clusters/same")}
    before = [b"clusters/a", record(1), b"clusters/new", b"", b"clusters/gone", record(1)]
    found = as_before(now, before)
    assert {name: each.value for name, each in found.items()} == {
        "clusters/a": 1,
        "clusters/gone": 1,
        "clusters/same": 2,
    }
    assert now["clusters/a"].value == 2

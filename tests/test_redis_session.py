"""What a client listens to, and what it gives back."""

from __future__ import annotations

from typing import Any

import pytest

from twisted_mesh.redis_session import Session


class Lane:
    """A connection, as a session sees it."""

    def __init__(self, clean: bool = True, listens: bool = False, streams: bool = False) -> None:
        self.clean = clean
        self.streams = streams
        self.listens = listens
        self.done: list[str] = []

    def hold(self, waiting: bool) -> None:
        self.done.append("hold" if waiting else "go on")

    def give_back(self) -> None:
        self.done.append("given back")

    def end(self) -> None:
        self.done.append("ended")


@pytest.fixture
def session() -> Session:
    return Session(lambda text: None, lambda why: None)


def test_confirmations_count_what_the_client_has_wherever_it_is(session: Session) -> None:
    said = [
        session.confirm("SUBSCRIBE", b"a", 2),
        session.confirm("PSUBSCRIBE", b"a*", 2),
        session.confirm("SSUBSCRIBE", b"s", 2),
        session.confirm("SUBSCRIBE", b"a", 3),
        session.confirm("UNSUBSCRIBE", b"a", 2),
        session.confirm("UNSUBSCRIBE", None, 3),
    ]
    assert [each[:1] + each[each.rindex(b":") :] for each in said] == [
        *[b"*:1\r\n", b"*:2\r\n", b"*:1\r\n", b">:2\r\n", b"*:1\r\n", b">:1\r\n"],
    ]
    assert b"_\r\n" in said[-1]
    assert session.subscribed == 2


def test_what_is_clean_is_given_back_and_what_is_not_is_ended(session: Session) -> None:
    clean, spoilt, main = Lane(), Lane(clean=False), Lane(clean=False)
    lanes: dict[Any, Any] = {"a": clean, "b": spoilt, "c": main}
    session.lanes.update(lanes)
    session.main, session.watching = main, True
    session.settle()
    assert (clean.done, spoilt.done, main.done) == (["given back"], ["ended"], [])
    session.watching = False
    main.clean = True
    session.settle()
    assert main.done == ["given back"]
    assert session.at_rest


def test_the_end_ends_everything(session: Session) -> None:
    lane: Any = Lane()
    session.lanes["a"] = lane
    session.multi = True
    session.confirm("SUBSCRIBE", b"a", 2)
    session.hold(True)
    session.end()
    assert lane.done == ["hold", "ended"]
    assert session.at_rest


def test_what_brings_a_large_reply_is_read_on_while_the_rest_waits_for_its_end(session: Session) -> None:
    brings, tells = Lane(streams=True), Lane()
    lanes: Any = {"a": brings, "b": tells}
    session.lanes.update(lanes)
    session.hold(False, True)
    session.hold(True, True)
    session.hold(False)
    assert (brings.done, tells.done) == (["go on", "hold", "go on"], ["hold", "hold", "go on"])


@pytest.mark.parametrize(
    ("state", "listens", "why", "lost", "spoilt"),
    [
        ({"multi": True}, False, "gone", [], "gone"),
        ({"watching": True}, False, "gone", [], "gone"),
        ({"watching": True}, False, "", [], ""),
        ({"tracking": True}, False, "gone", ["gone"], ""),
        ({}, True, "gone", ["gone"], ""),
    ],
)
def test_what_the_loss_of_a_connection_means(
    state: dict[str, bool], listens: bool, why: str, lost: list[str], spoilt: str
) -> None:
    told: list[str] = []
    session = Session(lambda text: None, told.append)
    lane: Any = Lane(listens=listens)
    session.lanes["a"] = session.main = lane
    for name, value in state.items():
        setattr(session, name, value)
    session.lane_lost(lane, why)
    assert (told, session.spoilt, session.lanes, session.main) == (lost, spoilt, {}, None)

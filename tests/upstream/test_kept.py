"""Endpoints that are kept for a while."""

from __future__ import annotations

from tests.upstream.fakes import FakeEnv
from twisted_mesh.metrics import Cell
from twisted_mesh.model import Address
from twisted_mesh.upstream.endpoint import Endpoint
from twisted_mesh.upstream.kept import Kept


class Subject:
    def __init__(self) -> None:
        self.env = FakeEnv()
        self.over = 0
        self.refused: list[Endpoint] = []
        self.count = Cell()
        self.kept = Kept(self.env, self._over, self.refused.append, self.count)
        self.endpoints = [Endpoint(Address.parse(f"10.0.0.{number}:80")) for number in (1, 2, 3)]
        a, b, c = self.endpoints
        self.kept.keep({"a": [a], "bc": [b, c]}, "lost", 60.0)

    def _over(self) -> None:
        self.over += 1


def test_they_say_so_and_end_at_their_time() -> None:
    """Each endpoint knows why it is kept, and whom to tell of a refused connection."""
    subject = Subject()
    assert {each.doubt for each in subject.endpoints} == {"kept: lost"}
    assert subject.endpoints[0].on_refused == subject.refused.append
    assert (subject.count.value, subject.kept.until) == (2, subject.env.wall() + 60)
    assert subject.kept.has("10.0.0.3:80")
    subject.env.clock.advance(60)
    assert subject.over == 1
    assert (subject.kept.made, subject.kept.until, subject.count.value) == ({}, None, 0)


def test_the_time_gets_shorter_and_not_longer() -> None:
    """Whoever asks for less gets it; more is not given."""
    subject = Subject()
    subject.kept.shorten(10)
    subject.kept.shorten(30)
    subject.kept.keep({"d": []}, "lost", 60.0)
    subject.env.clock.advance(10)
    assert subject.over == 1


def test_what_is_known_again_or_gone_is_dropped() -> None:
    """By instance or by address; with the last one it ends, and nobody has to be told."""
    subject = Subject()
    subject.kept.drop({"a"}, ())
    subject.kept.drop((), {"10.0.0.2:80"})
    assert [each.address for each in subject.kept.made["bc"]] == ["10.0.0.3:80"]
    subject.kept.drop((), {"10.0.0.3:80"})
    assert (subject.kept.until, subject.over) == (None, 0)
    assert not subject.env.clock.getDelayedCalls()
    assert repr(subject.kept) == "<Kept 0 instances>"

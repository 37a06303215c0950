"""Instances whose address is a host name."""

from __future__ import annotations

from typing import Callable

from twisted_mesh.model import Address
from twisted_mesh.upstream.instance_names import InstanceNames

DB = Address.parse("db.example:1")
WEB = Address.parse("web.example:1")


class FakeWatch:
    def __init__(self, address: Address, found: Callable[[FakeWatch], None]) -> None:
        self.address = address
        self.found = found
        self.addresses: tuple[str, ...] = ()
        self.problem = "not looked up yet"
        self.running = False

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def answer(self, *addresses: str) -> None:
        self.addresses, self.problem = addresses, ""
        self.found(self)


class Subject:
    def __init__(self) -> None:
        self.made: list[FakeWatch] = []
        self.found = 0
        self.names = InstanceNames(self._watch, self._found)  # type: ignore[arg-type]

    def _watch(self, address: Address, found: Callable[[FakeWatch], None]) -> FakeWatch:
        self.made.append(FakeWatch(address, found))
        return self.made[-1]

    def _found(self) -> None:
        self.found += 1


def test_a_name_is_looked_up_when_it_is_first_asked_for() -> None:
    """It has no address before, and says why; then whoever asks is told."""
    subject = Subject()
    assert subject.names.addresses(DB) == ()
    assert subject.names.problem() == "not looked up yet"
    (watch,) = subject.made
    assert watch.running
    watch.answer("10.0.0.1")
    assert subject.found == 1
    assert subject.names.addresses(DB) == ("10.0.0.1",)
    assert subject.names.problem() == ""
    assert len(subject.made) == 1


def test_what_is_not_asked_for_any_more_is_not_looked_up() -> None:
    """Between `begin` and `end` all that is wanted is asked for."""
    subject = Subject()
    subject.names.addresses(DB)
    subject.names.addresses(WEB)
    subject.names.begin()
    subject.names.addresses(WEB)
    subject.names.end()
    assert [each.running for each in subject.made] == [False, True]
    subject.names.stop()
    assert not any(each.running for each in subject.made)


def test_the_next_cluster_begins_with_what_is_known() -> None:
    """And looks it up itself from its start on."""
    old, new = Subject(), Subject()
    old.names.addresses(DB)
    old.made[0].answer("10.0.0.1")
    new.names.adopt(old.names)
    assert new.names.addresses(DB) == ("10.0.0.1",)
    assert not new.made[0].running
    new.names.start()
    assert new.made[0].running

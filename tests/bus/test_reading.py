"""Reading page by page while others write."""

from __future__ import annotations

from typing import Any, Iterator
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from tests.bus.at_once import AtOnce
from tests.bus.direct import result_of as result
from tests.servers import Server
from twisted_mesh.bus import reading
from twisted_mesh.bus.errors import BusError
from twisted_mesh.bus.keys import Keys
from twisted_mesh.bus.reading import Behind, canary_of, first_version, read
from twisted_mesh.bus.resource import Draft
from twisted_mesh.bus.store import ConfigStore, Trial
from twisted_mesh.bus.stored import EMPTY

ANN = {"author": "ann", "reason": "why not"}
KEYS = Keys("shop")


class Interrupted(AtOnce):
    """Something happens before each answer to a reader."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.before: Iterator[Any] = iter(())

    def script(self, script: Any, *args: Any, **options: Any) -> Any:
        if script.name == "config-changes":
            next(self.before, None)
        return super().script(script, *args, **options)


CHANGE = st.dictionaries(st.sampled_from("abcdef"), st.one_of(st.none(), st.integers(0, 9)), min_size=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(CHANGE, max_size=4),
    st.lists(CHANGE, max_size=4),
    st.lists(st.lists(CHANGE, max_size=2), max_size=8),
    st.integers(2, 4),
)
def test_who_reads_to_the_end_has_one_version_as_it_was(
    server: Server, before: list[Any], since: list[Any], meanwhile: list[Any], keep: int
) -> None:
    """Pages hold one record here, and the history is short."""
    server("FLUSHALL")
    writer = ConfigStore(AtOnce(server), KEYS, clock=Clock())
    states = {0: {}}

    def write(change: dict[str, Any]) -> None:
        drafts = {f"clusters/{name}": None if value is None else Draft(value) for name, value in change.items()}
        version = result(writer.apply(drafts, **ANN)).version
        wanted = {**states[max(states)], **{f"clusters/{name}": value for name, value in change.items()}}
        states[version] = {name: value for name, value in wanted.items() if value is not None}

    def interruptions() -> Iterator[None]:
        for changes in meanwhile:
            for each in changes:
                write(each)
            yield

    result(writer.keep(keep))
    for each in before:
        write(each)
    known = result(read(AtOnce(server), KEYS))
    for each in since:
        write(each)
    direct = Interrupted(server)
    direct.before = interruptions()
    with patch.object(reading, "PAGE_RECORDS", 1):
        found = result(read(direct, KEYS, known))
    assert not isinstance(found, Behind)
    assert {name: each.value for name, each in found.resources.items()} == states[found.version]
    if found.changed is not None:
        old = states[known.version]
        really = {
            name for name in old.keys() | found.resources.keys() if old.get(name) != states[found.version].get(name)
        }
        assert really <= found.changed


def test_a_store_that_is_exchanged_while_it_is_read_is_read_anew(server: Server) -> None:
    server("FLUSHALL")
    writer = ConfigStore(AtOnce(server), KEYS, clock=Clock())
    result(writer.apply({f"clusters/old{each}": Draft(each) for each in range(5)}, **ANN))

    def exchanges() -> Iterator[None]:
        yield
        server("FLUSHALL")
        result(writer.apply({"clusters/new": Draft(1)}, **ANN))
        yield

    direct = Interrupted(server)
    direct.before = exchanges()
    with patch.object(reading, "PAGE_RECORDS", 1):
        found = result(read(direct, KEYS))
    assert not isinstance(found, Behind)
    assert list(found.resources) == ["clusters/new"]


def test_what_was_deleted_and_forgotten_while_pages_were_read_does_not_stay(server: Server) -> None:
    """Found by the property above, among thousands of examples."""
    server("FLUSHALL")
    writer = ConfigStore(AtOnce(server), KEYS, clock=Clock())
    result(writer.keep(2))
    result(writer.apply({"clusters/a": Draft(0), "clusters/c": Draft(0)}, **ANN))

    def interruptions() -> Iterator[None]:
        yield
        result(writer.delete(["clusters/a"], **ANN))
        for each in range(2):
            result(writer.apply({"clusters/b": Draft(each)}, **ANN))
        yield

    direct = Interrupted(server)
    direct.before = interruptions()
    with patch.object(reading, "PAGE_RECORDS", 1):
        found = result(read(direct, KEYS))
    assert not isinstance(found, Behind)
    assert {name: each.value for name, each in found.resources.items()} == {"clusters/b": 1, "clusters/c": 0}


def test_one_that_is_exchanged_again_and_again_is_given_up(server: Server) -> None:
    server("FLUSHALL")
    writer = ConfigStore(AtOnce(server), KEYS, clock=Clock())

    def exchanges() -> Iterator[None]:
        while True:
            server("FLUSHALL")
            result(writer.apply({f"clusters/c{each}": Draft(1) for each in range(3)}, **ANN))
            yield

    direct = Interrupted(server)
    direct.before = exchanges()
    with patch.object(reading, "PAGE_RECORDS", 1), pytest.raises(BusError, match="changes faster than it can be read"):
        result(read(direct, KEYS))


def test_what_is_known_comes_back_if_nothing_changed(server: Server) -> None:
    server("FLUSHALL")
    direct = AtOnce(server)
    writer = ConfigStore(direct, KEYS, clock=Clock())
    assert result(read(direct, KEYS, EMPTY)) is EMPTY
    result(writer.apply({"clusters/web": Draft(1)}, canary=Trial(0.5), **ANN))
    found = result(read(direct, KEYS))
    assert result(read(direct, KEYS, found)) is found
    server("FLUSHALL")
    assert str(result(read(direct, KEYS, found))) == "the store is empty"


def test_a_name_that_is_no_text_ends_no_reading(server: Server) -> None:
    server("FLUSHALL")
    direct = AtOnce(server)
    result(ConfigStore(direct, KEYS, clock=Clock()).apply({"clusters/web": Draft(1), "clusters/x": Draft(1)}, **ANN))
    server("HSET", "mesh:{shop}:config:resources", b"clusters/\xff", "rubbish")
    server("ZADD", "mesh:{shop}:config:changed", 1, b"clusters/\xff")
    with patch.object(reading, "PAGE_RECORDS", 1):
        found = result(read(direct, KEYS))
    assert not isinstance(found, Behind)
    assert [each.problem[:20] for name, each in sorted(found.records.items())] == ["", "", "the record at Redis "]


@pytest.mark.parametrize("json", [b"", b"[]", b"{}", b'{"version":"x"}', b"\xff"])
def test_what_is_no_canary_is_none(json: bytes) -> None:
    assert canary_of(json) is None


@pytest.mark.parametrize(("epoch", "first"), [("12-ab", 12), ("", 0), ("ab", 0), ("-1-x", 0)])
def test_first_versions(epoch: str, first: int) -> None:
    assert first_version(epoch) == first

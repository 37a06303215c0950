"""What files and bus make together, and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterable

import pytest
from twisted.internet.defer import Deferred

from twisted_mesh.control.judge import result
from twisted_mesh.control.load import Files
from twisted_mesh.control.offers import Offer
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.model import Config
from twisted_mesh.server import source as module
from twisted_mesh.server.source import SMALL, Source

FILE = "listeners: {edge: {bind: 127.0.0.1:1, routes: [{to: web}]}}\nclusters: {web: {endpoints: [127.0.0.1:1]}}"


async def at_once(steps: Iterable[None]) -> None:
    for _ in steps:
        pass


class Judged(Source):
    """A source whose children are no processes; `children` counts them."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(str(path), None, at_once, {})
        self.children = 0

        def judge_in_child(reactor: Any, request: Any) -> Deferred[list[bytes]]:
            self.children += 1
            done: Deferred[list[bytes]] = Deferred()
            done.callback(list(result(request)))
            return done

        monkeypatch.setattr(module, "judge_in_child", judge_in_child)

    def judged(self, before: Any = None) -> Config:
        """Read; what the Deferred says."""
        found: list[Any] = []
        Deferred.fromCoroutine(self.read(before)).addBoth(found.append)
        if not isinstance(found[0], Config):
            found[0].raiseException()
        config: Config = found[0]
        return config


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judged:
    (tmp_path / "mesh.yaml").write_text(FILE)
    made = Judged(tmp_path / "mesh.yaml", monkeypatch)
    made.first(made.read_files(), {})
    made.accepted()
    return made


def web(port: int, version: int = 1) -> dict[str, Offer]:
    return {"clusters/web": Offer.of("clusters/web", version, {"endpoints": [f"127.0.0.1:{port}"]})}


def port_of(config: Config) -> int:
    return config.clusters["web"].endpoints[0].address.port


def test_a_small_change_of_the_bus_is_judged_here(source: Judged) -> None:
    source.offer(web(2))
    config = source.judged()
    assert (port_of(config), source.children) == (2, 0)
    source.accepted()
    assert list(source.good) == ["clusters/web"]
    assert source.origins(config, False) == {"listeners/edge": "file", "clusters/web": "bus, version 1"}
    assert source.origins(config, True)["clusters/web"] == "last good, version 1"


def test_a_large_one_is_judged_in_a_child(source: Judged) -> None:
    large = {f"clusters/c{at}": Offer.of(f"clusters/c{at}", 1, {"endpoints": ["127.0.0.1:2"]}) for at in range(999)}
    assert sum(len(each.body) for each in large.values()) > SMALL
    source.offer(large)
    assert len(source.judged().clusters) == 1000
    assert source.children == 1


def test_files_that_have_changed_are_read_in_a_child(source: Judged) -> None:
    Path(source.path).write_text(FILE.replace("127.0.0.1:1]", "127.0.0.1:5]"))
    assert port_of(source.judged()) == 1
    source.changed()
    assert port_of(source.judged()) == 5
    assert source.children == 1


def test_files_that_became_wrong_do_not_hold_up_the_bus(source: Judged) -> None:
    Path(source.path).write_text("listeners: 5")
    source.changed()
    with pytest.raises(ConfigError):
        source.judged()
    source.offer(web(2))
    assert port_of(source.judged()) == 2


def test_what_is_refused_leaves_what_was_good(source: Judged) -> None:
    source.offer(web(2))
    source.judged()
    source.accepted()
    source.offer({"clusters/web": Offer.of("clusters/web", 2, {"endpoints": 5})})
    config = source.judged()
    source.accepted()
    assert port_of(config) == 2
    assert [(each.name, each.version) for each in source.refused] == [("clusters/web", 2)]
    assert source.origins(config, False)["clusters/web"] == "last good, version 1"


def test_what_cannot_be_applied_is_left_out(source: Judged) -> None:
    listener = Offer.of("listeners/more", 3, {"bind": "127.0.0.1:9", "routes": [{"to": "web"}]})
    source.offer({**web(2, 3), "listeners/more": listener})
    source.judged()
    taken = ConfigError([Problem("listeners.more.bind[0]", 0, 0, "", "the address is in use")])
    assert source.rejected(taken)
    config = source.judged()
    source.accepted()
    assert (port_of(config), list(config.listeners)) == (2, ["edge"])
    assert [str(each) for each in source.refused] == ["listeners/more: listeners.more.bind[0]: the address is in use"]
    # Not for ever: another version of it is tried, and so is this one once somebody asks.
    assert not source.rejected(taken)
    source.changed()
    assert list(source.judged().listeners) == ["edge", "more"]


def test_what_could_not_be_applied_is_forgotten_once_it_is_deleted(source: Judged) -> None:
    listener = Offer.of("listeners/more", 3, {"bind": "127.0.0.1:9", "routes": [{"to": "web"}]})
    source.offer({"listeners/more": listener})
    source.judged()
    assert source.rejected(ConfigError([Problem("listeners.more.bind[0]", 0, 0, "", "the address is in use")]))
    source.judged()
    source.accepted()
    assert len(source.refused) == 1
    source.offer({})
    source.judged()
    source.accepted()
    assert source.refused == []


def test_what_was_good_stands_in_for_what_cannot_be_applied(source: Judged) -> None:
    source.offer(web(2, 1))
    source.judged()
    source.accepted()
    source.offer(web(3, 2))
    source.judged()
    assert source.rejected(ConfigError([Problem("clusters.web", 0, 0, "", "no")]))
    assert port_of(source.judged()) == 2
    source.offer(web(4, 3))
    assert port_of(source.judged()) == 4


def test_what_the_files_did_is_not_blamed_on_the_bus(source: Judged) -> None:
    source.offer(web(2))
    source.judged()
    assert not source.rejected(ConfigError([Problem("listeners.edge.bind[0]", 0, 0, "", "taken")]))


def test_a_start_goes_by_what_the_store_had_and_what_was_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Judged(tmp_path / "mesh.yaml", monkeypatch)
    made.offer({"clusters/web": Offer.of("clusters/web", 2, {"endpoints": 5})})
    files = Files(made.path, ((made.path, FILE),))
    assert port_of(made.first(files, web(3))) == 3


def test_a_start_drops_what_does_not_fit_the_files_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Judged(tmp_path / "mesh.yaml", monkeypatch)
    route = {"routes/shop": Offer.of("routes/shop", 2, [{"to": "gone"}])}
    made.offer(route)
    files = Files(made.path, ((made.path, FILE),))
    assert list(made.first(files, route).routes) == []
    made.accepted()
    assert made.good == {}


def test_a_start_with_wrong_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Judged(tmp_path / "mesh.yaml", monkeypatch)
    made.offer(web(2))
    with pytest.raises(ConfigError, match=r"mesh\.yaml:1:"):
        made.first(Files(made.path, ((made.path, FILE.replace("bind", "bond")),)), {})

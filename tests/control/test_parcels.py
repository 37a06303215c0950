"""A configuration in parcels is the same afterwards, and what was there before is the same object."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from twisted_mesh.control.load import load_text
from twisted_mesh.control.parcels import FEW, Unpacking, framed, is_same, pack, pack_problems, unframed
from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.model import Config


def config(routes: int = 3, clusters: int = 2, timeout: str = "1s", changed: Any = ()) -> Config:
    table = [f"{{to: c0, timeout: {'9s' if at in changed else timeout}}}" for at in range(routes)]
    named = [f"c{at}: {{endpoints: [127.0.0.1:{at + 1}]}}" for at in range(clusters)]
    return load_text(
        f"node: {{id: me}}\nroutes: {{t: [{', '.join(table)}], empty: []}}\nclusters: {{{', '.join(named)}}}\n"
        "listeners: {edge: {bind: 127.0.0.1:1, routes: t}}"
    )


def sent(given: Config, before: Optional[Config] = None) -> Config:
    unpacking = Unpacking(unframed(b"".join(framed(pack(given, "more")))), before)
    for _ in unpacking.steps():
        continue
    assert unpacking.more == "more"
    return unpacking.config


@pytest.mark.parametrize(("routes", "clusters"), [(0, 1), (1, 1), (FEW, 1), (FEW * 3 + 1, FEW * 2 + 5)])
def test_it_is_the_same_afterwards(routes: int, clusters: int) -> None:
    given = config(routes, clusters)
    assert sent(given) == given
    assert sent(given, config(5, 5, "3s")) == given


def test_what_is_equal_is_the_object_that_was_there() -> None:
    before = config(FEW * 2 + 3, 4)
    after = sent(config(FEW * 2 + 3, 6), before)
    assert after.routes["t"] is before.routes["t"]
    assert after.routes["empty"] is before.routes["empty"]
    assert all(after.clusters[name] is each for name, each in before.clusters.items())
    assert is_same(sent(config(FEW * 2 + 3, 4), before), before)


def test_of_a_table_that_has_changed_the_other_routes_stay() -> None:
    before = config(FEW * 2)
    after = sent(config(FEW * 2, changed=[FEW + 1]), before)
    assert [at for at, each in enumerate(after.routes["t"]) if each is not before.routes["t"][at]] == [FEW + 1]


@pytest.mark.parametrize(("one", "two"), [(3, 5), (5, 3), (FEW, FEW * 2), (FEW * 2, FEW), (0, 3), (3, 0)])
def test_a_table_that_became_longer_or_shorter(one: int, two: int) -> None:
    before = config(one)
    after = sent(config(two), before)
    assert after == config(two)
    assert not is_same(after, before)


def test_parcels_are_small() -> None:
    """Of many small tables, or one large, none holds much more than `FEW`."""
    tables = ", ".join(f"t{at}: [{', '.join(['{to: c}'] * 20)}]" for at in range(20))
    large = load_text(f"routes: {{{tables}}}\nclusters: {{c: {{endpoints: [127.0.0.1:1]}}}}")
    assert len(list(pack(large))) >= 10
    assert len(list(pack(config(FEW * 10)))) >= 10


def test_problems_come_instead() -> None:
    problem = Problem("mesh.yaml", 1, 2, "mesh", "no")
    unpacking = Unpacking(unframed(b"".join(framed(pack_problems([problem])))), None)
    with pytest.raises(ConfigError) as caught:
        next(unpacking.steps())
    assert caught.value.problems == [problem]


@pytest.mark.parametrize("data", [b"", b"\0\0\0\5abc", b"\0\0"])
def test_what_is_cut_is_seen(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut|empty"):
        unframed(data)


def test_configurations_are_compared_in_all_they_say() -> None:
    one = config()
    assert is_same(one, config())
    assert not is_same(one, None)
    for other in (config(4), config(3, 3), config(timeout="2s"), one.model_copy(update={"mesh": "other"})):
        assert not is_same(one, other)
        assert not is_same(other, one)

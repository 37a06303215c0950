"""What is read from files for the bus, and how it is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from twisted_mesh.bus.resource import Draft, Resource, decode, encode
from twisted_mesh.cli.proposal import check, read
from twisted_mesh.errors import ConfigError

Write = Callable[..., str]


def stored(**values: object) -> dict[str, Resource]:
    """Resources of the bus: ``clusters_web=...``."""
    names = {key.replace("_", "/", 1): value for key, value in values.items()}
    return {name: decode(name, b'{"version":7}\n' + encode(name, Draft(value))) for name, value in names.items()}


def problems(*paths: str, there: dict[str, Resource] | None = None, base: str | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check(read(paths, {}), there or {}, base, {})
    return [str(each) for each in caught.value.problems]


def test_variables_stay_what_they_are_and_are_checked_where_they_are_known(write: Write) -> None:
    name = write("clusters: {web: {endpoints: ['${HOST}:80'], connect_timeout: '${T}'}}")
    [found] = read([name], {"HOST": "127.0.0.1", "T": "2s"})
    assert found.draft.value == {"endpoints": ["${HOST}:80"], "connect_timeout": "${T}"}
    assert check([found], {}, None, {}) == []
    assert problems(name)[0].startswith("a.yaml:1:")


def test_a_file_that_only_sidecars_have(write: Write) -> None:
    name = write("routes: {shop: [{reply: {body: 'file:/no/such/file'}}]}")
    [found] = read([name], {})
    assert found.draft.value == [{"reply": {"body": "file:/no/such/file"}}]
    assert check([found], {}, None, {}) == []


def test_a_name_twice(write: Write) -> None:
    one = write("clusters: {web: {endpoints: [127.0.0.1:80]}}", "one.yaml")
    two = write("clusters: {web: {endpoints: [127.0.0.1:81]}}", "two.yaml")
    assert problems(one, two) == ["two.yaml:1:12: clusters.web: given twice; first at one.yaml:1:12"]


def test_nothing_at_all(write: Write, tmp_path: Path) -> None:
    assert problems(write("")) == ["a.yaml: nothing to apply: expected listeners, routes, clusters, groups"]
    assert problems(write("clusters: 5"))[0] == "a.yaml:1:11: clusters: expected names with values, got 5"
    assert "not YAML" in problems(write("a: ["))[0] or "a.yaml:1" in problems("a.yaml")[0]


def test_what_is_on_the_bus_counts(write: Write) -> None:
    there = stored(clusters_web={"endpoints": ["127.0.0.1:80"]})
    [shop] = read([write("routes: {shop: [{to: web}]}")], {})
    assert check([shop], there, None, {}) == []
    assert check([shop], {}, None, {}) == [
        "routes.shop[0].to: there is no clusters/web on the bus: the sidecars need it in their own files"
    ]


def test_what_was_wrong_before_is_not_the_fault_of_what_is_new(write: Write) -> None:
    there = stored(clusters_bad={"endpoints": 5}, routes_old=[{"to": "gone"}])
    [web] = read([write("clusters: {web: {endpoints: [127.0.0.1:80]}}")], {})
    assert check([web], there, None, {}) == []


def test_listeners_that_take_each_other_s_address(write: Write) -> None:
    one = "edge: {protocol: http, bind: 127.0.0.1:80, routes: [{reply: {}}]}"
    there = stored(listeners_other={"protocol": "http", "bind": "127.0.0.1:80", "routes": [{"reply": {}}]})
    assert "127.0.0.1:80" in problems(write(f"listeners: {{{one}}}"), there=there)[0]


def test_variants_are_checked_one_by_one(write: Write) -> None:
    text = "clusters: {web@a: {endpoints: [127.0.0.1:80]}, web@b: {endpoints: [x]}}"
    [problem] = problems(write(text))
    assert problem.startswith("a.yaml:1:")
    assert 'clusters."web@b".endpoints' in problem


def test_a_group_that_is_nowhere(write: Write) -> None:
    """Groups are on the bus only, so that nobody has one which is not there."""
    text = "select: {group: edges}\nclusters: {web: {endpoints: [127.0.0.1:80]}}"
    assert problems(write(text)) == ["a.yaml:1:9: select: group: there is no resource groups/edges; groups are: none"]
    there = stored(groups_edge={"service": "edge"})
    assert "groups are: edge" in problems(write(text), there=there)[0]
    both = problems(write(text.replace("endpoints", "points")), there=there)
    assert ["groups/edges" in both[0], "clusters.web.points" in both[1]] == [True, True]
    assert check(read([write(text)], {}), stored(groups_edges={"service": "edge"}), None, {}) == []
    assert check(read([write(text + "\ngroups: {edges: {service: edge}}")], {}), {}, None, {}) == []

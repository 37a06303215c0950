"""The file as the base, and the bus over it: what is wrong takes down nothing else."""

from __future__ import annotations

from typing import Any, Mapping, Optional

import pytest

from twisted_mesh.control.load import Files, tree_of
from twisted_mesh.control.merge import Merged, merge
from twisted_mesh.control.offers import Offer
from twisted_mesh.errors import ConfigError

BASE = """
listeners: {edge: {bind: 127.0.0.1:8080, routes: shop}}
routes: {shop: [{to: web}]}
clusters: {web: {endpoints: [127.0.0.1:1]}}
"""
WEB = {"endpoints": ["127.0.0.1:2"]}


def tree(text: str = BASE) -> Any:
    return tree_of(Files("mesh.yaml", (("mesh.yaml", text),)), {})


def offers(version: int = 5, **resources: Any) -> dict[str, Any]:
    """Resources by name; ``clusters__web`` is clusters/web."""
    named = {key.replace("__", "/"): value for key, value in resources.items()}
    return {name: Offer.of(name, version, value) for name, value in named.items()}


def merged(given: Mapping[str, Any], good: Optional[Mapping[str, Any]] = None, base: str = BASE) -> Merged:
    return merge(tree(base), given, good)


def said(result: Merged) -> list[str]:
    return [str(each) for each in result.refused]


def address(result: Merged, name: str = "web") -> str:
    return str(result.config.clusters[name].endpoints[0].address)


def test_without_a_bus_it_is_the_file() -> None:
    result = merged({})
    assert (address(result), result.in_force, result.refused) == ("127.0.0.1:1", {}, [])


def test_a_resource_of_the_bus_stands_for_the_whole_of_the_one_in_the_file() -> None:
    base = BASE.replace("[127.0.0.1:1]", "[127.0.0.1:1], balance: random")
    result = merged(offers(clusters__web=WEB), base=base)
    assert address(result) == "127.0.0.1:2"
    assert result.config.clusters["web"].balance == "least_request"
    assert list(result.in_force) == ["clusters/web"]


def test_a_resource_may_be_on_the_bus_only() -> None:
    result = merged(
        offers(clusters__web=WEB, routes__shop=[{"to": "web"}]),
        base="listeners: {edge: {bind: 127.0.0.1:1, routes: shop}}",
    )
    assert address(result) == "127.0.0.1:2"
    assert result.refused == []


def test_deleting_a_resource_brings_the_files_back() -> None:
    before = merged(offers(clusters__web=WEB))
    after = merged({}, before.in_force)
    assert address(after) == "127.0.0.1:1"
    assert (after.in_force, after.refused) == ({}, [])


def test_a_bad_resource_is_refused_and_the_others_apply() -> None:
    result = merged(offers(clusters__web={"endpoints": ["127.0.0.1"]}, clusters__new=WEB))
    assert address(result) == "127.0.0.1:1"
    assert address(result, "new") == "127.0.0.1:2"
    assert len(said(result)) == 1
    assert said(result)[0].startswith("clusters/web: bus version 5: clusters.web.endpoints[0]")
    assert list(result.in_force) == ["clusters/new"]


def test_all_that_is_wrong_in_a_resource_is_said() -> None:
    (refused,) = merged(offers(clusters__web={"endpoints": ["nowhere"], "balance": "best", "x": 1})).refused
    assert [each.path for each in refused.problems] == [
        "clusters.web.balance",
        "clusters.web.endpoints[0]",
        "clusters.web.x",
    ]


def test_what_was_in_force_stays_in_the_place_of_a_bad_one() -> None:
    before = merged(offers(clusters__web=WEB))
    result = merged(offers(6, clusters__web={"endpoints": []}), before.in_force)
    assert address(result) == "127.0.0.1:2"
    assert result.in_force["clusters/web"].version == 5
    assert [(each.name, each.version) for each in result.refused] == [("clusters/web", 6)]


def test_a_route_to_a_refused_cluster_is_refused_too_if_nothing_else_has_that_name() -> None:
    bad = offers(clusters__new={"endpoints": []}, routes__shop=[{"to": "new"}])
    result = merged(bad)
    assert result.config.routes["shop"][0].to[0].cluster == "web"
    assert [each.name for each in result.refused] == ["clusters/new", "routes/shop"]
    assert 'there is no cluster "new"' in said(result)[1]


def test_a_route_to_a_missing_cluster_is_refused() -> None:
    result = merged(offers(routes__shop=[{"to": "wbe"}]))
    assert said(result) == [
        'routes/shop: bus version 5: routes.shop[0].to: there is no cluster "wbe"; did you mean "web"?'
    ]


def test_a_cluster_that_a_route_still_needs_is_not_deleted() -> None:
    before = merged(offers(clusters__new=WEB, routes__shop=[{"to": "new"}]))
    result = merged(offers(routes__shop=[{"to": "new"}]), before.in_force)
    assert address(result, "new") == "127.0.0.1:2"
    assert [(each.name, each.deleted, each.version) for each in result.refused] == [("clusters/new", True, 5)]
    assert "deleted, but still needed: bus version 5: routes.shop[0].to" in said(result)[0]
    # Nor where the file needs it.
    base = BASE.replace("[{to: web}]", "[{to: new}]")
    before = merged(offers(clusters__new=WEB), base=base)
    result = merged({}, before.in_force, base)
    assert [each.name for each in result.refused] == ["clusters/new"]
    assert list(result.in_force) == ["clusters/new"]


def test_a_deletion_that_is_refused_holds_up_no_other_change() -> None:
    before = merged(offers(clusters__new=WEB, clusters__other=WEB, routes__shop=[{"to": "new"}]))
    other = {"endpoints": ["127.0.0.1:9"]}
    result = merged({**offers(routes__shop=[{"to": "new"}]), **offers(7, clusters__other=other)}, before.in_force)
    assert address(result, "other") == "127.0.0.1:9"
    assert [each.name for each in result.refused] == ["clusters/new"]


def test_route_and_cluster_deleted_together_go_together() -> None:
    before = merged(offers(clusters__new=WEB, routes__shop=[{"to": "new"}]))
    result = merged({}, before.in_force)
    assert "new" not in result.config.clusters
    assert result.refused == []


def test_of_two_listeners_with_one_address_the_new_one_is_refused() -> None:
    listener = {"bind": "127.0.0.1:8080", "routes": "shop"}
    result = merged(offers(listeners__a=listener))
    assert [each.name for each in result.refused] == ["listeners/a"]
    assert "127.0.0.1:8080 is taken by listeners.edge.bind" in said(result)[0]


def test_a_listener_that_no_longer_fits_its_routes_is_refused_and_not_the_routes() -> None:
    base = BASE.replace("[{to: web}]", "[{match: {path: /x}, to: web}]")
    result = merged(offers(listeners__edge={"bind": "127.0.0.1:8080", "protocol": "tcp", "routes": "shop"}), base=base)
    assert [each.name for each in result.refused] == ["listeners/edge"]
    assert "means nothing for tcp listeners" in said(result)[0]
    assert result.config.listeners["edge"].protocol == "http"


def test_an_unknown_kind_is_refused() -> None:
    result = merged(offers(filters__web={}, admin=WEB))
    assert [str(each) for each in result.refused] == [
        'admin: bus version 5: admin: expected listeners/NAME, routes/NAME or clusters/NAME, got "admin"',
        "filters/web: bus version 5: filters/web: expected listeners/NAME, routes/NAME or clusters/NAME, "
        'got "filters/web"',
    ]


@pytest.mark.parametrize("name", ["clusters/a b", "clusters/" + "x" * 64, 'clusters/"', "clusters/a.b.c d"])
def test_a_name_that_is_none_is_refused_alone(name: str) -> None:
    result = merge(tree(), {name: Offer.of(name, 3, WEB), **offers(clusters__good=WEB)})
    assert [each.name for each in result.refused] == [name]
    assert list(result.in_force) == ["clusters/good"]


def test_a_name_with_points_is_told_from_a_path() -> None:
    result = merge(tree(), {"clusters/a.b": Offer.of("clusters/a.b", 3, {})})
    assert [each.name for each in result.refused] == ["clusters/a.b"]


@pytest.mark.parametrize("value", [None, 5, "text", [], [1], {"endpoints": None}, {"endpoints": [[]]}, {"": {}}])
def test_values_of_any_shape_are_refused_and_nothing_else(value: Any) -> None:
    result = merged(offers(clusters__web=value, clusters__good=WEB))
    assert [each.name for each in result.refused] == ["clusters/web"]
    assert address(result) == "127.0.0.1:1"
    assert address(result, "good") == "127.0.0.1:2"


def test_a_wrong_file_refuses_the_whole() -> None:
    with pytest.raises(ConfigError) as caught:
        merged(offers(clusters__web=WEB), base=BASE.replace("to: web", "to: wbe"))
    assert [each.file for each in caught.value.problems] == ["mesh.yaml"]


def test_what_the_bus_makes_right_is_not_wrong() -> None:
    result = merged(offers(clusters__wbe=WEB), base=BASE.replace("to: web", "to: wbe"))
    assert result.refused == []


def test_a_change_of_the_file_that_does_not_fit_what_is_in_force_refuses_the_file() -> None:
    before = merged(offers(routes__shop=[{"to": "web"}]))
    with pytest.raises(ConfigError) as caught:
        merged(offers(routes__shop=[{"to": "web"}]), before.in_force, BASE.replace("clusters: {web", "clusters: {new"))
    assert 'there is no cluster "web"' in str(caught.value)


def test_a_start_with_what_does_not_fit_the_file_any_more_drops_it() -> None:
    result = merged(offers(routes__shop=[{"to": "gone"}], clusters__new=WEB))
    assert [each.name for each in result.refused] == ["routes/shop"]
    assert list(result.in_force) == ["clusters/new"]


def test_texts_of_the_bus_may_stand_for_something_else() -> None:
    def substitute(text: str) -> str:
        return text.replace("${PORT}", "77")

    result = merge(tree(), offers(clusters__web={"endpoints": ["127.0.0.1:${PORT}"]}), None, substitute)
    assert address(result) == "127.0.0.1:77"


def test_many_bad_ones_take_a_few_rounds_only() -> None:
    """Not one for each: a merge of a thousand would take minutes."""
    many = {f"clusters/c{at}": Offer.of(f"clusters/c{at}", 3, {"endpoints": [at]}) for at in range(300)}
    many.update({f"routes/r{at}": Offer.of(f"routes/r{at}", 3, [{"to": f"c{at}"}]) for at in range(300)})
    result = merge(tree(), many)
    assert len(result.refused) == 600
    assert result.in_force == {}


def test_what_is_no_json_is_refused_alone() -> None:
    result = merge(tree(), {"clusters/web": Offer("clusters/web", 3, b"{"), **offers(clusters__good=WEB)})
    assert said(result)[0].startswith("clusters/web: bus version 3: clusters.web: not JSON: ")
    assert list(result.in_force) == ["clusters/good"]


@pytest.mark.parametrize("secret", ["hunter2", "x" * 100, 'with "quotes" and more'])
def test_reasons_do_not_show_what_the_bus_only_refers_to(secret: str) -> None:
    def substitute(text: str) -> str:
        return text.replace("${SECRET}", secret)

    value = {"endpoints": ["${SECRET}"], "balance": "${SECRET}"}
    (refused,) = merge(tree(), offers(clusters__web=value), None, substitute).refused
    assert secret[:7] not in refused.reason
    assert refused.reason.count("${SECRET}") >= 2

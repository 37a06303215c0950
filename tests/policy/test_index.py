"""An index finds exactly what looking at one match after the other does."""

from __future__ import annotations

from typing import Optional

from hypothesis import given
from hypothesis import strategies as st

from twisted_mesh.call import Call
from twisted_mesh.headers import Headers
from twisted_mesh.policy.index import Index
from twisted_mesh.policy.match import Conditions, compile_match
from twisted_mesh.policy.values import compile_check

RED = {"x-team": compile_check(exact="red")}

segments = st.sampled_from(["a", "b", "ab", ""])
paths = st.lists(segments, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
labels = st.lists(st.sampled_from(["a", "b", "shop"]), min_size=1, max_size=4).map(".".join)
patterns = st.one_of(labels, labels.map("*.{}".format), labels.map("{}.*".format), st.just("*"))
templates = st.lists(st.sampled_from(["a", "b", "*", "{x}"]), min_size=1, max_size=3, unique=True).flatmap(
    lambda parts: st.sampled_from(["/" + "/".join(parts), "/" + "/".join([*parts, "**"])])
)
where = st.one_of(
    st.fixed_dictionaries({}),
    st.fixed_dictionaries({"exact": paths}),
    st.fixed_dictionaries({"prefix": paths}),
    st.fixed_dictionaries({"template": templates}),
    st.just({"regex": "/a.*"}),
)
matches = st.builds(
    lambda hosts, path, more: Conditions(hosts, **path, **more),
    st.lists(patterns, max_size=3),
    where,
    st.sampled_from([{}, {}, {"methods": ["POST"]}, {"headers": RED}]),
)
calls = st.builds(
    lambda host, path, method, team: (host, path, method, team),
    st.one_of(labels, st.sampled_from(["", ".a", "a.", "a..b", "."])),
    st.one_of(paths, st.just("*")),
    st.sampled_from(["GET", "POST"]),
    st.sampled_from(["red", "blue"]),
)


def a_call(host: str, path: str = "/", method: str = "GET", team: str = "") -> Call:
    call = Call("http", "edge", method, Headers.of([("x-team", team)]))
    call.host, call.resource = host, path
    return call


def indexed(*conditions: Conditions) -> Index[int]:
    index: Index[int] = Index()
    for at, each in enumerate(conditions):
        index.add(each, compile_match(each), at)
    return index


def first(conditions: list[Conditions], call: Call) -> Optional[int]:
    for at, each in enumerate(conditions):
        test = compile_match(each)
        if test is None or test(call):
            return at
    return None


@given(st.lists(matches, max_size=12), st.lists(calls, min_size=1, max_size=8))
def test_it_agrees_with_looking_at_each(table: list[Conditions], asked: list[tuple[str, str, str, str]]) -> None:
    index = indexed(*table)
    assert len(index) == len(table)
    for each in asked:
        assert index.find(a_call(*each)) == first(table, a_call(*each))


keys = st.lists(st.sampled_from(["a", "b", ":", "user"]), max_size=4).map("".join)
key_conditions = st.one_of(
    st.fixed_dictionaries({"key_exact": keys}),
    st.fixed_dictionaries({"key_prefix": keys.filter(bool)}),
    st.fixed_dictionaries({"key_glob": keys.map("{}*".format)}),
    st.fixed_dictionaries({"key_glob": keys.map("?{}".format)}),
    st.just({"key_regex": "a.*"}),
    st.just({}),
)
key_matches = st.builds(
    lambda key, more: Conditions(**key, **more), key_conditions, st.sampled_from([{}, {}, {"methods": ["GET"]}])
)


@given(st.lists(key_matches, max_size=12), st.lists(st.tuples(keys, st.sampled_from(["GET", "SET"])), max_size=8))
def test_keys_are_found_as_by_looking_at_each(table: list[Conditions], asked: list[tuple[str, str]]) -> None:
    index = indexed(*table)
    for key, command in asked:
        call = a_call("", key, command)
        assert index.find(call) == first(table, call)


def test_the_order_decides_and_not_how_exact_a_match_is() -> None:
    index = indexed(
        Conditions(prefix="/api", methods=["POST"]),
        Conditions(),
        Conditions(["a.example"], exact="/api/x"),
    )
    assert index.find(a_call("a.example", "/api/x")) == 1
    assert index.find(a_call("a.example", "/api/x", "POST")) == 0


def test_what_matches_nothing_finds_nothing() -> None:
    assert indexed().find(a_call("a", "/")) is None
    assert indexed(Conditions(["b"])).find(a_call("a", "/")) is None


def test_only_those_that_may_match_are_tried() -> None:
    tried: list[int] = []
    index: Index[int] = Index()
    for at in range(1000):
        index.add(
            Conditions([f"h{at % 10}.example"], prefix=f"/p{at}/x"), lambda call, at=at: bool(tried.append(at)), at
        )
    assert index.find(a_call("h7.example", "/p77/x/y/z")) is None
    assert tried == [77]


def test_a_long_path_or_host_costs_no_more_lookups_than_what_is_known_is_long() -> None:
    index = indexed(Conditions(["*.a"], prefix="/a/b"), Conditions(["b.*"], prefix="/a"))
    assert index.find(a_call("x." * 10_000 + "a", "/a/b" + "/c" * 10_000)) == 0
    assert index.find(a_call("b" + ".x" * 10_000, "/a" + "/c" * 10_000)) == 1

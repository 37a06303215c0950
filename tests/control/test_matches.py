"""From the configuration to conditions."""

from __future__ import annotations

from twisted_mesh.control.matches import conditions, is_for, path_change
from twisted_mesh.model import Match, Redirect, Rewrite
from twisted_mesh.policy.match import Conditions


def test_a_route_is_for_the_listeners_that_it_names() -> None:
    assert is_for("edge", Match())
    assert is_for("edge", Match(listener=("side", "edge")))
    assert not is_for("edge", Match(listener=("side",)))


def test_every_condition_is_taken_over() -> None:
    written = {
        "host": "a.example",
        "path": {"template": "/{id}"},
        "method": "GET",
        "source": "10.0.0.0/8",
        "identity": "web",
        "percent": 5,
    }
    assert conditions(Match.model_validate(written)) == Conditions(
        ("a.example",),
        template="/{id}",
        methods=("GET",),
        sources=("10.0.0.0/8",),
        identities=("web",),
        percent=5,
    )
    for form in ("exact", "prefix", "regex"):
        assert getattr(conditions(Match.model_validate({"path": {form: "/a"}})), form) == "/a"


def test_keys_and_ports_are_taken_over() -> None:
    made = conditions(Match.model_validate({"key": "a", "port": [1, 2]}))
    assert (made.key_exact, made.ports) == ("a", (1, 2))
    for form, name in {"prefix": "key_prefix", "pattern": "key_glob", "regex": "key_regex"}.items():
        assert getattr(conditions(Match.model_validate({"key": {form: "a"}})), name) == "a"


def test_commands_are_operations() -> None:
    made = conditions(Match.model_validate({"command": ["get", "config|get", "@pubsub"]}))
    assert made.methods[:2] == ("GET", "CONFIG|GET")
    assert "PUBLISH" in made.methods


def test_values_become_checks() -> None:
    written = {"x": "1", "y": {"present": False}, "z": {"prefix": "a", "invert": True}}
    made = conditions(Match.model_validate({"header": written, "query": written, "cookie": written}))
    for checks in (made.headers, made.query, made.cookies):
        assert [checks["x"](["1"]), checks["x"](["2"])] == [True, False]
        assert [checks["y"]([]), checks["y"](["2"])] == [True, False]
        assert [checks["z"](["b"]), checks["z"](["ab"])] == [True, False]


def test_paths_are_changed_by_what_matched() -> None:
    by_prefix = Match.model_validate({"path": {"prefix": "/a"}})
    change = path_change(by_prefix, Rewrite(prefix="/b"))
    assert change is not None
    assert change("/a/c") == "/b/c"
    by_template = Match.model_validate({"path": {"template": "/a/{id}"}})
    change = path_change(by_template, Redirect(path="/b/{id}"))
    assert change is not None
    assert change("/a/c") == "/b/c"
    assert path_change(Match(), Rewrite(host="a")) is None
    change = path_change(Match(), Redirect(path="/b"))
    assert change is not None
    assert change("/a") == "/b"

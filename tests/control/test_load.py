"""Files become a configuration, or all their problems."""

from __future__ import annotations

import json
import os
import pickle
import threading
from pathlib import Path
from typing import Any, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted_mesh.control import load as load_module
from twisted_mesh.control.load import load, load_text
from twisted_mesh.errors import ConfigError
from twisted_mesh.model import Address, Config

GOOD = """\
listeners:
  edge:
    bind: 127.0.0.1:8080
    filters: [{headers: {request: {set: {x-edge: 1.10}}}}]
    routes: shop
routes:
  shop: [{to: web}]
clusters:
  web: {endpoints: ["127.0.0.1:9001"]}
"""


def problems_of(text: str, env: dict[str, str] | None = None) -> list[str]:
    """Return the problems of a text, each as the line that users see."""
    with pytest.raises(ConfigError) as caught:
        load_text(text, env, "f.yaml")
    return str(caught.value).split("\n")


def write(directory: Path, **files: str) -> str:
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text)
    return str(directory)


def test_a_file_becomes_a_configuration(tmp_path: Path) -> None:
    path = os.path.join(write(tmp_path, mesh=GOOD), "mesh.yaml")
    config = load(path, {})
    assert isinstance(config, Config)
    assert config.listeners["edge"].bind[0].address == Address("127.0.0.1", 8080)
    assert config.listeners["edge"].filters[0].settings.request.set == {"x-edge": "1.10"}
    assert config == load_text(GOOD)


def test_nothing_of_the_reading_stays_in_it() -> None:
    pickled = pickle.dumps(load_text(GOOD))
    assert b"control" not in pickled
    assert b"scalars" not in pickled


def test_an_empty_file_is_a_configuration() -> None:
    assert load_text("") == Config()


def test_a_configuration_reads_back_from_its_json() -> None:
    config = load_text(GOOD)
    assert load_text(json.dumps(config.model_dump(mode="json"))) == config


EVERYTHING_WRONG = """\
mesh: my mesh
nod: {id: x}
admin: 8080
tracing: {}
listeners:
  edge:
    bind: [":80", {address: "127.0.0.1:1", backlok: 5}]
    routes:
      - {to: api, timeout: 2 sec}
      - {to: {web: 0}}
      - {match: {path: {prefx: /}}, to: web}
      - {}
      - {to: web, retry: {attempts: "3", when: [5xx, 600]}, upgrade: on}
    filters:
      - headers: {request: {set: {content-length: 1}}, mode: shadoww}
      - headrs
      - {a: 1, b: 2}
    tls: {}
  db: {protocol: tcp, bind: 127.0.0.1:5433, routes: shopp}
routes:
  shop: [{to: nope}]
clusters:
  web: {endpoints: [], tls: {}, conect_timeout: 1s}
  api: {service: api}
"""


def test_all_problems_are_said_at_once_with_their_places() -> None:
    assert problems_of(EVERYTHING_WRONG) == [
        "f.yaml:1:7: mesh: expected a name of at most 63 letters, digits, '_', '-' and '.', got \"my mesh\"",
        'f.yaml:2:1: nod: unknown name; did you mean "node"?',
        "f.yaml:3:8: admin: expected an address such as 127.0.0.1:8080, [::1]:8080 or unix:/path, got 8080",
        "f.yaml:4:1: tracing: known, not supported yet",
        "f.yaml:7:12: listeners.edge.bind[0]: expected a host before the port, such as 127.0.0.1:80; to listen on every address 0.0.0.0:80",
        'f.yaml:7:44: listeners.edge.bind[1].backlok: unknown name; did you mean "backlog"?',
        'f.yaml:9:28: listeners.edge.routes[0].timeout: expected a duration such as 250ms, 2s or 1m, got "2 sec"',
        "f.yaml:10:20: listeners.edge.routes[1].to.web: expected at least 1, got 0",
        'f.yaml:11:25: listeners.edge.routes[2].match.path.prefx: unknown name; did you mean "prefix"?',
        "f.yaml:12:9: listeners.edge.routes[3]: expected exactly one of to, redirect and reply",
        'f.yaml:13:37: listeners.edge.routes[4].retry.attempts: expected a whole number, got "3"',
        "f.yaml:13:54: listeners.edge.routes[4].retry.when[1]: expected connect_failed, reset, 5xx, gateway_error, "
        "retriable_4xx, loading, busy, cluster_down, master_down, try_again, read_only or a status from 400 to 599, got 600",
        'f.yaml:13:70: listeners.edge.routes[4].upgrade: expected true or false, got "on"',
        "f.yaml:15:35: listeners.edge.filters[0].headers.request.set.content-length: content-length belongs to the "
        "connection and to the framing of messages; it cannot be set",
        "f.yaml:15:62: listeners.edge.filters[0].headers.mode: expected enforce, shadow or off, "
        'got "shadoww"; did you mean "shadow"?',
        'f.yaml:16:9: listeners.edge.filters[1]: there is no filter "headrs"; did you mean "headers"?',
        "f.yaml:17:9: listeners.edge.filters[2]: expected a filter: NAME, or NAME: {SETTING: VALUE}, got a mapping",
        "f.yaml:18:10: listeners.edge.tls: certificates is missing",
        'f.yaml:19:53: listeners.db.routes: there is no routing table "shopp"; did you mean "shop"?',
        'f.yaml:21:15: routes.shop[0].to: there is no cluster "nope"; known are api, web',
        "f.yaml:23:24: clusters.web.tls: known, not supported yet",
        'f.yaml:23:33: clusters.web.conect_timeout: unknown name; did you mean "connect_timeout"?',
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1]", "f.yaml:1:1: expected names with values at the top, got a list"),
        ("hello", 'f.yaml:1:1: expected names with values at the top, got "hello"'),
        ("a: b: c", "f.yaml:1:5: not YAML: mapping values are not allowed in this context"),
        ("mesh: ${NO}", "f.yaml:1:7: mesh: the environment has no variable NO"),
        ("mesh: file:/no/such", 'f.yaml:1:7: mesh: cannot read "/no/such": No such file or directory'),
        ("listeners: 5", "f.yaml:1:12: listeners: expected a mapping, got 5"),
        ("listeners:", "f.yaml:1:11: listeners: expected a mapping, got nothing"),
        ("listeners: [a]", "f.yaml:1:12: listeners: expected a mapping, got a list"),
        ("routes: {a: {to: b}}", "f.yaml:1:13: routes.a: expected a list, got a mapping"),
        ("routes: {a: [5]}", "f.yaml:1:14: routes.a[0]: expected a mapping, got 5"),
        ("drain: {limit: }", "f.yaml:1:16: drain.limit: expected a duration such as 250ms, 2s or 1m, got nothing"),
        ("admin:", "f.yaml:1:7: admin: expected a value or the word off, got nothing"),
        (
            "clusters: {a b: {endpoints: [x:1]}}",
            'f.yaml:1:12: clusters."a b": expected a name of at most 63 letters, digits, '
            "'_', '-' and '.', got \"a b\"",
        ),
        ("mesh: a\nmesh: b", "f.yaml:2:1: mesh: given twice; first at f.yaml:1:1"),
    ],
)
def test_one_mistake_is_one_problem(text: str, problem: str) -> None:
    assert problems_of(text, {}) == [problem]


def test_a_mistake_does_not_hide_what_is_wrong_elsewhere() -> None:
    """References are checked although the cluster, and one of the routes, are refused."""
    text = GOOD.replace("[{to: web}]", "[{to: web, timeout: 5}, {to: wbe}]").replace("endpoints:", "endpoint:")
    assert problems_of(text) == [
        "f.yaml:7:29: routes.shop[0].timeout: expected a duration with a unit, such as 5s or 5ms, got 5",
        'f.yaml:7:38: routes.shop[1].to: there is no cluster "wbe"; did you mean "web"?',
        'f.yaml:9:9: clusters.web.endpoint: unknown name; did you mean "endpoints"?',
    ]


def test_an_alias_has_its_problems_in_both_places() -> None:
    text = "clusters:\n  a: &x {endpoints: [b]}\n  c: *x\n"
    assert [each.split(": ")[:2] for each in problems_of(text)] == [
        ["f.yaml:2:22", "clusters.a.endpoints[0]"],
        ["f.yaml:2:22", "clusters.c.endpoints[0]"],
    ]


# --- the environment and files


def test_values_come_from_the_environment_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "name.txt").write_text("shop\n")
    text = "mesh: file:name.txt\nnode: {id: '${ID}', zone: '$${ID}'}\nlisteners:\n  a:\n    bind: ${BIND}\n"
    text += "    max_connections: ${MAX}\n    routes: []\n"
    path = os.path.join(write(tmp_path, mesh=text), "mesh.yaml")
    config = load(path, {"ID": "7", "BIND": "127.0.0.1:80", "MAX": "5"})
    assert (config.mesh, config.node.id, config.node.zone) == ("shop", "7", "${ID}")
    assert config.listeners["a"].max_connections == 5


def test_without_an_environment_texts_stay_as_they_are() -> None:
    assert load_text("node: {id: '${ID}', zone: file:x}").node.id == "${ID}"


# --- files and directories


def test_the_files_of_a_directory_are_one_configuration(tmp_path: Path) -> None:
    top, _, rest = GOOD.partition("routes:\n  shop")
    write(tmp_path, b_edge=top, a_rest="routes:\n  shop" + rest, c_empty="")
    (tmp_path / "notes.txt").write_text("not: [yaml")
    (tmp_path / ".hidden.yaml").write_text("not: [yaml")
    (tmp_path / "d.yml").write_text("clusters:\n  more: {endpoints: ['b:1']}\n")
    config = load(str(tmp_path), {})
    assert (list(config.listeners), list(config.routes), list(config.clusters)) == (["edge"], ["shop"], ["web", "more"])


def test_a_name_may_be_given_in_one_file_only(tmp_path: Path) -> None:
    one = "mesh: a\nclusters:\n  web: {endpoints: ['a:1']}\n  api: {endpoints: ['a:1']}\n"
    path = write(tmp_path, one=one, two="mesh: a\nclusters:\n  web: {endpoints: ['b:1']}\n", three="clusters: 5")
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert str(caught.value).replace(path + os.sep, "").split("\n") == [
        f"three.yaml:1:1: clusters: given twice; first at {path}/one.yaml:2:1".replace(path + os.sep, ""),
        f"two.yaml:1:1: mesh: given twice; first at {path}/one.yaml:1:1".replace(path + os.sep, ""),
        f"two.yaml:3:3: clusters.web: given twice; first at {path}/one.yaml:3:3".replace(path + os.sep, ""),
    ]


def test_with_a_broken_file_nothing_is_said_to_be_missing(tmp_path: Path) -> None:
    """What the others refer to may stand in it."""
    path = write(tmp_path, one="listeners:\n  a: {bind: 'a:1', routes: shop}\n  b: {}\n", two="routes: [")
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    lines = str(caught.value).replace(path + os.sep, "").split("\n")
    assert lines[:2] == ["one.yaml:3:6: listeners.b: bind is missing", "one.yaml:3:6: listeners.b: routes is missing"]
    assert lines[2].startswith("two.yaml:2:1: not YAML: ")
    assert len(lines) == 3


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    def line(path: Path) -> str:
        with pytest.raises(ConfigError) as caught:
            load(str(path), {})
        return str(caught.value)

    missing, empty, bad, big = tmp_path / "no.yaml", tmp_path / "empty", tmp_path / "bad.yaml", tmp_path / "big.yaml"
    assert line(missing) == f"{missing}: cannot be read: No such file or directory"
    empty.mkdir()
    assert line(empty) == f"{empty}: no file here ends with .yaml or .yml"
    bad.write_bytes(b"mesh: a\nnode: \xff\n")
    assert line(bad) == f"{bad}:2:7: not UTF-8"
    big.write_bytes(b"#" * (load_module.MAX_FILE + 1))
    assert line(big) == f"{big}: cannot be read: larger than 4,194,304 bytes"
    assert line(Path("/dev/zero")) == "/dev/zero: cannot be read: larger than 4,194,304 bytes"
    assert line(tmp_path / "a\0b") == f"{tmp_path}/a\0b: cannot be read: not a path: embedded null byte"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "closed.yaml").write_text("")
    (tmp_path / "closed.yaml").chmod(0)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        load(str(tmp_path / "closed.yaml"), {})


def test_a_pipe_is_read_where_it_is_named_and_not_in_a_directory(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="cannot be read: not a regular file"):
        load(str(tmp_path), {})
    writer = threading.Thread(target=pipe.write_text, args=(GOOD,))
    writer.start()
    assert list(load(str(pipe), {}).listeners) == ["edge"]
    writer.join()


def test_a_byte_order_mark_is_no_character(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_bytes(b"\xef\xbb\xbfmesh: shop\n")
    assert load(str(tmp_path), {}).mesh == "shop"


def test_a_broken_plugin_is_named(filters_directory: Path) -> None:
    (filters_directory / "user_bad.py").write_text("import no_such_module\n")
    text = GOOD.replace("headers: {request: {set: {x-edge: 1.10}}}", "user_bad: {}")
    assert problems_of(text) == [
        "f.yaml:4:15: listeners.edge.filters[0]: the filter user_bad cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_module'"
    ]


def test_a_filter_that_is_off_needs_no_settings(filter_plugin: Callable[..., str]) -> None:
    filter_plugin("user_deep", "depth: int")
    headers = "headers: {request: {set: {x-edge: 1.10}}}"
    config = load_text(GOOD.replace(headers, "user_deep: {mode: off}"))
    assert [each.mode for each in config.listeners["edge"].filters][:1] == ["off"]
    assert problems_of(GOOD.replace(headers, "user_deep: {mode: off, depht: 1}")) != []
    assert "no filter" in problems_of(GOOD.replace(headers, "user_depe: {mode: off}"))[0]


def test_problems_of_settings_stand_where_they_are(filter_plugin: Callable[..., str]) -> None:
    filter_plugin("user_deep", "inner: Inner\nmany: tuple[Inner, ...] = ()\nname: str = ''")
    text = GOOD.replace(
        "headers: {request: {set: {x-edge: 1.10}}}",
        "user_deep: {many: [{depth: 1}, {dept: x}], name: [], percent: 101}",
    )
    assert problems_of(text) == [
        "f.yaml:4:27: listeners.edge.filters[0].user_deep: inner is missing",
        "f.yaml:4:47: listeners.edge.filters[0].user_deep.many[1]: depth is missing",
        'f.yaml:4:48: listeners.edge.filters[0].user_deep.many[1].dept: unknown name; did you mean "depth"?',
        "f.yaml:4:65: listeners.edge.filters[0].user_deep.name: expected text, got a list",
        "f.yaml:4:78: listeners.edge.filters[0].user_deep.percent: expected at most 100, got 101",
    ]


# --- anything at all


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_configuration_or_a_config_error(text: str) -> None:
    try_to_load(text)


NAMES = st.sampled_from(
    [
        *("mesh", "node", "admin", "listeners", "routes", "clusters", "edge", "shop", "web", "bind", "to", "match"),
        *("filters", "headers", "request", "set", "mode", "percent", "retry", "when", "endpoints", "health_check"),
        *("http", "tcp", "protocol", "path", "prefix", "redirect", "reply", "timeout", "name", "<<", "[key]", ""),
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(
        ["off", "web", "127.0.0.1:80", "unix:/a", "5s", "1KiB", "/", "GET", "headers", "tcp", "${X}", "file:x"]
    ),
    st.text(max_size=5),
)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=30
)


@settings(deadline=None)
@given(st.dictionaries(NAMES, TREES))
def test_any_tree_is_a_configuration_or_a_config_error(tree: dict[str, Any]) -> None:
    try_to_load(json.dumps(tree))


GOOD_TREE: dict[str, Any] = json.loads(json.dumps(load_text(GOOD).model_dump(mode="json")))


@settings(deadline=None)
@given(st.data())
def test_any_change_to_a_good_tree_is_a_configuration_or_a_config_error(data: st.DataObject) -> None:
    tree = json.loads(json.dumps(GOOD_TREE))
    inside: Any = tree
    for _ in range(data.draw(st.integers(0, 8))):
        keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(inside[key], (dict, list)):
            inside[key] = data.draw(TREES)
            break
        inside = inside[key]
    else:
        if isinstance(inside, dict):
            inside[data.draw(NAMES)] = data.draw(TREES)
    try_to_load(json.dumps(tree))


def try_to_load(text: str) -> None:
    """Load a text; a refusal names a place in one line for each problem."""
    try:
        config = load_text(text, {}, "f.yaml")
    except ConfigError as error:
        assert error.problems
        assert error.problems == sorted(error.problems)
        assert all(each.line >= 1 and each.column >= 1 and each.message for each in error.problems)
    else:
        assert load_text(json.dumps(config.model_dump(mode="json")), None) == config

"""Settings of filters are read by the filters' own dataclasses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Callable

import pytest
from pydantic_core import ValidationError

from twisted_mesh.control.found import find_filter
from twisted_mesh.control.settings import SettingsReader
from twisted_mesh.control.yamlfile import read_yaml

FIELDS = """name: str
size: Size = 1
wait: Duration = 1.0
rate: Rate = Rate(1, 1.0)
flag: bool = False
inner: Optional[Inner] = None
many: tuple[Inner, ...] = ()
free: Any = None
either: Union[int, str] = 0
header: dict[str, str] = field(default_factory=dict)
"""


def settings(text: str) -> Any:
    return SettingsReader(find_filter)("user_settings", read_yaml(text, "f.yaml", []))


@pytest.fixture(autouse=True)
def plugin(filter_plugin: Callable[..., str]) -> None:
    filter_plugin("user_settings", FIELDS)


def test_values_are_what_the_fields_want() -> None:
    made = settings(
        "{name: 1.10, size: 1KiB, wait: 2s, rate: 5/m, flag: true, inner: {depth: 2}, many: [{depth: 3}], "
        "free: {a: [1, true]}, either: 5, header: {x: on, y: true}}"
    )
    assert repr(made) == (
        "Settings(name='1.10', size=1024, wait=2.0, rate=Rate(count=5, per=60.0), flag=True, inner=Inner(depth=2), "
        "many=(Inner(depth=3),), free={'a': [1, True]}, either=5, header={'x': 'on', 'y': 'true'})"
    )
    assert [type(each) for each in (made.name, made.size, made.either, made.free["a"][0])] == [str, int, int, int]


def test_every_problem_is_said_in_our_words() -> None:
    with pytest.raises(ValidationError) as caught:
        settings("{size: x, wait: 2, flag: on, inner: {dept: 2}, many: {}, either: [], siez: 1}")
    assert {each["loc"]: each["msg"] for each in caught.value.errors()} == {
        ("user_settings", "name"): "name is missing",
        ("user_settings", "size"): 'expected a size such as 64KiB, 10MB or a number of bytes, got "x"',
        ("user_settings", "wait"): "expected a duration with a unit, such as 2s or 2ms, got 2",
        ("user_settings", "flag"): 'expected true or false, got "on"',
        ("user_settings", "inner", "depth"): "depth is missing",
        ("user_settings", "inner", "dept"): 'unknown name; did you mean "depth"?',
        ("user_settings", "many"): "expected a list, got a mapping",
        ("user_settings", "either"): "expected a whole number or text, got a list",
        ("user_settings", "siez"): 'unknown name; did you mean "size"?',
    }


def test_an_unknown_filter_is_said() -> None:
    with pytest.raises(ValueError, match="there is no filter"):
        SettingsReader(find_filter)("nobody", {})


def test_the_plugins_in_use_are_known_and_each_is_looked_for_once() -> None:
    asked: list[str] = []

    def find(name: str) -> Any:
        asked.append(name)
        return find_filter(name)

    reader = SettingsReader(find)
    reader("headers", {})
    reader("headers", {})
    assert asked == ["headers"]
    assert list(reader.plugins) == ["headers"]


def test_what_a_filter_refuses_itself_is_said(filter_plugin: Callable[..., str]) -> None:
    refuse = ["low: int = 0", "def __post_init__(self) -> None:", "    if self.low > 5:"]
    refuse += ["        raise ValueError('low is high')", "    [][self.low]"]
    filter_plugin("user_picky", "\n".join(refuse))
    reader = SettingsReader(find_filter)
    with pytest.raises(ValidationError, match="low is high"):
        reader("user_picky", {"low": 6})
    with pytest.raises(ValueError, match="refused its settings: IndexError: list index out of range"):
        reader("user_picky", {"low": 1})


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (int, "its settings are no dataclass"),
        (None, "its settings are no dataclass"),
    ],
)
def test_a_plugin_without_a_dataclass_is_broken(kind: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SettingsReader(lambda name: SimpleNamespace(settings=kind))("x", {})  # type: ignore[arg-type,return-value]


def test_names_that_the_chain_uses_are_not_for_settings(filter_plugin: Callable[..., str]) -> None:
    filter_plugin("user_mode", "mode: str = 'x'")
    with pytest.raises(ValueError, match="a setting is called mode, which the chain itself uses"):
        SettingsReader(find_filter)("user_mode", {})


def test_fields_that_pydantic_does_not_know_are_broken(filter_plugin: Callable[..., str]) -> None:
    filter_plugin("user_odd", "what: Nothing = None")
    with pytest.raises(ValueError, match="the filter user_odd is broken: "):
        SettingsReader(find_filter)("user_odd", {})

"""Filters are found by name, wherever they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Callable

import pytest

import twisted_mesh.filters
from twisted_mesh.control.found import all_filters, find_filter
from twisted_mesh.interfaces import IFilterPlugin


def test_a_built_in_filter_is_found() -> None:
    plugin = find_filter("headers")
    assert IFilterPlugin.providedBy(plugin)
    assert plugin.name == "headers"


def test_a_filter_of_a_user_is_found_by_its_file(filter_plugin: Callable[..., str]) -> None:
    assert find_filter(filter_plugin("user_one")).name == "user_one"


def test_a_filter_may_have_another_name_than_its_file(filter_plugin: Callable[..., str]) -> None:
    filter_plugin("user-two", module="user_two_module")
    assert find_filter("user-two").name == "user-two"
    assert {"user-two", "headers"} <= set(all_filters())


@pytest.mark.parametrize("name", ["headrs", "os.path", "../x", "", "answers", "__init__", "a b"])
def test_an_unknown_name_answers_with_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match=f'there is no filter "{name}"; (did you mean "headers"|known are .*headers)'):
        find_filter(name)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("x = ", "SyntaxError: invalid syntax"),
        ("raise SystemExit('bye')", "SystemExit: bye"),
    ],
)
def test_a_module_that_cannot_be_imported_says_why(filters_directory: Path, text: str, why: str) -> None:
    (filters_directory / "user_broken.py").write_text(text)
    with pytest.raises(ValueError, match=f"the filter user_broken cannot be imported: {why}"):
        find_filter("user_broken")
    with pytest.raises(
        ValueError, match=f'no filter "other".*twisted_mesh.filters.user_broken cannot be imported: {why}'
    ):
        find_filter("other")
    assert "headers" in all_filters()


def test_the_package_reaches_over_all_of_sys_path() -> None:
    """``plugins/`` is on the path of the tests, and holds filters."""
    assert any(each.endswith("plugins/twisted_mesh/filters") for each in twisted_mesh.filters.__path__)


PLUGIN = """
from zope.interface import implementer
from twisted_mesh.interfaces import IFilterPlugin
@implementer(IFilterPlugin)
class Plugin:
    {body}
plugin = {made}
"""


@pytest.mark.parametrize(
    ("body", "made", "why"),
    [
        ("pass", "Plugin()", "the filter user_half is broken: its plugin has no name"),
        (
            "name = 'user_half'",
            "Plugin",
            "; twisted_mesh.filters.user_half has no plugin: an object that provides IFilterPlugin",
        ),
        ("name = 'user_half'", "Plugin()", "is broken: its plugin has no settings, no protocols and no build"),
        (
            "name = 'user_half'; settings = int; protocols = 'http'; build = print",
            "Plugin()",
            """is broken: protocols is a tuple of "http", "tcp" and "redis" or some of them, got 'http'""",
        ),
        (
            "name = 'user_half'; settings = int; protocols = ('http', 'smtp'); build = print",
            "Plugin()",
            """is broken: protocols is a tuple of "http", "tcp" and "redis" or some of them, got ('http', 'smtp')""",
        ),
    ],
)
def test_a_plugin_that_is_not_all_there_says_what_is_missing(
    filters_directory: Path, body: str, made: str, why: str
) -> None:
    (filters_directory / "user_half.py").write_text(PLUGIN.format(body=body, made=made))
    with pytest.raises(ValueError, match=re.escape(why)):
        find_filter("user_half")
    assert "user_half" not in all_filters()
    assert "headers" in all_filters()

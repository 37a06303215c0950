"""The filters that can be found: built-in ones, and those in any other ``twisted_mesh/filters`` on ``sys.path``."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Iterator

import twisted_mesh.filters
from twisted_mesh.control.nearest import did_you_mean_or_list
from twisted_mesh.interfaces import IFilterPlugin

_PACKAGE = twisted_mesh.filters.__name__


def find_filter(name: str) -> IFilterPlugin:
    """Return the plugin of the filter called `name`.

    The module of that name is looked at first, so that a start imports only what it uses; then all others.

    :raises ValueError: there is none; says which there are, and which modules could not be imported.
    """
    broken: dict[str, str] = {}
    if name.isidentifier() and name in _module_names():
        for plugin in _plugins(name, broken):
            if plugin.name == name:
                return plugin
        if name in broken:
            raise ValueError(f"the filter {name} cannot be imported: {broken[name]}")
    known = {plugin.name: plugin for module in _module_names() for plugin in _plugins(module, broken)}
    if name in known:
        return known[name]
    failures = "".join(f"; {_PACKAGE}.{module} cannot be imported: {why}" for module, why in broken.items())
    raise ValueError(f'there is no filter "{name}"{did_you_mean_or_list(name, known)}{failures}')


def all_filters() -> dict[str, IFilterPlugin]:
    """Return every filter that can be imported, by name."""
    return {plugin.name: plugin for module in _module_names() for plugin in _plugins(module, {})}


def _module_names() -> list[str]:
    return sorted(each.name for each in pkgutil.iter_modules(twisted_mesh.filters.__path__))


def _plugins(module_name: str, broken: dict[str, str]) -> Iterator[IFilterPlugin]:
    """Yield the plugins of a module; an import that fails is noted in `broken`."""
    try:
        module: ModuleType = importlib.import_module(f"{_PACKAGE}.{module_name}")
    except (Exception, SystemExit) as error:
        broken[module_name] = " ".join(f"{type(error).__name__}: {error}".split())
        return
    for each in vars(module).values():
        if IFilterPlugin.providedBy(each):
            yield each

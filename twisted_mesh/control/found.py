"""The filters that can be found: built-in ones, and those in any other ``twisted_mesh/filters`` on ``sys.path``."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any, Iterator

import twisted_mesh.filters
from twisted_mesh.control.nearest import did_you_mean_or_list
from twisted_mesh.interfaces import IFilterPlugin

_PACKAGE = twisted_mesh.filters.__name__
_PROTOCOLS = ("http", "tcp", "redis")


def find_filter(name: str) -> IFilterPlugin:
    """Return the plugin of the filter called `name`.

    The module of that name is looked at first, so that a start imports only what it uses; then all others.

    :raises ValueError: there is none, or it is not all there; says which there are, and which modules are broken.
    """
    broken: dict[str, str] = {}
    if name.isidentifier() and name in _module_names():
        for plugin in _plugins(name, broken):
            if plugin.name == name:
                return plugin
        if name in broken:
            raise ValueError(f"the filter {name} {broken[name]}")
    known = {plugin.name: plugin for module in _module_names() for plugin in _plugins(module, broken)}
    if name in known:
        return known[name]
    if name in _module_names() and name not in broken and not any(_plugins(name, {})):
        broken[name] = "has no plugin: an object that provides IFilterPlugin"
    failures = "".join(f"; {_PACKAGE}.{module} {why}" for module, why in broken.items())
    raise ValueError(f'there is no filter "{name}"{did_you_mean_or_list(name, known)}{failures}')


def all_filters() -> dict[str, IFilterPlugin]:
    """Return every filter that can be imported, by name."""
    return {plugin.name: plugin for module in _module_names() for plugin in _plugins(module, {})}


def _module_names() -> list[str]:
    return sorted(each.name for each in pkgutil.iter_modules(twisted_mesh.filters.__path__))


def _plugins(module_name: str, broken: dict[str, str]) -> Iterator[IFilterPlugin]:
    """Yield the plugins of a module; what is wrong with one, or with the import, is noted in `broken`."""
    try:
        module: ModuleType = importlib.import_module(f"{_PACKAGE}.{module_name}")
    except (Exception, SystemExit) as error:
        broken[module_name] = "cannot be imported: " + " ".join(f"{type(error).__name__}: {error}".split())
        return
    for each in vars(module).values():
        if IFilterPlugin.providedBy(each):
            wrong = _wrong_with(each)
            if wrong:
                broken[module_name] = f"is broken: {wrong}"
            else:
                yield each


def _wrong_with(plugin: Any) -> str:
    """Return what a plugin lacks of what every one has; "" if nothing."""
    missing = [f"no {each}" for each in ("name", "settings", "protocols", "build") if not hasattr(plugin, each)]
    if missing:
        return "its plugin has " + " and ".join([", ".join(missing[:-1])] * (len(missing) > 1) + missing[-1:])
    protocols = plugin.protocols
    if isinstance(protocols, (tuple, list, set, frozenset)) and protocols and set(protocols) <= set(_PROTOCOLS):
        return ""
    return f'protocols is a tuple of "http", "tcp" and "redis" or some of them, got {protocols!r}'

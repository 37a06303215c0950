"""The interfaces are what a user's filter is checked against."""

from __future__ import annotations

from typing import Any, Awaitable

from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted_mesh.call import Call, Reply
from twisted_mesh.interfaces import Env, Filter, IFilterPlugin, IPlugin, Proceed


class Nothing:
    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        return proceed(call)


@implementer(IPlugin, IFilterPlugin)
class NothingPlugin:
    name = "nothing"
    settings = type(None)
    protocols = ("http", "tcp")

    def build(self, settings: Any, env: Env) -> Filter:
        return Nothing()


def test_a_plugin_of_the_documented_shape_provides_the_interface() -> None:
    assert verifyObject(IFilterPlugin, NothingPlugin())


def test_a_plugin_is_a_twisted_plugin_as_well() -> None:
    assert IFilterPlugin.extends(IPlugin)

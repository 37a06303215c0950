"""Header fields of requests and answers: taken out, set, added.

Everything is worked out when the filter is built; a call costs one pass over its fields, and one that only changes
requests is no coroutine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Awaitable, Mapping

from twisted.plugin import IPlugin
from zope.interface import implementer

from twisted_mesh.call import Call, Reply
from twisted_mesh.headers import Headers
from twisted_mesh.headers import field as header_field
from twisted_mesh.interfaces import Env, Filter, IFilterPlugin, Proceed
from twisted_mesh.model.fields import HeaderValue, SetHeaderName


@dataclass(frozen=True)
class Changes:
    """What to do to the fields of one message: `remove`, then `set` in the place of all of that name, then `add`.

    A name that frames messages or belongs to one connection (``content-length``, ``connection``) is refused: the mesh
    writes those itself, and a filter that did would make two readings of one message possible.
    """

    set: Mapping[SetHeaderName, HeaderValue] = field(default_factory=dict)
    add: Mapping[SetHeaderName, HeaderValue] = field(default_factory=dict)
    remove: tuple[SetHeaderName, ...] = ()


@dataclass(frozen=True)
class HeadersSettings:
    """Changes to requests on their way in and to replies on their way out.

    Replies are those that come through the chain, redirects and fixed replies of routes too; the answer that an
    adapter makes of an error is not among them.
    """

    request: Changes = field(default_factory=Changes)
    response: Changes = field(default_factory=Changes)


class _Edit:
    """Changes, ready to be made."""

    __slots__ = ("_drop", "_extra")

    def __init__(self, changes: Changes) -> None:
        self._drop = frozenset(each.lower().encode() for each in (*changes.remove, *changes.set))
        self._extra = [header_field(*each) for each in (*changes.set.items(), *changes.add.items())]

    def __bool__(self) -> bool:
        return bool(self._drop or self._extra)

    def make(self, headers: Headers) -> None:
        drop = self._drop
        kept = [each for each in headers.fields if each[0] not in drop] if drop else headers.fields
        headers.fields = kept + self._extra


class RequestHeaders:
    """Changes requests only."""

    __slots__ = ("_edit",)

    def __init__(self, edit: _Edit) -> None:
        self._edit = edit

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        self._edit.make(call.headers)
        return proceed(call)


class BothHeaders:
    """Changes requests and answers."""

    __slots__ = ("_request", "_response")

    def __init__(self, request: _Edit, response: _Edit) -> None:
        self._request = request
        self._response = response

    async def __call__(self, call: Call, proceed: Proceed) -> Reply:
        if self._request:
            self._request.make(call.headers)
        reply = await proceed(call)
        self._response.make(reply.headers)
        return reply


@implementer(IPlugin, IFilterPlugin)
class _Plugin:
    name = "headers"
    settings = HeadersSettings
    protocols = ("http",)

    def build(self, settings: Any, env: Env) -> Filter:
        request, response = _Edit(settings.request), _Edit(settings.response)
        return BothHeaders(request, response) if response else RequestHeaders(request)


plugin = _Plugin()

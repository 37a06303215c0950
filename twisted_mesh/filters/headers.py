"""Header fields of requests and answers: taken out, set, added.

What does not depend on the call is worked out when the filter is built; a call costs one pass over its fields, and a
filter that only changes requests is no coroutine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Awaitable, Mapping

from pydantic import AfterValidator
from twisted.plugin import IPlugin
from zope.interface import implementer

from twisted_mesh.call import Call, Reply
from twisted_mesh.filters.call_text import Text, call_text
from twisted_mesh.headers import Field, Headers
from twisted_mesh.headers import field as header_field
from twisted_mesh.interfaces import Env, Explanation, Filter, IFilterPlugin, Proceed
from twisted_mesh.model.fields import SetHeaderName, check_header_value


def _check(value: str) -> str:
    call_text(check_header_value(value))
    return value


Value = Annotated[str, AfterValidator(_check)]
"""The value of a header field, in which values of the call may stand."""


@dataclass(frozen=True)
class Changes:
    """What to do to the fields of one message: `remove`, then `set` in the place of all of that name, then `add`.

    Values may hold what is known of the call, by the names of the access log's format: ``%CLIENT%``, ``%ROUTE%``,
    ``%HEADER(x-team)%`` (of the request), and ``%SEGMENT(id)%`` of the template that the route matched; ``%%`` is the
    character itself.  A value of which nothing is left sets no field.

    A name that frames messages or belongs to one connection (``content-length``, ``connection``) is refused: the mesh
    writes those itself, and a filter that did would make two readings of one message possible.
    """

    set: Mapping[SetHeaderName, Value] = field(default_factory=dict)
    add: Mapping[SetHeaderName, Value] = field(default_factory=dict)
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

    __slots__ = ("_drop", "_extra", "_made")

    def __init__(self, changes: Changes) -> None:
        self._drop = frozenset(each.lower().encode() for each in (*changes.remove, *changes.set))
        self._extra: list[Field] = []
        self._made: list[tuple[str, Text]] = []
        for name, value in (*changes.set.items(), *changes.add.items()):
            text = call_text(value)
            if isinstance(text, str):
                self._extra.append(header_field(name, text))
            else:
                self._made.append((name, text))

    def __bool__(self) -> bool:
        return bool(self._drop or self._extra or self._made)

    def make(self, headers: Headers, call: Call) -> None:
        drop = self._drop
        # Before anything is taken out: a value may be that of a field which it replaces.
        made = [(name, text(call)) for name, text in self._made] if self._made else ()
        kept = [each for each in headers.fields if each[0] not in drop] if drop else headers.fields
        headers.fields = kept + self._extra
        if made:
            headers.fields += [header_field(*each) for each in made if each[1]]


class RequestHeaders:
    """Changes requests only."""

    __slots__ = ("_edit",)

    def __init__(self, edit: _Edit) -> None:
        self._edit = edit

    def explain(self, call: Call) -> Explanation:
        """Change the imaginary call, too."""
        return _explained(self._edit, call, "")

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Reply]:
        self._edit.make(call.headers, call)
        return proceed(call)


class BothHeaders:
    """Changes requests and answers."""

    __slots__ = ("_changes", "_request", "_response")

    def __init__(self, request: _Edit, response: _Edit) -> None:
        self._request = request
        self._changes = bool(request)
        self._response = response

    def explain(self, call: Call) -> Explanation:
        """Change the imaginary call, too."""
        return _explained(self._request, call, "changes the reply")

    async def __call__(self, call: Call, proceed: Proceed) -> Reply:
        if self._changes:
            self._request.make(call.headers, call)
        reply = await proceed(call)
        self._response.make(reply.headers, call)
        return reply


def _explained(edit: _Edit, call: Call, reply: str) -> Explanation:
    before = call.headers.fields
    edit.make(call.headers, call)
    gone = {each[0].decode("latin-1") for each in before if each not in call.headers.fields}
    new = {each[0].decode("latin-1") for each in call.headers.fields if each not in before}
    what = [f"sets {', '.join(sorted(new))}"] if new else []
    what += [f"takes out {', '.join(sorted(gone - new))}"] if gone - new else []
    what += [reply] if reply else []
    return Explanation("change" if what else "pass", "; ".join(what))


@implementer(IPlugin, IFilterPlugin)
class _Plugin:
    name = "headers"
    settings = HeadersSettings
    protocols = ("http",)

    def build(self, settings: Any, env: Env) -> Filter:
        request, response = _Edit(settings.request), _Edit(settings.response)
        return BothHeaders(request, response) if response else RequestHeaders(request)


plugin = _Plugin()

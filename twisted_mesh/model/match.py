"""Which calls a route is for."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Mapping, Optional

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from twisted_mesh.model.base import ONE_OR_LIST, Model, Name, Short
from twisted_mesh.model.fields import HeaderName, is_token
from twisted_mesh.model.text import expected
from twisted_mesh.policy.glob import Glob
from twisted_mesh.policy.networks import UNIX, compile_networks
from twisted_mesh.policy.pattern import Pattern
from twisted_mesh.policy.template import Template

_HOST = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|[a-z0-9_-]+(\.[a-z0-9_-]+)*\.\*|\[[0-9a-f:.]+\]")
_COOKIE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)


def _host_pattern(text: str) -> str:
    host = text.lower()
    if _HOST.fullmatch(host) is None:
        raise expected("a host without a port, such as shop.example, *.shop.example, shop.* or *", text)
    return host


def _method(text: str) -> str:
    if not is_token(text) or text != text.upper():
        raise expected("a method in capital letters, such as GET", text)
    return text


def _path(text: str) -> str:
    if not text.startswith("/") or any(each <= " " or each in "?#" for each in text):
        raise expected("a path that starts with / and holds no spaces, ? or #", text)
    return text


def _template(text: str) -> str:
    Template(_path(text))
    return text


def _regex(text: str) -> str:
    Pattern(text)
    return text


def _key_pattern(text: str) -> str:
    Glob(text)
    return text


def check_command(text: str) -> str:
    """Return the name in the table of a command, or a class of commands.

    :raises ValueError: it is neither.
    """
    # Only where it is asked for: a start without it need not read the table.
    from twisted_mesh.codec.commands import CATEGORIES, find

    if text.startswith("@"):
        if text[1:].lower() not in ("all", *CATEGORIES):
            raise expected(f"one of Redis's classes of commands, @all, @{', @'.join(CATEGORIES)}", text)
        return text.lower()
    name, _, sub = text.upper().partition("|")
    found = find(name.encode(), sub.encode() or None)
    if found is None or (sub and found.name == name):
        raise expected("a command of Redis, such as GET or CONFIG|GET, or a class, such as @write", text)
    return found.name


def _cookie(text: str) -> str:
    if _COOKIE.fullmatch(text) is None:
        raise expected("the name of a cookie", text)
    return text


def _network(text: str) -> str:
    try:
        compile_networks([text])
    except ValueError:
        wanted = f"an address or a network without bits beyond its size, such as 10.0.0.0/8 or ::1, or {UNIX}"
        raise expected(wanted, text) from None
    return text


Path = Annotated[str, AfterValidator(_path)]
Methods = Annotated[tuple[Annotated[str, AfterValidator(_method)], ...], ONE_OR_LIST]
Hosts = Annotated[tuple[Annotated[str, AfterValidator(_host_pattern)], ...], ONE_OR_LIST]
Regex = Annotated[str, AfterValidator(_regex)]


def _just_one(model: Model, *names: str) -> None:
    """Refuse a model in which not exactly one of these fields says something."""
    if sum(getattr(model, name) is not None for name in names) != 1:
        raise ValueError(f"expected exactly one of {', '.join(names[:-1])} and {names[-1]}")


class PathMatch(Model):
    """Which paths match; the query is no part of a path."""

    exact: Optional[Path] = Field(default=None, description="This path and no other.")
    prefix: Optional[Path] = Field(
        default=None, description="This path and what lies below it: /api matches /api and /api/x, and not /apis."
    )
    template: Optional[Annotated[str, AfterValidator(_template)]] = Field(
        default=None,
        description="A path with named segments, /users/{id}/orders; * is any one segment, and at the end ** or "
        "{name=**} whatever is left.",
    )
    regex: Optional[Regex] = Field(
        default=None,
        description="An expression for the whole path; without back-references and looking around, so that its time is "
        "bounded.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        _just_one(self, "exact", "prefix", "template", "regex")
        return self


def _path_match(value: Any) -> Any:
    return {"exact": value} if isinstance(value, str) else value


class TextMatch(Model):
    """Which values match; where a name stands several times, one of its values has to."""

    exact: Optional[str] = Field(default=None, description="This value.")
    prefix: Optional[Annotated[str, Field(min_length=1)]] = Field(default=None, description="Values that begin so.")
    suffix: Optional[Annotated[str, Field(min_length=1)]] = Field(default=None, description="Values that end so.")
    contains: Optional[Annotated[str, Field(min_length=1)]] = Field(
        default=None, description="Values that hold this somewhere."
    )
    regex: Optional[Regex] = Field(default=None, description="An expression for the whole value, as for paths.")
    present: Optional[bool] = Field(default=None, description="true: any value; false: it must not be there.")
    invert: bool = Field(
        default=False, description="Match what would not match without this; also where there is no value."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        _just_one(self, "exact", "prefix", "suffix", "contains", "regex", "present")
        return self


class KeyMatch(Model):
    """Which keys of Redis commands match; each key of a command that can be divided has a route of its own."""

    exact: Optional[str] = Field(default=None, description="This key.")
    prefix: Optional[Annotated[str, Field(min_length=1)]] = Field(default=None, description="Keys that begin so.")
    pattern: Optional[Annotated[str, AfterValidator(_key_pattern)]] = Field(
        default=None, description="A pattern as KEYS takes it, for the whole key: user:*:cart, with ? and [a-z], too."
    )
    regex: Optional[Regex] = Field(default=None, description="An expression for the whole key, as for paths.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        _just_one(self, "exact", "prefix", "pattern", "regex")
        return self


def _text_match(value: Any) -> Any:
    return value if isinstance(value, (Mapping, Model)) else {"exact": value}


Value = Annotated[TextMatch, Short(_text_match, {"type": "string"})]


class Match(Model):
    """Which calls a route is for: those for which everything that is given here holds."""

    later: ClassVar[frozenset[str]] = frozenset(["sni"])

    host: Hosts = Field(default=(), description='Hosts, exact or as "*.suffix" or "prefix.*"; any if not given.')
    path: Annotated[Optional[PathMatch], Short(_path_match, {"type": "string", "pattern": "^/"})] = Field(
        default=None, description="A path, exact; or {prefix: /path}, {template: /a/{name}} or {regex: ...}."
    )
    method: Methods = Field(default=(), description="Methods; any if not given.")
    header: dict[HeaderName, Value] = Field(
        default={}, description="Headers that must be there: with exactly these values, or as a TextMatch says."
    )
    query: dict[str, Value] = Field(
        default={}, description="Query parameters, escapes resolved: exactly these values, or as a TextMatch says."
    )
    cookie: dict[Annotated[str, AfterValidator(_cookie)], Value] = Field(
        default={}, description="Cookies: exactly these values, or as a TextMatch says."
    )
    key: Annotated[Optional[KeyMatch], Short(_path_match, {"type": "string"})] = Field(
        default=None,
        description="A key of Redis, exact; or {prefix: session:}, {pattern: user:*:cart} or {regex: ...}.",
    )
    command: Annotated[tuple[Annotated[str, AfterValidator(check_command)], ...], ONE_OR_LIST] = Field(
        default=(),
        description="Redis commands, such as GET or CONFIG|GET, or classes of them as Redis's ACL has them, such as "
        "@read, @write or @dangerous; any if not given.",
    )
    port: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], ONE_OR_LIST] = Field(
        default=(), description="The ports that the client has connected to one of, for TCP and Redis."
    )
    source: Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], ONE_OR_LIST] = Field(
        default=(),
        description="Networks or addresses that the client is in one of, by the trusted hops; unix for unix sockets.",
    )
    identity: Annotated[tuple[str, ...], ONE_OR_LIST] = Field(
        default=(),
        description="Who the caller is, by certificate, as a user of Redis, or as a filter has found out: "
        "one of these.",
    )
    listener: Annotated[tuple[Name, ...], ONE_OR_LIST] = Field(
        default=(), description="The listeners that the route is for, of those that use its table; all if not given."
    )
    percent: float = Field(
        default=100.0, ge=0, le=100, description="The percentage of the calls that match; the others go on."
    )

"""What the configuration store holds, as values.

A *record* is the text of one resource at Redis: a line of JSON that says who changed it and when, a line of JSON with
its selector (empty for everyone), and its value as JSON.  Scripts write the first line and never look into the value.
"""

from __future__ import annotations

import math
import re
from typing import Any, Mapping, NamedTuple, Optional

import msgspec

from twisted_mesh.policy.selector import CONDITIONS, NO_GROUPS, Groups, Selector, parse_group, parse_selector

KINDS = ("listeners", "routes", "clusters", "groups")
# Of one record: decoding one takes a few milliseconds then, between which calls wait.
MAX_RECORD = 1 << 20
# Of what is written at once.
MAX_CHANGES = 10_000
# What a canary has of a resource stands under its name with this before it.
TRIAL = "~"

_NAME = re.compile(r"(?P<kind>[a-z]+)/(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]{0,62})(@[A-Za-z0-9_][A-Za-z0-9_.-]{0,62})?")


class Header(msgspec.Struct, frozen=True):
    """Who changed a resource; the first line of its record.  `at` is milliseconds since the epoch, by Redis."""

    version: int
    author: str = ""
    reason: str = ""
    at: float = 0.0


class Resource(msgspec.Struct, frozen=True, gc=False):
    """One resource of the store.

    :ivar name: ``clusters/web``, or ``clusters/web@edge`` for one of several for different sidecars.
    :ivar version: the version of the store in which it last changed.
    :ivar at: when, in seconds since the epoch by the clock of Redis.
    :ivar select: its selector as it was written; None for everyone.
    :ivar record: the record as Redis has it.
    :ivar problem: why the record cannot be used, if somebody wrote it past `ConfigStore`; else empty.
    """

    name: str
    version: int
    author: str
    reason: str
    at: float
    select: Any
    record: bytes
    problem: str = ""

    @property
    def body(self) -> bytes:
        """The value as JSON text; two bodies that are equal have equal values."""
        return self.record.split(b"\n", 2)[2] if not self.problem else b""

    @property
    def value(self) -> Any:
        """The value, decoded anew each time.

        :raises ValueError: it has a `problem`.
        """
        if self.problem:
            raise ValueError(self.problem)
        return msgspec.json.decode(self.body)

    @property
    def base(self) -> str:
        """The name in a sidecar's configuration: ``clusters/web`` of ``clusters/web@edge``."""
        return base_name(self.name)


class Draft(NamedTuple):
    """What is to be written for one resource: its plain value (as YAML or JSON give it), and for whom."""

    value: Any
    select: Optional[Mapping[str, Any]] = None


class Canary(msgspec.Struct, frozen=True):
    """A version that only a share of the sidecars has.

    :ivar share: the share that was asked for, above 0 and below 1.
    :ivar bound: sidecars whose `policy.canary.place` is at or below this belong.
    :ivar margin: how much greater than the others' the canaries' share of failed calls may be; 0.05 is 5 in 100.
    :ivar least_calls: nothing is judged by fewer calls of the canaries.
    :ivar settle: seconds from its begin until calls are judged, so that all have reported some.
    :ivar names: the resources that it changes.
    """

    version: int
    share: float
    bound: float
    margin: float
    least_calls: int
    author: str = ""
    reason: str = ""
    at: float = 0.0
    names: tuple[str, ...] = ()
    settle: float = 0.0


class Change(msgspec.Struct, frozen=True):
    """One version of the history.

    :ivar kind: apply, rollback, canary, promote, restore.
    :ivar names: the resources that it changed; for a canary those that it would change.
    :ivar at: seconds since the epoch by the clock of Redis.
    :ivar share: of a canary.
    :ivar to: the version that a rollback went back to.
    :ivar canary: the version of the canary that it promoted or rolled back.
    :ivar node: the sidecar that a restore took from.
    """

    version: int
    kind: str
    author: str
    reason: str
    at: float
    names: tuple[str, ...]
    share: Optional[float] = None
    to: Optional[int] = None
    canary: Optional[int] = None
    node: str = ""


def base_name(name: str) -> str:
    """Return the name without its variant."""
    return name.partition("@")[0]


def check_name(name: str) -> str:
    """Return `name` if it can name a resource of the store.

    :raises ValueError: one line with what would be right.
    """
    found = _NAME.fullmatch(name)
    if found is None or found["kind"] not in KINDS:
        raise ValueError(
            f"expected KIND/NAME or KIND/NAME@VARIANT, where KIND is one of {', '.join(KINDS)} and NAME has at most "
            f"63 letters, digits, '_', '-' and '.', got {name!r}"
        )
    return name


def parse_select(value: Any, groups: Groups = NO_GROUPS) -> Selector:
    """Return the selector of a resource; what is wrong is said with its place in the resource.

    :raises ValueError: one line.
    """
    try:
        return parse_selector(value, groups)
    except ValueError as error:
        at, colon, _ = str(error).partition(":")
        named = bool(colon) and at.partition(".")[0] in CONDITIONS
        raise ValueError(f"select.{error}" if named else f"select: {error}") from None


def encode(name: str, draft: Draft) -> bytes:
    """Return what follows the first line of the record.

    :raises ValueError: one line that names the resource and the place.
    """
    check_name(name)
    try:
        if name.startswith("groups/"):
            parse_group(draft.value)
        if draft.select is not None:
            # Whether there is such a group shows where it is looked for.
            parse_select({key: each for key, each in draft.select.items() if key != "group"})
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    select = b"" if not draft.select else msgspec.json.encode(_plain(f"{name}: select", draft.select))
    made = select + b"\n" + msgspec.json.encode(_plain(f"{name}: value", draft.value))
    if len(made) > MAX_RECORD:
        raise ValueError(f"{name}: {len(made)} bytes of JSON, more than the {MAX_RECORD} that a resource may have")
    return made


def decode(name: str, record: bytes) -> Resource:
    """Return the resource that a record holds; what is wrong with it stands in `problem`."""
    header = Header(0)
    selector: Any = None
    problem = ""
    try:
        first, *rest = record.split(b"\n", 2)
        # Without an end it is no line, for the scripts neither.
        header = msgspec.json.decode(first if rest else b"", type=Header)
        check_name(name.lstrip(TRIAL))
        if len(rest) != 2:
            raise ValueError("expected three lines: who changed it, for whom it is, and the value")
        select, body = rest
        selector = msgspec.json.decode(select) if select else None
        if body or not name.startswith(TRIAL):
            msgspec.json.decode(body, type=msgspec.Raw)
    except (ValueError, TypeError, msgspec.DecodeError) as error:
        problem = f"the record at Redis cannot be read: {error}"
    return Resource(name, header.version, header.author, header.reason, header.at / 1000.0, selector, record, problem)


def _plain(where: str, value: Any) -> Any:
    """Return a copy that JSON can say without loss."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return _text(where, value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where}: {value} cannot be written as JSON")
        return value
    if isinstance(value, Mapping):
        return {_key(where, key): _plain(f"{where}.{key}", each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(f"{where}[{at}]", each) for at, each in enumerate(value)]
    raise ValueError(f"{where}: a {type(value).__name__} cannot be written as JSON")


def _text(where: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{where}: the text {value!r} has no bytes in UTF-8") from None
    return str(value)


def _key(where: str, key: Any) -> str:
    if isinstance(key, bool) or not isinstance(key, (str, int)):
        raise ValueError(f"{where}: expected a name, got {key!r}")
    return _text(where, str(key))

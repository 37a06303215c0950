"""Whether a shared cache may keep a reply, for how long, and for whom: RFC 9111, sections 3 to 5.

Where the RFC leaves a choice the careful one is taken: what has no explicit lifetime has only what the configuration
gives it, what must be asked about again each time is not kept, and neither is what sets cookies.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Mapping, NamedTuple, Optional, Protocol

# What a cache may keep without knowing more of the status (RFC 9110, section 15.1), less what is only a part, and less
# errors of the server, which are hoped to end.
STATUSES = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414})
# Longer than any lifetime; seconds (RFC 9111, section 1.2.2).
_MOST = 1 << 31


class Fields(Protocol):
    """Header fields."""

    def get(self, name: str) -> Optional[str]: ...
    def get_all(self, name: str) -> list[str]: ...


class Kept(NamedTuple):
    """`lifetime`: seconds for which a reply is fresh from now on; `age`: how old it was when it came; `vary`: the
    fields of requests, lower case, that must be the same."""

    lifetime: float
    age: float
    vary: tuple[str, ...]


class Wish(NamedTuple):
    """What a request asks of caches.  `bypass`: it is not for one at all; `renew`: no stored reply will do; `only`: no
    other will; `most_age`: none older than that will; `least_left`: it must be fresh for that long."""

    bypass: bool = False
    renew: bool = False
    only: bool = False
    most_age: Optional[float] = None
    least_left: float = 0.0


def directives(lines: list[str]) -> Mapping[str, str]:
    """Return the directives of Cache-Control, lower case, with their values; of one that stands twice the first."""
    found: dict[str, str] = {}
    for each in ",".join(lines).split(","):
        name, _, value = each.strip().partition("=")
        if name:
            found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def wish(headers: Fields) -> Wish:
    """Return what a request asks of caches."""
    lines = headers.get_all("cache-control")
    if not lines:
        return Wish(renew="no-cache" in (headers.get("pragma") or "").lower())
    asked = directives(lines)
    most = _seconds(asked.get("max-age"))
    return Wish(
        bypass="no-store" in asked,
        renew="no-cache" in asked or most == 0,
        only="only-if-cached" in asked,
        most_age=most,
        least_left=_seconds(asked.get("min-fresh")) or 0.0,
    )


def kept(status: int, headers: Fields, *, personal: bool, default: Optional[float], now: float) -> Optional[Kept]:
    """Return how a reply may be kept; None if it may not be.

    :param personal: the request says who its caller is (Authorization, section 3.5).
    :param default: the lifetime of replies that say nothing of it; None: they are not kept.
    :param now: seconds since the epoch.
    """
    said = directives(headers.get_all("cache-control"))
    if status not in STATUSES or said.keys() & {"no-store", "private", "no-cache"} or headers.get_all("set-cookie"):
        return None
    if personal and not said.keys() & {"public", "s-maxage", "must-revalidate"}:
        return None
    vary = tuple(
        sorted({each.strip().lower() for each in ",".join(headers.get_all("vary")).split(",") if each.strip()})
    )
    lifetime = _lifetime(said, headers, now)
    lifetime = default if lifetime is None else lifetime
    age = _age(headers, now)
    if "*" in vary or lifetime is None or lifetime - age <= 0:
        return None
    return Kept(lifetime - age, age, vary)


def _lifetime(said: Mapping[str, str], headers: Fields, now: float) -> Optional[float]:
    """Section 4.2.1: what is said to shared caches, to all caches, or by Expires."""
    for name in ("s-maxage", "max-age"):
        if name in said:
            # What cannot be read is stale (section 4.2.1).
            return _seconds(said[name]) or 0.0
    expires = headers.get("expires")
    if expires is None:
        return None
    ends, sent = _date(expires), _date(headers.get("date"))
    return 0.0 if ends is None else ends - (now if sent is None else sent)


def _age(headers: Fields, now: float) -> float:
    """Section 4.2.3, with the time that the reply took left out."""
    sent = _date(headers.get("date"))
    apparent = 0.0 if sent is None else max(0.0, now - sent)
    # Clocks that differ by a little make nothing old.
    return max(_seconds(headers.get("age")) or 0.0, apparent if apparent > 1.0 else 0.0)


def _seconds(text: Optional[str]) -> Optional[float]:
    if text is None or not (text.isascii() and text.isdigit()):
        return None
    return float(min(int(text[:11]), _MOST))


def _date(text: Optional[str]) -> Optional[float]:
    try:
        return None if text is None else parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def same_tag(tags: str, etag: str) -> bool:
    """Whether If-None-Match names an entity tag, compared weakly (RFC 9110, section 13.1.2)."""
    wanted = etag.removeprefix("W/")
    return any(each.strip() == "*" or each.strip().removeprefix("W/") == wanted for each in tags.split(","))

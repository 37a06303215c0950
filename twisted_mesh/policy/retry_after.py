"""Retry-After: how long a server asks not to be asked again (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import calendar
import re
from typing import Callable, Optional

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
# The three forms of a date that RFC 9110 section 5.6.7 has recipients accept.
_DATES = (
    re.compile(rf"[A-Z][a-z]{{2}}, (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} GMT", re.ASCII),
    re.compile(rf"[A-Z][a-z]{{5,8}}, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} GMT", re.ASCII),
    re.compile(rf"[A-Z][a-z]{{2}} {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})", re.ASCII),
)
_SECONDS = re.compile(r"\d+", re.ASCII)
# More digits than any limit has.
_DIGITS = 10


def retry_after(text: str, wall: float) -> Optional[float]:
    """Return the seconds of a Retry-After, 0 for a date that has passed; None if it is neither seconds nor a date.

    :param wall: the time now, in seconds since the epoch.
    """
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text[:_DIGITS])
    for form in _DATES:
        found = form.fullmatch(text)
        if found is not None:
            return max(0.0, _epoch(found, wall) - wall)
    return None


def spread(seconds: float, dice: Callable[[], float]) -> float:
    """Return a wait that is at least so long and at most half as much again: those who were told the same part ways.

    Envoy's rule for the same (``RateLimitedRetryBackOff``).
    """
    return seconds * (1.0 + 0.5 * dice())


def _epoch(found: re.Match[str], wall: float) -> float:
    year = int(found["year"])
    if year < 100:
        # Of the two centuries that it can be of, the one that is less than 50 years ahead (the same section).
        this = 1970 + int(wall / (365.2425 * 86400))
        year += this - this % 100
        if year > this + 50:
            year -= 100
    month = _MONTHS.index(found["month"]) + 1
    return float(
        calendar.timegm(
            (year, month, int(found["day"]), int(found["hour"]), int(found["minute"]), int(found["second"]))
        )
    )

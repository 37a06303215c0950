"""Conditions on values that a call carries by name: header fields, query parameters, cookies.

A name may stand several times; a condition holds if it holds for one of the values.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Callable, Mapping, Optional, Sequence
from urllib.parse import parse_qsl

from twisted_mesh.policy.pattern import Pattern

Check = Callable[[Sequence[str]], bool]
"""Whether the values of one name are what is wanted; none if it is not there."""


def compile_check(
    *,
    exact: Optional[str] = None,
    prefix: Optional[str] = None,
    suffix: Optional[str] = None,
    contains: Optional[str] = None,
    regex: Optional[str] = None,
    present: bool = True,
    invert: bool = False,
) -> Check:
    """Return the check for one of these conditions; with none of them, for whether there is a value at all.

    :param present: False: there must be none.
    :param invert: it holds exactly where it would not without this, so also where there is no value.
    :raises ValueError: `regex` is no expression that `Pattern` takes.
    """
    check = _compile(exact, prefix, suffix, contains, regex)
    if invert is not (not present):
        return lambda values: not check(values)
    return check


def _compile(
    exact: Optional[str], prefix: Optional[str], suffix: Optional[str], contains: Optional[str], regex: Optional[str]
) -> Check:
    if exact is not None:
        return lambda values: exact in values
    if prefix is not None:
        return lambda values: any(each.startswith(prefix) for each in values)
    if suffix is not None:
        return lambda values: any(each.endswith(suffix) for each in values)
    if contains is not None:
        return lambda values: any(contains in each for each in values)
    if regex is not None:
        matches = Pattern(regex).matches
        return lambda values: any(matches(each) for each in values)
    return bool


# Few, as it is there for the routes of a table that ask for the query of one call one after the other.
@lru_cache(maxsize=8)
def query_values(query: str) -> Mapping[str, Sequence[str]]:
    """Return the values of a query (what stands behind the ``?``) by name, escapes resolved and ``+`` as a blank."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="surrogateescape"):
        found.setdefault(name, []).append(value)
    return found


def cookie_values(lines: Sequence[str], name: str) -> list[str]:
    """Return the values of a cookie in Cookie fields (RFC 6265, 4.2.1), without the quotes that may stand round them.

    Pairs that are none are passed over, as servers do.
    """
    found = []
    for line in lines:
        # Most requests do not have it, and then one look says so.
        for pair in line.split(";") if name in line else ():
            key, equals, value = pair.partition("=")
            if equals and key.strip(" \t") == name:
                value = value.strip(" \t")
                quoted = len(value) > 1 and value[0] == value[-1] == '"'
                found.append(value[1:-1] if quoted else value)
    return found

"""Which calls a route is for.

A match is compiled once into a single function.  All conditions that are given must hold; none given matches every
call.  What is looked at is what adapters have made canonical: the host in lower case and without its port, the
path normalised and without its query.
"""

from __future__ import annotations

from typing import Callable, Mapping, Optional, Protocol, Sequence, Union


class _Fields(Protocol):
    def get_bytes(self, lowered: bytes) -> Optional[bytes]: ...

    def get_all(self, name: str) -> list[str]: ...


class Asked(Protocol):
    """The part of a call that a match looks at."""

    @property
    def host(self) -> str: ...

    @property
    def resource(self) -> str: ...

    @property
    def operation(self) -> str: ...

    @property
    def headers(self) -> _Fields: ...


Test = Callable[[Asked], bool]


def compile_match(
    hosts: Sequence[str] = (),
    *,
    exact: Optional[str] = None,
    prefix: Optional[str] = None,
    methods: Sequence[str] = (),
    headers: Optional[Mapping[str, Union[str, bool]]] = None,
) -> Optional[Test]:
    """Return the test for these conditions; None if every call passes.

    :param hosts: any of these: ``shop.example`` (this host), ``*.shop.example`` (any host below it, not itself),
        ``shop.*`` (any host that begins so), ``*`` (any).  Case and a port do not matter.
    :param exact: the whole path.
    :param prefix: the path's first segments: ``/api`` is for ``/api`` and ``/api/x`` but not for ``/apix`` (Envoy's
        ``path_separated_prefix``).  One that ends in a slash is for what is below it: ``/api/`` is not for ``/api``.
    :param methods: any of these.
    :param headers: each of these fields: with this value in one of its lines, or present (True), or absent (False).
    """
    tests: list[Test] = []
    if hosts and "*" not in hosts:
        tests.append(_host_test(hosts))
    if exact is not None:
        tests.append(_exact_test(exact))
    if prefix is not None:
        tests.append(_prefix_test(prefix))
    if methods:
        tests.append(_method_test(methods))
    for name, value in (headers or {}).items():
        tests.append(_header_test(name, value))
    return _all(tests)


def _host_test(hosts: Sequence[str]) -> Test:
    plain = [_without_port(each.lower()) for each in hosts]
    names = frozenset(form for each in plain if "*" not in each for form in _forms(each))
    # A name below the suffix is longer than it, and one behind the prefix too: neither matches the bare part.
    suffixes = tuple(each[1:] for each in plain if each.startswith("*."))
    prefixes = tuple(each[:-1] for each in plain if each.endswith(".*"))
    if not suffixes and not prefixes:
        if len(names) == 1:
            (only,) = names
            return lambda asked: asked.host == only
        return lambda asked: asked.host in names

    def test(asked: Asked) -> bool:
        host = asked.host
        if host in names:
            return True
        if host.endswith(suffixes):
            return host not in suffixes
        return host.startswith(prefixes) and host not in prefixes

    return test


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit() and (":" not in name or name.endswith("]")):
        return name
    return host


def _forms(host: str) -> tuple[str, ...]:
    """An IPv6 host may be written with its brackets or without."""
    bare = host.strip("[]")
    return (bare, f"[{bare}]") if ":" in bare else (host,)


def _exact_test(path: str) -> Test:
    return lambda asked: asked.resource == path


def _prefix_test(prefix: str) -> Test:
    if prefix.endswith("/"):
        return lambda asked: asked.resource.startswith(prefix)
    below = prefix + "/"

    def test(asked: Asked) -> bool:
        path = asked.resource
        return path.startswith(below) or path == prefix

    return test


def _method_test(methods: Sequence[str]) -> Test:
    if len(methods) == 1:
        only = methods[0].upper()
        return lambda asked: asked.operation == only
    known = frozenset(each.upper() for each in methods)
    return lambda asked: asked.operation in known


def _header_test(name: str, value: Union[str, bool]) -> Test:
    lowered = name.lower().encode("latin-1")
    if value is True:
        return lambda asked: asked.headers.get_bytes(lowered) is not None
    if value is False:
        return lambda asked: asked.headers.get_bytes(lowered) is None
    return lambda asked: value in asked.headers.get_all(name)


def _all(tests: Sequence[Test]) -> Optional[Test]:
    """Nest the tests into one function, which is faster than a loop over them."""
    if not tests:
        return None
    first = tests[0]
    rest = _all(tests[1:])
    if rest is None:
        return first
    return lambda asked: first(asked) and rest(asked)

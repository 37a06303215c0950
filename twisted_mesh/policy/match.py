"""Which calls a route is for.

A match is compiled once into a single function.  All conditions that are given must hold; none given matches every
call.  What is looked at is what adapters have made canonical: the host in lower case and without its port, the
path normalised and without its query.
"""

from __future__ import annotations

from typing import Callable, Iterator, Mapping, NamedTuple, Optional, Protocol, Sequence

from twisted_mesh.policy.glob import Glob
from twisted_mesh.policy.hosts import sorted_hosts
from twisted_mesh.policy.networks import compile_networks
from twisted_mesh.policy.pattern import Pattern
from twisted_mesh.policy.share import share
from twisted_mesh.policy.template import Template
from twisted_mesh.policy.values import Check, cookie_values, query_values


class _Fields(Protocol):
    def get_all(self, name: str) -> list[str]: ...


class Asked(Protocol):
    """The part of a call that a match looks at."""

    @property
    def host(self) -> str: ...

    @property
    def resource(self) -> str: ...

    @property
    def query(self) -> str: ...

    @property
    def operation(self) -> str: ...

    @property
    def client(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def identity(self) -> Optional[str]: ...

    @property
    def headers(self) -> _Fields: ...


Test = Callable[[Asked], bool]


class Conditions(NamedTuple):
    """What a match asks for; all that is given must hold, and nothing given is every call.

    - `hosts`: any of these: ``shop.example`` (this host), ``*.shop.example`` (any host below it, not itself),
      ``shop.*`` (any host that begins so), ``*`` (any).  Case and a port do not matter.
    - `exact`: the whole path.
    - `prefix`: the path's first segments: ``/api`` is for ``/api`` and ``/api/x`` but not for ``/apix`` (Envoy's
      ``path_separated_prefix``).  One that ends in a slash is for what is below it: ``/api/`` is not for ``/api``.
    - `template`: a path with named segments, see `Template`; `regex`: an expression for the whole path, see `Pattern`.
    - `key_exact`, `key_prefix`: the whole key of a Redis command, or its beginning, whatever follows; `key_glob`: a
      pattern for the whole key, see `Glob`; `key_regex`: an expression for it.
    - `methods`: any of these operations: methods of HTTP, or names of commands.
    - `headers`, `query`, `cookies`: a check for each name.
    - `sources`: networks that the client's host is in one of, see `compile_networks`.
    - `identities`: any of these.
    - `ports`: the port that the client has connected to is one of these.
    - `percent`: this share of the calls for which everything else holds, by the dice.
    """

    hosts: Sequence[str] = ()
    exact: Optional[str] = None
    prefix: Optional[str] = None
    template: Optional[str] = None
    regex: Optional[str] = None
    methods: Sequence[str] = ()
    headers: Mapping[str, Check] = {}
    query: Mapping[str, Check] = {}
    cookies: Mapping[str, Check] = {}
    sources: Sequence[str] = ()
    identities: Sequence[str] = ()
    percent: float = 100.0
    key_exact: Optional[str] = None
    key_prefix: Optional[str] = None
    key_glob: Optional[str] = None
    key_regex: Optional[str] = None
    ports: Sequence[int] = ()


def compile_match(conditions: Conditions, dice: Optional[Callable[[], float]] = None) -> Optional[Test]:
    """Return the test for these conditions; None if every call passes.

    :param dice: gives numbers in [0, 1); for `Conditions.percent`.
    :raises ValueError: a template, an expression or a network is none; or there is a percentage and no dice.
    """
    asked = conditions
    tests: list[Test] = []
    if asked.hosts and "*" not in asked.hosts:
        tests.append(_host_test(asked.hosts))
    tests += _path_tests(asked)
    tests += _key_tests(asked)
    if asked.methods:
        tests.append(_method_test(asked.methods))
    tests += [_header_test(*each) for each in asked.headers.items()]
    tests += [_query_test(*each) for each in asked.query.items()]
    tests += [_cookie_test(*each) for each in asked.cookies.items()]
    if asked.sources:
        tests.append(_source_test(asked.sources))
    if asked.identities:
        tests.append(_identity_test(asked.identities))
    if asked.ports:
        tests.append(_port_test(asked.ports))
    if asked.percent < 100.0:
        # Behind all others: it is the share of those that they let pass.
        tests.append(_percent_test(asked.percent, dice))
    return _all(tests)


def _host_test(hosts: Sequence[str]) -> Test:
    names, suffixes, prefixes = sorted_hosts(hosts)
    if not suffixes and not prefixes:
        if len(names) == 1:
            (only,) = names
            return lambda asked: asked.host == only
        return lambda asked: asked.host in names

    def test(asked: Asked) -> bool:
        host = asked.host
        if host in names:
            return True
        # A name below the suffix is longer than it, and one behind the prefix too: neither matches the bare part.
        if host.endswith(suffixes):
            return host not in suffixes
        return host.startswith(prefixes) and host not in prefixes

    return test


def _path_tests(asked: Conditions) -> Iterator[Test]:
    if asked.exact is not None:
        yield _exact_test(asked.exact)
    if asked.prefix is not None:
        yield _prefix_test(asked.prefix)
    if asked.template is not None:
        yield _whole_test(Template(asked.template).matches)
    if asked.regex is not None:
        yield _whole_test(Pattern(asked.regex).matches)


def _key_tests(asked: Conditions) -> Iterator[Test]:
    if asked.key_exact is not None:
        yield _exact_test(asked.key_exact)
    if asked.key_prefix is not None:
        yield _beginning_test(asked.key_prefix)
    if asked.key_glob is not None:
        yield _whole_test(Glob(asked.key_glob).matches)
    if asked.key_regex is not None:
        yield _whole_test(Pattern(asked.key_regex).matches)


def _beginning_test(prefix: str) -> Test:
    return lambda asked: asked.resource.startswith(prefix)


def _whole_test(matches: Callable[[str], bool]) -> Test:
    return lambda asked: matches(asked.resource)


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


def _header_test(name: str, check: Check) -> Test:
    return lambda asked: check(asked.headers.get_all(name))


def _query_test(name: str, check: Check) -> Test:
    return lambda asked: check(query_values(asked.query).get(name, ()))


def _cookie_test(name: str, check: Check) -> Test:
    return lambda asked: check(cookie_values(asked.headers.get_all("cookie"), name))


def _source_test(sources: Sequence[str]) -> Test:
    inside = compile_networks(sources)
    return lambda asked: inside(asked.client)


def _identity_test(identities: Sequence[str]) -> Test:
    known = frozenset(identities)
    return lambda asked: asked.identity in known


def _port_test(ports: Sequence[int]) -> Test:
    known = frozenset(ports)
    return lambda asked: asked.port in known


def _percent_test(percent: float, dice: Optional[Callable[[], float]]) -> Test:
    if dice is None:
        raise ValueError("a percentage of the calls needs dice")
    belongs = share(percent, dice)
    return lambda asked: belongs()


def _all(tests: Sequence[Test]) -> Optional[Test]:
    """Nest the tests into one function, which is faster than a loop over them."""
    if not tests:
        return None
    first = tests[0]
    rest = _all(tests[1:])
    if rest is None:
        return first
    return lambda asked: first(asked) and rest(asked)

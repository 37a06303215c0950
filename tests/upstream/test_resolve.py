"""Resolving as the machine does: hosts file, name servers, search domains, getaddrinfo."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Callable, Iterator, Optional, Union

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.names import dns
from twisted.names.error import DNSNameError, DNSQueryRefusedError, DNSQueryTimeoutError, DNSServerError
from twisted.python.failure import Failure

from tests.support import until
from twisted_mesh.upstream import resolve
from twisted_mesh.upstream.resolve import LOOKUP_LIMIT, THREADS, Answer, NotResolved, SystemResolver

SERVER = "nameserver 10.0.0.53\n"


class Reactor(MemoryReactorClock):
    """A clock that collects what threads want called."""

    def __init__(self) -> None:
        super().__init__()
        self.from_threads: list[tuple[Any, ...]] = []

    def callFromThread(self, call: Any, *arguments: Any) -> None:
        self.from_threads.append((call, arguments))

    def run(self) -> None:
        """Wait for one call from a thread, and make it."""
        until(lambda: self.from_threads)
        call, arguments = self.from_threads.pop(0)
        call(*arguments)


class Client:
    """Stands in for Twisted's DNS client; `zone` maps a name to addresses, an error, or a CNAME in front of some."""

    def __init__(self, **zone: Any) -> None:
        self.zone = {name.replace("_", "."): each for name, each in zone.items()}
        self.asked: list[str] = []

    def lookupAddress(self, name: str, timeout: Any) -> Deferred[Any]:
        return self._look(name, ".")

    def lookupIPV6Address(self, name: str, timeout: Any) -> Deferred[Any]:
        return self._look(name, ":")

    def _look(self, name: str, mark: str) -> Deferred[Any]:
        self.asked.append(name)
        found = self.zone.get(name, DNSNameError())
        if isinstance(found, dict):
            found = found.get(mark, [])
        if isinstance(found, Deferred):
            return found
        if isinstance(found, Exception):
            return fail(found)
        records = [_record(name, each, ttl) for each, ttl in found if mark in each or each.startswith("->")]
        return succeed((records, [], []))


def _record(name: str, value: str, ttl: int) -> dns.RRHeader:
    if value.startswith("->"):
        return dns.RRHeader(name, dns.CNAME, dns.IN, ttl, dns.Record_CNAME(value[2:], ttl))
    if ":" in value:
        return dns.RRHeader(name, dns.AAAA, dns.IN, ttl, dns.Record_AAAA(value, ttl))
    return dns.RRHeader(name, dns.A, dns.IN, ttl, dns.Record_A(value, ttl))


class World:
    """A resolver with files of its own and no network."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.reactor = Reactor()
        self.client = Client()
        self.system: dict[str, Union[list[str], OSError]] = {}
        self.without_route: set[str] = set()
        self.hosts("")
        self.conf(SERVER)
        self.resolver = SystemResolver(self.reactor, str(directory / "hosts"), str(directory / "resolv.conf"))
        monkeypatch.setattr(SystemResolver, "_client_for", lambda resolver, servers: self.client)
        monkeypatch.setattr(resolve, "_has_route", lambda address: address not in self.without_route)
        monkeypatch.setattr(socket, "getaddrinfo", self._getaddrinfo)

    def hosts(self, text: str) -> None:
        (self.directory / "hosts").write_text(text)

    def conf(self, text: Optional[str]) -> None:
        path = self.directory / "resolv.conf"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)

    def _getaddrinfo(self, host: str, port: None, family: int, kind: int) -> Any:
        found = self.system.get(host, socket.gaierror(-2, "Name or service not known"))
        if isinstance(found, OSError):
            raise found
        return [(0, kind, 0, "", (each, 0)) for each in found if family in (0, resolve._family(each))]

    def look(self, host: str, family: str = "any") -> Union[Answer, str]:
        """Look a name up: the answer, or what is wrong."""
        results: list[Any] = []
        self.resolver.resolve(host, family).addBoth(results.append)
        if not results:
            self.reactor.run()
        [result] = results
        if isinstance(result, Failure):
            assert result.check(NotResolved)
            return result.getErrorMessage()
        assert isinstance(result, Answer)
        return result


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path, monkeypatch)
    yield made
    assert made.reactor.getDelayedCalls() == []


# --- the hosts file


def test_the_hosts_file_comes_first(world: World) -> None:
    world.hosts("10.1.1.1 other\n10.2.2.2 web Alias # web2\nfd00::2 web\nnonsense web\n10.2.2.2 web\n")
    world.client.zone["web"] = [("10.9.9.9", 5)]
    assert world.look("web") == Answer(("10.2.2.2", "fd00::2"))
    assert world.look("alias") == Answer(("10.2.2.2",))
    assert world.look("web", "ipv6") == Answer(("fd00::2",))
    assert world.client.asked == []


def test_localhost_is_always_loopback(world: World) -> None:
    assert world.look("localhost") == Answer(("127.0.0.1", "::1"))
    assert world.look("app.localhost", "ipv4") == Answer(("127.0.0.1",))
    world.hosts("127.0.0.1 localhost\n")
    assert world.look("localhost") == Answer(("127.0.0.1",))


# --- name servers


def test_every_address_and_the_lowest_ttl(world: World) -> None:
    world.client.zone["web.example"] = [("->w.example", 60), ("10.0.0.1", 300), ("10.0.0.2", 20), ("fd00::1", 30)]
    assert world.look("web.example") == Answer(("10.0.0.1", "10.0.0.2", "fd00::1"), 20)


def test_search_domains_are_tried_in_turn(world: World) -> None:
    world.conf(SERVER + "search one two\noptions ndots:2\n")
    world.client.zone["web.x.two"] = [("10.0.0.1", 9)]
    assert world.look("web.x") == Answer(("10.0.0.1",), 9)
    assert world.client.asked == ["web.x.one"] * 2 + ["web.x.two"] * 2


def test_a_name_without_addresses_is_left_to_the_system(world: World) -> None:
    world.client.zone["web"] = []
    world.system["web"] = ["10.3.3.3", "fd00::3", "10.3.3.3"]
    assert world.look("web") == Answer(("10.3.3.3", "fd00::3"))
    assert world.look("web", "ipv6") == Answer(("fd00::3",))


def test_without_name_servers_the_system_is_asked(world: World) -> None:
    world.conf(None)
    world.system["web"] = ["10.3.3.3"]
    assert world.look("web") == Answer(("10.3.3.3",))
    assert world.client.asked == []


def test_an_unknown_name_says_so(world: World) -> None:
    assert world.look("web") == "web: Name or service not known"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DNSQueryTimeoutError(1), "web: no name server answers"),
        (DNSServerError(), "web: the name server failed"),
        (DNSQueryRefusedError(object()), "web: the name server refused to answer"),
        (OSError(24, "Too many open files"), "web: Too many open files"),
    ],
)
def test_a_name_server_that_fails_is_a_failure(world: World, error: Exception, words: str) -> None:
    """Nobody knows then whether there is such a name, so nothing else is asked and what is known stays."""
    world.client.zone["web"] = error
    world.system["web"] = ["10.3.3.3"]
    assert world.look("web") == words


def test_after_a_server_that_fails_the_next_one_is_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.conf("nameserver 10.0.0.53\nnameserver 10.0.0.54\nnameserver 10.0.0.55\n")
    clients = {53: Client(web=DNSServerError()), 54: Client(web=DNSQueryRefusedError(object())), 55: Client()}
    clients[55].zone["web"] = [("10.0.0.1", 9)]
    monkeypatch.setattr(SystemResolver, "_client_for", lambda resolver, servers: clients[int(servers[0][0][-2:])])
    assert world.look("web") == Answer(("10.0.0.1",), 9)
    # One that knows that there is no such name is believed.
    clients[54].zone["web"] = DNSNameError()
    assert world.look("web") == "web: Name or service not known"


def test_one_family_that_fails_is_named(world: World) -> None:
    world.client.zone["web"] = {".": [("10.0.0.1", 9)], ":": DNSServerError()}
    assert world.look("web") == Answer(("10.0.0.1",), 9, (socket.AF_INET6,))


def test_one_family_that_does_not_exist_is_no_failure(world: World) -> None:
    world.client.zone["web"] = {".": [("10.0.0.1", 9)], ":": DNSNameError()}
    assert world.look("web") == Answer(("10.0.0.1",), 9)


def test_a_lookup_is_bounded(world: World) -> None:
    world.client.zone["web"] = Deferred()
    results: list[Any] = []
    world.resolver.resolve("web", "ipv4").addBoth(results.append)
    world.reactor.advance(LOOKUP_LIMIT)
    assert results[0].getErrorMessage() == "web: no answer within 5 s"


# --- routes


def test_addresses_without_a_route_are_left_out(world: World) -> None:
    world.client.zone["web"] = [("10.0.0.1", 9), ("fd00::1", 9)]
    world.without_route = {"fd00::1"}
    assert world.look("web") == Answer(("10.0.0.1",), 9)
    world.without_route = {"10.0.0.1", "fd00::1"}
    assert world.look("web") == Answer(("10.0.0.1", "fd00::1"), 9)


def test_the_kernel_is_asked_for_the_route() -> None:
    assert resolve._has_route("127.0.0.1")
    assert not resolve._has_route("not an address")


# --- threads


def test_only_a_few_threads_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch)
    world.conf(None)
    began: list[str] = []
    release: list[str] = []

    def hang(host: str, *rest: Any) -> Any:
        began.append(host)
        until(lambda: host in release)
        return [(0, 0, 0, "", ("10.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    results: dict[str, Any] = {}

    def keep(host: str) -> Callable[[Any], None]:
        return lambda result: results.__setitem__(host, result)

    names = [f"n{at}" for at in range(THREADS + 2)]
    for each in names:
        world.resolver.resolve(each, "any").addBoth(keep(each))
    until(lambda: len(began) == THREADS)
    assert repr(world.resolver) == f"<SystemResolver <_Threads running={THREADS} waiting=2>>"
    world.reactor.advance(LOOKUP_LIMIT)
    assert sorted(results) == names
    # One that was given up while it waited never runs, and a late answer is dropped.
    last: list[Any] = []
    world.resolver.resolve("last", "any").addBoth(last.append)
    release += [*names, "last"]
    for _ in range(THREADS + 1):
        world.reactor.run()
    assert began[THREADS:] == ["last"]
    assert last == [Answer(("10.0.0.1",))]
    assert repr(world.resolver) == "<SystemResolver <_Threads running=0 waiting=0>>"


# --- the DNS client itself


def test_the_client_is_kept_while_the_servers_stay() -> None:
    resolver = SystemResolver(Reactor())
    first = resolver._client_for((("10.0.0.53", 53),))
    assert resolver._client_for((("10.0.0.53", 53),)) is first
    assert resolver._client_for((("10.0.0.54", 53),)) is not first
    assert first.servers == [("10.0.0.53", 53)]

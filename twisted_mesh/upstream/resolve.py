"""From a host name to addresses, as the machine itself would resolve it, and for how long they hold."""

from __future__ import annotations

import socket
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional, Protocol, Sequence, Union

from twisted.internet.defer import Deferred, DeferredList, TimeoutError
from twisted.python.failure import Failure

from twisted_mesh.policy.names import MOST_SERVERS, candidates, parse_resolv_conf

if TYPE_CHECKING:
    from twisted.names.client import Resolver as DnsClient

# The whole of one lookup, every server and search domain included; seconds.
LOOKUP_LIMIT = 5.0
# How long each name server is waited for, round after round; seconds.
SERVER_TIMEOUTS = (1, 2)
# Lookups through the system's own resolving that run at once; each takes a thread, for as long as it hangs.
THREADS = 4

# What is read of resolv.conf; bytes.
_CONF_LIMIT = 64 * 1024

FAMILIES: dict[str, tuple[int, ...]] = {
    "any": (socket.AF_INET, socket.AF_INET6),
    "ipv4": (socket.AF_INET,),
    "ipv6": (socket.AF_INET6,),
}
_LOOPBACK: dict[int, str] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


@dataclass(frozen=True)
class Answer:
    """What a name stands for: literal addresses, and the seconds they hold for (None where nobody says).

    `failed` are the families that could not be asked for, so that what is known of them stays true.
    """

    addresses: tuple[str, ...]
    ttl: Optional[float] = None
    failed: tuple[int, ...] = ()


class NotResolved(Exception):
    """A name has no address, or nobody could be asked; says which and why."""


class Resolver(Protocol):
    """Looks names up."""

    def resolve(self, host: str, family: str) -> Deferred[Answer]:
        """Look `host` up.

        :param family: ``any``, ``ipv4`` or ``ipv6``.
        :return: fires with at least one address, or fails with `NotResolved`, within `LOOKUP_LIMIT`.
        """


class SystemResolver:
    """Resolves as the machine does, without blocking the loop.

    The hosts file comes first, then the name servers and search domains of resolv.conf, which say how long an answer
    holds; what these do not know is left to getaddrinfo in a thread, which knows whatever else the machine is
    configured for.  ``localhost`` and names below it are loopback whoever else is asked (RFC 6761, section 6.3).

    Addresses that the machine has no route to are left out while others are there: a name with an IPv6 address must
    not cost calls where there is no IPv6.
    """

    def __init__(self, reactor: Any, hosts: str = "/etc/hosts", resolv_conf: str = "/etc/resolv.conf") -> None:
        self._reactor = reactor
        self._hosts = hosts
        self._resolv_conf = resolv_conf
        self._clients: dict[Sequence[tuple[str, int]], DnsClient] = {}
        self._threads = _Threads(reactor)

    def __repr__(self) -> str:
        return f"<SystemResolver {self._threads!r}>"

    def resolve(self, host: str, family: str) -> Deferred[Answer]:
        """See `Resolver.resolve`."""
        lookup = Deferred.fromCoroutine(self._resolve(host, FAMILIES[family]))
        lookup.addTimeout(LOOKUP_LIMIT, self._reactor, onTimeoutCancel=_too_long)
        return lookup.addErrback(_explain, host)

    async def _resolve(self, host: str, families: Sequence[int]) -> Answer:
        known = self._from_hosts(host, families)
        if known:
            return Answer(known)
        conf = parse_resolv_conf(_read(self._resolv_conf))
        for name in candidates(host, conf.search, conf.ndots) if conf.servers else ():
            answer = await self._ask(name, families, conf.servers)
            if answer is not None:
                return _with_route(answer)
        return _with_route(await self._threads.look_up(host, families))

    def _from_hosts(self, host: str, families: Sequence[int]) -> tuple[str, ...]:
        from twisted.names.hosts import searchFileForAll
        from twisted.python.filepath import FilePath

        bare = host.rstrip(".").lower()
        found = searchFileForAll(FilePath(self._hosts), bare.encode())
        known = [each for each in found if _family(each) in families]
        if not known and (bare == "localhost" or bare.endswith(".localhost")):
            known = [_LOOPBACK[each] for each in families]
        return tuple(dict.fromkeys(known))

    async def _ask(self, name: str, families: Sequence[int], servers: Sequence[tuple[str, int]]) -> Optional[Answer]:
        """Ask the name servers for one name; None if they know no address of it."""
        asked = [Deferred.fromCoroutine(self._ask_for(name, each, servers)) for each in families]
        results = await DeferredList(asked, consumeErrors=True)
        addresses: list[str] = []
        ttls: list[float] = []
        failures: dict[int, Failure] = {}
        for each, (success, result) in zip(families, results, strict=True):
            if success:
                addresses += _addresses(result[0])
                ttls += [record.ttl for record in result[0]]
            elif not _unknown(result):
                failures[each] = result
        if addresses:
            return Answer(tuple(dict.fromkeys(addresses)), min(ttls), tuple(failures))
        for failure in failures.values():
            failure.raiseException()
        return None

    async def _ask_for(self, name: str, family: int, servers: Sequence[tuple[str, int]]) -> Any:
        """Ask for one family.  After a silent server Twisted's client asks the next one, after one that fails we do."""
        from twisted.names.error import DNSNameError, DomainError

        client = self._client_for(servers)
        look: Any = client.lookupAddress if family == socket.AF_INET else client.lookupIPV6Address
        try:
            return await look(name, timeout=SERVER_TIMEOUTS)
        except DomainError as error:
            if isinstance(error, DNSNameError) or len(servers) == 1:
                raise
            return await self._ask_for(name, family, servers[1:])

    def _client_for(self, servers: Sequence[tuple[str, int]]) -> DnsClient:
        client = self._clients.get(servers)
        if client is None:
            from twisted.names.client import Resolver as Client

            from twisted_mesh.upstream.quiet import QuietUdp

            if len(self._clients) >= MOST_SERVERS:
                # Those of an earlier resolv.conf.
                self._clients.clear()
            client = self._clients[servers] = Client(servers=list(servers), reactor=QuietUdp(self._reactor))
        return client


def _read(path: str) -> str:
    try:
        with open(path, encoding="latin-1") as file:
            return file.read(_CONF_LIMIT)
    except OSError:
        # No servers are named then, and getaddrinfo knows better.
        return ""


def _too_long(result: object, limit: float) -> None:
    raise NotResolved(f"no answer within {limit:g} s")


def _explain(failure: Failure, host: str) -> Any:
    """Turn whatever went wrong into `NotResolved`."""
    from twisted.names.error import DNSQueryRefusedError, DomainError

    error = failure.value
    if isinstance(error, TimeoutError):
        words = "no name server answers"
    elif isinstance(error, DNSQueryRefusedError):
        words = "the name server refused to answer"
    elif isinstance(error, DomainError):
        words = "the name server failed"
    else:
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    raise NotResolved(f"{host}: {words}") from error


def _addresses(records: Sequence[Any]) -> list[str]:
    from twisted.names import dns

    found = []
    for record in records:
        if record.type == dns.A:
            found.append(socket.inet_ntop(socket.AF_INET, record.payload.address))
        elif record.type == dns.AAAA:
            found.append(socket.inet_ntop(socket.AF_INET6, record.payload.address))
    return found


def _unknown(failure: Failure) -> bool:
    """Whether the servers say that there is no such name, rather than nothing."""
    from twisted.names.error import DNSNameError

    return failure.check(DNSNameError) is not None


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _with_route(answer: Answer) -> Answer:
    if len(answer.addresses) < 2:
        return answer
    routed = tuple(each for each in answer.addresses if _has_route(each))
    return Answer(routed, answer.ttl, answer.failed) if routed else answer


def _has_route(address: str) -> bool:
    """Whether the kernel knows a way there; connecting a datagram socket asks it and sends nothing."""
    try:
        with socket.socket(_family(address), socket.SOCK_DGRAM) as sock:
            sock.connect((address, 9))
    except OSError:
        return False
    return True


# --- getaddrinfo in threads


class _Threads:
    """Runs getaddrinfo in a few threads of its own.

    They are daemons: getaddrinfo cannot be interrupted, and a process that ends must not wait for it.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._running = 0
        self._waiting: deque[tuple[Deferred[Answer], str, Sequence[int]]] = deque()

    def __repr__(self) -> str:
        return f"<_Threads running={self._running} waiting={len(self._waiting)}>"

    def look_up(self, host: str, families: Sequence[int]) -> Deferred[Answer]:
        """Look a name up in a thread, when one is free."""
        answered: Deferred[Answer] = Deferred()
        self._waiting.append((answered, host, families))
        self._fill()
        return answered

    def _fill(self) -> None:
        while self._waiting and self._running < THREADS:
            answered, host, families = self._waiting.popleft()
            if answered.called:
                # Given up while it waited.
                continue
            self._running += 1
            family = families[0] if len(families) == 1 else socket.AF_UNSPEC
            threading.Thread(target=self._run, args=(answered, host, family), name="resolve", daemon=True).start()

    def _run(self, answered: Deferred[Answer], host: str, family: int) -> None:
        result: Union[Answer, Failure]
        try:
            found = socket.getaddrinfo(host, None, family, socket.SOCK_STREAM)
            result = Answer(tuple(dict.fromkeys(str(each[4][0]) for each in found)))
        except (OSError, UnicodeError) as error:
            result = Failure(error)
        self._reactor.callFromThread(self._done, answered, result)

    def _done(self, answered: Deferred[Answer], result: Union[Answer, Failure]) -> None:
        self._running -= 1
        if not answered.called:
            answered.callback(result)
        self._fill()

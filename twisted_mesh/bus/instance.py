"""One instance of a service, as the registry holds it."""

from __future__ import annotations

import re
from typing import Any, Mapping

import msgspec

from twisted_mesh.model.address import Address, literal_family
from twisted_mesh.model.base import check_name, either
from twisted_mesh.model.text import describe, expected
from twisted_mesh.model.units import duration_text

STATUSES = ("starting", "up", "draining", "down")

# Seconds.
LEASE = 15.0
HEARTBEAT = 5.0
# A lease this short is renewed in time by nobody, and one this long is none.
SHORTEST_LEASE = 0.5
LONGEST_LEASE = 366 * 86400.0
MOST_WEIGHT = 1_000_000
# Bytes of a record: every sidecar that follows the service holds them all.
LONGEST_RECORD = 8192

_ID = re.compile(r"[A-Za-z0-9_\[](?:[A-Za-z0-9_.:@/\[\]-]{0,126}[A-Za-z0-9_\]])?", re.ASCII)


class Instance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One instance of a service.

    - `ports` says under which port it speaks which protocol: ``{"http": 8080}``.
    - `status` is one of `STATUSES`; only those that are up take calls.
    - `lease` and `heartbeat` are seconds; a heartbeat of 0 means that nobody renews the lease.
    - `owner` tells the processes apart that may have registered it: one process does not take away what another has
      registered since.
    - `expires` is when the lease ends, in ms of Redis's clock; 0 where that is not known, as it changes with each
      heartbeat, which nobody else hears of.
    """

    id: str
    service: str
    address: str
    ports: dict[str, int]
    zone: str = ""
    weight: int = 1
    labels: dict[str, str] = {}
    version: str = ""
    status: str = "up"
    lease: float = LEASE
    heartbeat: float = HEARTBEAT
    owner: str = ""
    expires: int = 0

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.service}/{self.id} at {host}:{','.join(map(str, self.ports.values()))}"

    def label(self, name: str) -> str:
        """Return what is known under a label's name; ``version``, ``zone`` and ``id`` are labels of every instance."""
        found = self.labels.get(name)
        if found is None and name in ("version", "zone", "id"):
            found = str(getattr(self, name))
        return found or ""

    def port(self, protocol: str = "") -> int:
        """Return the port of a protocol, 0 if it has none.

        Without a protocol it is the only port, or else that of the first protocol it has of http, tcp and redis.
        """
        if protocol:
            return self.ports.get(protocol, 0)
        if len(self.ports) == 1:
            return next(iter(self.ports.values()))
        return next((self.ports[each] for each in ("http", "tcp", "redis") if each in self.ports), 0)

    def target(self, protocol: str = "") -> str:
        """Return ``host:port`` for a protocol, "" if it has no such port."""
        port = self.port(protocol)
        return str(Address(self.address, port)) if port else ""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Instance)


def check(instance: Instance) -> Instance:
    """Return `instance` if it may be registered.

    :raises ValueError: it may not; one line that says what would be right.
    """
    _named("service", check_name, instance.service)
    _named("id", check_id, instance.id)
    _named("address", check_host, instance.address)
    if not instance.ports:
        raise ValueError("ports: expected at least one, such as http: 8080")
    for protocol, port in instance.ports.items():
        _named("ports", check_name, protocol)
        if not 1 <= port <= 65535:
            raise ValueError(f"ports.{protocol}: expected a port from 1 to 65535, got {port}")
    if not 1 <= instance.weight <= MOST_WEIGHT:
        raise ValueError(f"weight: expected 1 to {MOST_WEIGHT:,}, got {instance.weight}")
    if instance.status not in STATUSES:
        raise ValueError(f"status: expected {either(STATUSES)}, got {describe(instance.status)}")
    check_times(instance.lease, instance.heartbeat)
    if len(encode(instance)) > LONGEST_RECORD:
        raise ValueError(f"labels: expected an instance of at most {LONGEST_RECORD:,} bytes in all")
    return instance


def check_times(lease: float, heartbeat: float) -> None:
    """See that a lease and its heartbeat, in seconds, fit each other.

    :raises ValueError: they do not.
    """
    if not SHORTEST_LEASE <= lease <= LONGEST_LEASE:
        raise ValueError(f"lease: expected {duration_text(SHORTEST_LEASE)} to a year, got {lease:g}s")
    if heartbeat < 0 or heartbeat * 2 > lease:
        raise ValueError(
            f"heartbeat: expected at most half of the lease of {duration_text(lease)}, so that one may be lost, "
            f"got {duration_text(max(heartbeat, 0.0))}"
        )


def check_id(text: str) -> str:
    """Return `text` if it can be the id of an instance.

    :raises ValueError: it cannot.
    """
    if _ID.fullmatch(text) is None:
        raise expected("an id of at most 128 letters, digits and _ . : @ / [ ] -, without . or - at its ends", text)
    return text


def check_host(text: str) -> str:
    """Return `text` if it can be the address of an instance: an IP address without brackets, or a host's name.

    :raises ValueError: it cannot.
    """
    shown = f"[{text}]" if ":" in text else text
    try:
        return Address.parse(f"{shown}:1").host
    except ValueError:
        raise expected("an IP address or a host name, without a port", text) from None


def is_literal(instance: Instance) -> bool:
    """Whether the address is an IP address, so that nobody has to look it up."""
    return literal_family(instance.address) is not None


def _named(field: str, check: Any, value: str) -> None:
    try:
        check(value)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None


def encode(instance: Instance) -> bytes:
    """Return the record of an instance: JSON, without `expires` and what is as usual."""
    return _encoder.encode(msgspec.structs.replace(instance, expires=0) if instance.expires else instance)


def decode(record: bytes) -> Instance:
    """Return the instance that a record holds.

    :raises ValueError: it is none.
    """
    # msgspec's errors are ValueErrors that say what was expected where.
    return check(_decoder.decode(record))


def matches(instance: Instance, subset: Mapping[str, str]) -> bool:
    """Whether an instance has all the labels of a subset."""
    return all(instance.label(name) == value for name, value in subset.items())

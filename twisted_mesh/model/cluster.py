"""A cluster: where calls go, how they are spread and how connections are kept."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Mapping, Optional

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from twisted_mesh.model.affinity import Affinity
from twisted_mesh.model.base import ONE_OR_LIST, Model, Name, NotEmpty, Short, one_of
from twisted_mesh.model.fields import StatusRange
from twisted_mesh.model.hashing import Hashing
from twisted_mesh.model.locality import Locality, SlowStart, slowly
from twisted_mesh.model.redis_servers import RedisServers
from twisted_mesh.model.resilience import Breaker, Limits, Outlier
from twisted_mesh.model.scalars import Flag
from twisted_mesh.model.text import expected
from twisted_mesh.model.units import Address, Duration, Interval

BALANCES = ("round_robin", "random", "least_request", "peak_ewma", "ring_hash", "maglev")
KEYED = ("ring_hash", "maglev")
_KEPT = 60.0
_ANY_SUCCESS = ((200, 299),)
ADDRESS = {"type": "string", "description": "host:port or unix:/path"}


def _endpoint(value: Any) -> Any:
    return value if isinstance(value, (dict, Model)) else {"address": value}


def connectable(address: Address) -> Address:
    """Return `address` if one can connect to it.

    :raises ValueError: its port is 0.
    """
    if not address.path and address.port == 0:
        raise expected("a port from 1 to 65535", str(address))
    return address


class Endpoint(Model):
    """One address of a cluster."""

    address: Annotated[Address, AfterValidator(connectable)] = Field(
        description="Where it listens: host:port (a name is resolved, all its addresses are used) or unix:/path."
    )
    weight: int = Field(
        default=1, ge=1, le=1_000_000, description="Its share of the calls against the other endpoints'."
    )
    zone: str = Field(default="", description="Where it runs.")
    labels: dict[str, str] = Field(default={}, description="What else is known of it.")
    name: str = Field(
        default="",
        max_length=80,
        description="What a sharded Redis places it by, so that its address may change; the address if not given.",
    )


def _http_path(path: str) -> str:
    if not path.startswith("/") or any(each <= " " or each > "~" for each in path):
        raise expected("a path such as /healthz", path)
    return path


class RedisCheck(Model):
    """A PING, and what else a server must say of itself."""

    key: str = Field(
        default="", description="A key that takes the server out of use while it exists there: a maintenance switch."
    )
    role: Literal["any", "primary", "replica"] = Field(default="any", description="What the server must be.")


def _redis_check(value: Any) -> Any:
    # A flag in a file is a text that knows whether it is true.
    if isinstance(value, (bool, Flag)):
        return {} if value else None
    return value


class HealthCheck(Model):
    """Asks every endpoint at intervals whether it is well."""

    http: Optional[Annotated[str, AfterValidator(_http_path)]] = Field(default=None, description="Ask for this path.")
    tcp: bool = Field(default=False, description="Connect, and no more.")
    redis: Annotated[Optional[RedisCheck], Short(_redis_check, {"type": "boolean"})] = Field(
        default=None, description="Send a PING; any answer that is no sign of trouble will do."
    )
    interval: Interval = Field(default=5.0, description="From one check to the next.")
    timeout: Interval = Field(default=1.0, description="How long an answer may take.")
    jitter: float = Field(
        default=0.1, ge=0, le=1, description="The share of the interval by which checks vary, so that they spread out."
    )
    healthy: int = Field(
        default=2,
        ge=1,
        le=100,
        description="Successes in a row that bring an endpoint back; the first check decides alone.",
    )
    unhealthy: int = Field(default=3, ge=1, le=100, description="Failures in a row that take an endpoint out.")
    expect: Annotated[tuple[StatusRange, ...], NotEmpty(), ONE_OR_LIST] = Field(
        default=_ANY_SUCCESS, description="The statuses of an HTTP check that count as success."
    )
    host: str = Field(default="", description="The Host header of an HTTP check; the endpoint's address if empty.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.http is not None) + self.tcp + (self.redis is not None) != 1:
            raise ValueError("expected exactly one of http: /path, tcp: true and redis: true")
        if self.http is None and (self.host or self.expect != _ANY_SUCCESS):
            raise ValueError(f"{'host' if self.host else 'expect'} is for http: /path")
        return self


class Pool(Model):
    """The connections kept to each endpoint."""

    max_connections: int = Field(default=1024, ge=1, description="Connections to one endpoint.")
    max_idle: int = Field(default=1024, ge=0, description="Idle connections kept to one endpoint.")
    idle_timeout: Duration = Field(
        default=55.0, description="How long an idle connection is kept; less than servers usually keep theirs."
    )
    max_pending: int = Field(default=1024, ge=0, description="Calls that may wait for a connection to one endpoint.")
    pending_timeout: Optional[Duration] = Field(
        default=None, description="How long a call may wait for a connection; as connect_timeout if not given."
    )
    max_requests: int = Field(
        default=0, ge=0, description="Requests on one connection before it is closed; 0 is no limit."
    )


class Dns(Model):
    """How names of endpoints are resolved."""

    refresh: Interval = Field(
        default=30.0, description="When to resolve again where no TTL is known, and at the latest where one is."
    )
    family: Literal["any", "ipv4", "ipv6"] = Field(default="any", description="Which addresses to use.")


def has_labels(endpoint: Endpoint, labels: Mapping[str, str]) -> bool:
    """Return whether an endpoint has all of these labels; its zone counts as one."""
    return all((endpoint.zone if each == "zone" else endpoint.labels.get(each)) == labels[each] for each in labels)


class Cluster(Model):
    """A named set of endpoints that serve the same."""

    later: ClassVar[frozenset[str]] = frozenset(["http", "identity", "priority", "tls"])

    endpoints: tuple[Annotated[Endpoint, Short(_endpoint, ADDRESS)], ...] = Field(
        default=(), description="The addresses: host:port, unix:/path, or objects. Either these or a service."
    )
    service: Optional[Name] = Field(
        default=None, description="The service whose instances the endpoints are, as the registry knows them."
    )
    subset: dict[str, str] = Field(
        default={},
        description="Only the instances, or endpoints, with all of these labels; zone counts as one, and of instances "
        "version and id.",
    )
    port: str = Field(
        default="",
        description="Which port of an instance, by its protocol; its only one, or http, tcp or redis if not given.",
    )
    keep_last_good: Duration = Field(
        default=_KEPT,
        description="How long the last endpoints are kept when the registry suddenly knows none; 0 is not at all.",
    )
    balance: Annotated[
        str,
        AfterValidator(one_of(*BALANCES)),
        Field(json_schema_extra={"enum": list(BALANCES)}),
    ] = Field(
        default="least_request",
        description="How an endpoint is picked; least_request is the less busy of two picked at random, peak_ewma "
        "the one of two that answers faster for what it has in hand; ring_hash and maglev send a key to the same one.",
    )
    hash: Hashing = Field(default=Hashing.model_construct(), description="How ring_hash and maglev hash.")
    locality: Optional[Locality] = Field(
        default=None,
        description="Which zones calls go to, {} with the defaults: the sidecar's own as long as it can take them; any "
        "zone if not given.",
    )
    slow_start: Annotated[Optional[SlowStart], Short(slowly, {"type": "string", "description": "window"})] = Field(
        default=None,
        description="Endpoints that are new or back get their share little by little: DURATION or {window, ...}; at "
        "once if not given.",
    )
    affinity: Optional[Affinity] = Field(
        default=None, description="Keeps the calls of a session at one endpoint, whatever the balance says."
    )
    connect_timeout: Interval = Field(default=1.0, description="How long connecting may take.")
    health_check: Optional[HealthCheck] = Field(default=None, description="Active health checks; none if not given.")
    panic_threshold: float = Field(
        default=50.0,
        ge=0,
        le=100,
        description="With a smaller percentage of healthy endpoints than this, all are used; 0 never does so.",
    )
    breaker: Optional[Breaker] = Field(
        default=None, description="A circuit breaker for each endpoint, {} with the defaults; none if not given."
    )
    outlier: Optional[Outlier] = Field(
        default=None, description="Outlier detection, {} with the defaults; none if not given."
    )
    limits: Optional[Limits] = Field(
        default=None, description="How many calls it has at once, {} with the defaults; any number if not given."
    )
    pool: Pool = Field(default=Pool.model_construct(), description="The connections kept to each endpoint.")
    dns: Dns = Field(default=Dns.model_construct(), description="How names are resolved.")
    redis: Optional[RedisServers] = Field(
        default=None, description="How Redis servers belong together; one server, or several alike, if not given."
    )
    require_ready: bool = Field(default=False, description="Whether /ready waits until an endpoint can be used.")

    @model_validator(mode="after")
    def _for_the_balance(self) -> Self:
        if self.balance in KEYED and (self.locality is not None or self.slow_start is not None):
            name = "locality" if self.locality is not None else "slow_start"
            raise ValueError(f"{name} means nothing for {self.balance}, where the key says which endpoint it is")
        return self

    @model_validator(mode="after")
    def _for_the_topology(self) -> Self:
        topology = "single" if self.redis is None else self.redis.topology
        if topology != "single":
            if self.balance in (*KEYED, "peak_ewma"):
                raise ValueError(f"balance: {self.balance} means nothing for redis.topology {topology}")
            if self.locality is not None or self.slow_start is not None:
                name, instead = ("locality", "; see redis.read: nearest") if self.locality else ("slow_start", "")
                raise ValueError(f"{name} means nothing for redis.topology {topology}{instead}")
        named = next((each.name for each in self.endpoints if each.name), None)
        if named is not None and topology != "sharded":
            raise ValueError(f"endpoints: a name, {named}, is for redis.topology sharded, which places keys by it")
        return self

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.hash != Hashing.model_construct() and self.balance not in KEYED:
            raise ValueError(f"hash is for the balances {' and '.join(KEYED)}, not for {self.balance}")
        if self.service is None:
            if self.subset and not any(has_labels(each, self.subset) for each in self.endpoints):
                raise ValueError("no endpoint has the labels of the subset")
            if not self.endpoints and not self._found_by_sentinels:
                raise ValueError("expected endpoints, at least one, or a service")
            if self.port or self.keep_last_good != _KEPT:
                raise ValueError(f"{'port' if self.port else 'keep_last_good'} is for a service")
        elif self.endpoints:
            raise ValueError("expected either endpoints or a service, not both")
        if self._found_by_sentinels and (self.endpoints or self.service):
            raise ValueError("the endpoints of topology sentinel are those that the Sentinels know")
        return self

    @property
    def _found_by_sentinels(self) -> bool:
        return self.redis is not None and self.redis.topology == "sentinel"

"""How the Redis servers of a cluster belong together, and how they are spoken to."""

from __future__ import annotations

from typing import Annotated, Literal, Optional

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from twisted_mesh.model.base import ONE_OR_LIST, Model, NotEmpty, one_of
from twisted_mesh.model.text import expected
from twisted_mesh.model.units import Address, Duration, Interval
from twisted_mesh.policy.key_hash import KEY_HASHES

TOPOLOGIES = ("single", "replicated", "sharded", "cluster", "sentinel")
READS = ("primary", "prefer_primary", "replica", "prefer_replica", "any", "nearest")


def _tag(pair: str) -> str:
    if pair and (len(pair) != 2 or not pair.isascii()):
        raise expected("two characters such as {}, or nothing", pair)
    return pair


def _sentinel(address: Address) -> Address:
    if address.path or address.port == 0 or address.family is None:
        raise expected("an IP address with a port from 1 to 65535, such as 10.0.0.1:26379", str(address))
    return address


class Shards(Model):
    """Which server has a key where each has a part of them."""

    distribution: Literal["ketama", "maglev", "modulo"] = Field(
        default="ketama",
        description="ketama is the ring of twemproxy and libmemcached, and moves few keys when servers come and go; "
        "maglev spreads them more evenly; modulo moves nearly all.",
    )
    hash: Annotated[str, AfterValidator(one_of(*KEY_HASHES)), Field(json_schema_extra={"enum": list(KEY_HASHES)})] = (
        Field(
            default="fnv1a_64",
            description="How keys are hashed, by twemproxy's names; xxh64 is the fastest where nothing is stored yet.",
        )
    )
    tag: Annotated[str, AfterValidator(_tag)] = Field(
        default="{}",
        description="Only what stands between these two characters is hashed, so that keys can be kept together; "
        "empty for all of a key, which is what twemproxy does without a hash_tag.",
    )
    eject: bool = Field(
        default=False,
        description="Whether the keys of a server that is out go to the others, as for a cache; else they fail.",
    )


class SentinelGroup(Model):
    """The Sentinels that know the primary, and under which name."""

    name: str = Field(min_length=1, max_length=128, description="What the Sentinels call the primary.")
    addresses: Annotated[tuple[Annotated[Address, AfterValidator(_sentinel)], ...], NotEmpty(), ONE_OR_LIST] = Field(
        description="The Sentinels, asked in turn."
    )
    username: str = Field(default="", description="The user at the Sentinels.")
    password: str = Field(default="", repr=False, description="The password at the Sentinels; none if empty.")


class RedisServers(Model):
    """How the Redis servers of a cluster belong together, and how they are spoken to."""

    topology: Annotated[
        str, AfterValidator(one_of(*TOPOLOGIES)), Field(json_schema_extra={"enum": list(TOPOLOGIES)})
    ] = Field(
        default="single",
        description="single: one server, or several that are alike; replicated: one of the endpoints is the primary "
        "and the others its replicas, they are asked which; sharded: each has a part of the keys; cluster: a Redis "
        "Cluster, of which endpoints are some nodes; sentinel: a primary and replicas that Sentinels know.",
    )
    read: Annotated[str, AfterValidator(one_of(*READS)), Field(json_schema_extra={"enum": list(READS)})] = Field(
        default="primary",
        description="Who answers reads, where there are replicas; prefer_ goes to the other kind if there is none of "
        "this one; nearest is one in the sidecar's own zone if there is any.",
    )
    read_your_writes: Duration = Field(
        default=0.0,
        description="For how long after a write the reads of the same client connection go to the primary, whatever "
        "read says, so that it sees what it wrote; 0 is not at all.",
    )
    shards: Optional[Shards] = Field(default=None, description="For sharded; {} with the defaults if not given.")
    sentinel: Optional[SentinelGroup] = Field(default=None, description="For sentinel.")
    refresh: Interval = Field(
        default=5.0,
        description="How often servers are asked for their roles and slots; they are also when something speaks "
        "for a change.",
    )
    username: str = Field(default="", description="The ACL user at the servers.")
    password: str = Field(default="", repr=False, description="The password at the servers; none if empty.")
    db: int = Field(
        default=0, ge=0, le=65535, description="The database of clients that have selected none, or database 0."
    )
    connections: int = Field(
        default=1, ge=1, le=1024, description="Connections to each server that all clients of one database share."
    )
    in_flight: int = Field(
        default=65_536, ge=1, description="Commands that may wait for their replies on one connection."
    )
    silence: Interval = Field(
        default=15.0,
        description="A connection on which replies are awaited, and not a byte has come for so long, is given up.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.sentinel is not None) != (self.topology == "sentinel"):
            raise ValueError("sentinel, with name and addresses, and topology: sentinel belong together")
        if self.shards is not None and self.topology != "sharded":
            raise ValueError("shards is for topology: sharded")
        if self.refresh != 5.0 and self.topology in ("single", "sharded"):
            raise ValueError(f"refresh is for topologies whose servers are asked, and those of {self.topology} are not")
        if self.read != "primary" and self.topology in ("single", "sharded"):
            raise ValueError(f"read is for topologies with replicas, and {self.topology} has none")
        if self.read_your_writes and self.read == "primary":
            raise ValueError("read_your_writes is for reads that replicas answer, and read is primary")
        if self.db and self.topology == "cluster":
            raise ValueError("a Redis Cluster has database 0 alone")
        return self

    @property
    def placing(self) -> Shards:
        """How keys are placed."""
        return self.shards or Shards.model_construct()

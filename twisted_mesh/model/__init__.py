"""The configuration as frozen values; `Config` is the whole of it."""

from twisted_mesh.model.affinity import Affinity
from twisted_mesh.model.answers import FixedReply, Redirect, Rewrite
from twisted_mesh.model.cluster import Cluster, Dns, Endpoint, HealthCheck, Pool, RedisCheck
from twisted_mesh.model.config import Config, Drain
from twisted_mesh.model.filters import FilterUse
from twisted_mesh.model.listener import (
    AccessLog,
    Bind,
    HttpLimits,
    HttpOptions,
    HttpTimeouts,
    Listener,
    Normalise,
    RedisOptions,
    TcpOptions,
)
from twisted_mesh.model.match import KeyMatch, Match, PathMatch, TextMatch
from twisted_mesh.model.mirror import Compare, Mirror
from twisted_mesh.model.node import Node
from twisted_mesh.model.redis_servers import RedisServers, SentinelGroup, Shards
from twisted_mesh.model.redis_user import RedisUser
from twisted_mesh.model.registry import Registry
from twisted_mesh.model.route import Backoff, Retry, Route, Target, TargetHeaders
from twisted_mesh.model.tls import Certificate, ListenerTls
from twisted_mesh.model.units import Address, Duration, Rate, Size

__all__ = [
    "AccessLog",
    "Address",
    "Affinity",
    "Backoff",
    "Bind",
    "Certificate",
    "Cluster",
    "Compare",
    "Config",
    "Dns",
    "Drain",
    "Duration",
    "Endpoint",
    "FilterUse",
    "FixedReply",
    "HealthCheck",
    "HttpLimits",
    "HttpOptions",
    "HttpTimeouts",
    "KeyMatch",
    "Listener",
    "ListenerTls",
    "Match",
    "Mirror",
    "Node",
    "Normalise",
    "PathMatch",
    "Pool",
    "Rate",
    "Redirect",
    "RedisCheck",
    "RedisOptions",
    "RedisServers",
    "RedisUser",
    "Registry",
    "Retry",
    "Rewrite",
    "Route",
    "SentinelGroup",
    "Shards",
    "Size",
    "Target",
    "TargetHeaders",
    "TcpOptions",
    "TextMatch",
]

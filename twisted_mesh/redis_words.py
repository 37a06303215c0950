"""What clients of Redis are told when a command fails: first a code that libraries look at, then words.

The words behind the code are those that Envoy's proxy uses for the same, as people search for them.
"""

from __future__ import annotations

from typing import Union

from twisted_mesh.codec.resp import error
from twisted_mesh.errors import Cancelled, Kind, MeshError

_FAILED = ("MESHFAILURE", "upstream failure")
_NO_HOST = ("MESHNOHOST", "no upstream host")
_LIMIT = ("MESHLIMIT", "rate limited")
_BUSY = ("MESHLIMIT", "too much is in flight")

WORDS: dict[Kind, tuple[str, str]] = {
    Kind.NO_ROUTE: ("MESHNOHOST", "no route"),
    Kind.NO_CLUSTER: _NO_HOST,
    Kind.NO_ENDPOINT: _NO_HOST,
    Kind.CONNECT_FAILED: _FAILED,
    Kind.CONNECT_TIMEOUT: _FAILED,
    Kind.RESET: _FAILED,
    Kind.CLOSED: _FAILED,
    Kind.BAD_REPLY: ("MESHFAILURE", "upstream protocol error"),
    Kind.TIMEOUT: ("MESHTIMEOUT", "upstream failure"),
    Kind.TRY_TIMEOUT: ("MESHTIMEOUT", "upstream failure"),
    Kind.DEADLINE: ("MESHTIMEOUT", "the deadline has passed"),
    Kind.OVERFLOW: _BUSY,
    Kind.OVERLOADED: ("MESHLIMIT", "overloaded"),
    Kind.MAINTENANCE: ("MESHNOHOST", "under maintenance"),
    Kind.RETRY_LIMIT: _FAILED,
    Kind.BAD_REQUEST: ("ERR", "invalid request"),
    Kind.TOO_LARGE: ("MESHLIMIT", "too large"),
    Kind.REQUEST_TIMEOUT: ("MESHTIMEOUT", "the command took too long to come"),
    Kind.STREAM_IDLE: ("MESHTIMEOUT", "idle for too long"),
    Kind.MAX_DURATION: ("MESHTIMEOUT", "took too long"),
    Kind.CLIENT_GONE: _FAILED,
    Kind.DENIED: ("MESHDENY", "denied"),
    Kind.UNAUTHENTICATED: ("NOAUTH", "Authentication required."),
    Kind.RATE_LIMITED: _LIMIT,
    Kind.FAULT: ("ERR", "Fault Injected: Error"),
    Kind.UPGRADE_REFUSED: ("ERR", "invalid request"),
    Kind.DRAINING: ("MESHFAILURE", "the proxy is going away"),
    Kind.INTERNAL: ("ERR", "internal error of the proxy"),
}
# Of keys that have to be at one server, and of those that have to be in one cluster.
CROSSSLOT = error("CROSSSLOT", "Keys in request don't hash to the same slot")
CROSSED = error("CROSSSLOT", "Keys in request belong to different clusters by the routes of this listener")
# Of a command that cannot be sent again to where its key is now.
MOVED_AWAY = error("TRYAGAIN", "the key has moved to another server; try again")
# What is complete without a detail, or whose detail is no client's business.
_BARE = frozenset((Kind.UNAUTHENTICATED, Kind.FAULT, Kind.INTERNAL))


def words_for(failed: Union[MeshError, Cancelled]) -> bytes:
    """Return the error reply for one command that failed like this."""
    code, text = WORDS[failed.kind]
    if failed.detail and failed.kind not in _BARE:
        text = f"{text}: {failed.detail}"
    return error(code, text)

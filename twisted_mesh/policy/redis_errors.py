"""What an error of a Redis server says of the server itself, in the statuses that HTTP has for the same.

Most errors are their command's: a wrong type, a script that is not there, a key that has moved.  The texts are those of
Redis 7 and Valkey 8 (``src/server.c``, ``createSharedObjects``, and ``src/networking.c``).
"""

from __future__ import annotations

OK, TOO_MANY, UNAVAILABLE = 0, 429, 503

# It can do nothing that it is asked, or nothing but to be told to stop: as 503.
_NOTHING = (
    b"-LOADING ",
    b"-MASTERDOWN ",
    # Not "Hash slot not served", which is said of one slot only.
    b"-CLUSTERDOWN The cluster is down",
    b"-BUSY ",
    # What a client says is answered here, so these are about the credentials of the mesh, or its address.
    b"-NOAUTH ",
    b"-DENIED ",
    b"-ERR max number of clients",
)
# It takes no writes, but reads, and what makes room: as 429.
_NO_WRITES = (b"-READONLY ", b"-OOM ", b"-MISCONF ", b"-NOREPLICAS ")


def verdict(error: bytes) -> int:
    """Return `OK`, `TOO_MANY` or `UNAVAILABLE`, for a reply that begins with ``-``; of any other one `OK`."""
    if error.startswith(_NOTHING):
        return UNAVAILABLE
    return TOO_MANY if error.startswith(_NO_WRITES) else OK

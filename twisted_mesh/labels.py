"""What the `code` and `flag` labels of the metrics say: few words, whatever upstreams and filters make up."""

from __future__ import annotations

from twisted_mesh.errors import FLAGS
from twisted_mesh.metrics import OTHER

# What they say where there is nothing to say.
NONE = "-"

# Those that nothing here raises yet keep their names from Envoy's list, so that a filter may set them.
KNOWN_FLAGS = frozenset(FLAGS.values()) | frozenset(
    ("LH", "DI", "DO", "UDO", "DR", "RLSE", "IH", "UMSDR", "RFCF", "NFCF", "OM", "DF")
)

_CODES = (NONE, "1xx", "2xx", "3xx", "4xx", "5xx")


def code_label(status: int) -> str:
    """Return the class of a status, ``2xx``; "-" for 0, which protocols without a status have."""
    return _CODES[status // 100] if 0 <= status < 600 else OTHER


def flag_label(flags: tuple[str, ...]) -> str:
    """Return the first response flag: what went wrong first.  A flag that nobody knows is "other"."""
    if not flags:
        return NONE
    return flags[0] if flags[0] in KNOWN_FLAGS else OTHER

"""The keys that the scripts of the configuration store get, in their order; docs/redis.md has what each one holds."""

from __future__ import annotations

from twisted_mesh.bus.keys import Keys

_PARTS = (
    "config:version",
    "config:epoch",
    "config:resources",
    "config:changed",
    "config:history",
    "config:versions",
    "config:canary",
    "config:traffic",
    "config:seen",
    "config:offer",
    "config:wanted",
    "sidecars:records",
    "sidecars:leases",
)


def store_keys(keys: Keys) -> list[str]:
    """Return what is KEYS in every script of the store."""
    return [keys.prefix + each for each in _PARTS]


def store_channel(keys: Keys) -> str:
    """Return the channel on which new versions are told."""
    return keys.prefix + "config"

"""The names of everything that a mesh has at Redis; docs/redis.md is the table of them.

All of them begin with the mesh's prefix, whose braces are a hash tag: a Redis Cluster keeps them in one slot, so that a
script may touch them all.
"""

from __future__ import annotations


class Keys:
    """The keys and channels of one mesh.

    Records under leases live in *sets*: a set has a kind (``service``, ``override``) and a name, such as that of a
    service.  What a set consists of is made by the scripts below its `base`; see `twisted_mesh.bus.lease_scripts`.

    :param mesh: the name of the mesh.
    """

    __slots__ = ("mesh", "prefix")

    def __init__(self, mesh: str) -> None:
        self.mesh = mesh
        self.prefix = f"mesh:{{{mesh}}}:"

    def __repr__(self) -> str:
        return f"<Keys {self.prefix}*>"

    def __eq__(self, other: object) -> bool:
        return self.prefix == other.prefix if isinstance(other, Keys) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.prefix)

    def base(self, kind: str, name: str) -> str:
        """Return what the keys of a set of records begin with; it is also the set's channel."""
        return f"{self.prefix}{kind}:{name}"

    def channel(self, kind: str, name: str) -> str:
        """Return the channel on which the changes of a set are told."""
        return self.base(kind, name)

    def versions(self, kind: str) -> str:
        """Return the hash that holds the version of every set of a kind, by name."""
        return f"{self.prefix}{kind}s"

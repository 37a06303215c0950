"""The names of what a mesh has at Redis."""

from __future__ import annotations

from twisted_mesh.bus.keys import Keys


def test_everything_of_a_mesh_has_one_hash_tag() -> None:
    """A Redis Cluster keeps all keys of a mesh in one slot: that of what stands in the braces."""
    keys = Keys("shop")
    for each in (keys.prefix, keys.base("service", "web"), keys.versions("service")):
        assert each.startswith("mesh:{shop}:")


def test_sets_have_their_own_names() -> None:
    """A set's keys begin with its kind and name, and so does its channel."""
    keys = Keys("shop")
    assert keys.base("service", "web") == "mesh:{shop}:service:web"
    assert keys.channel("service", "web") == "mesh:{shop}:service:web"
    assert keys.versions("override") == "mesh:{shop}:overrides"


def test_keys_of_one_mesh_are_equal() -> None:
    """Two Keys of one mesh are the same; of two meshes they are not."""
    assert Keys("shop") == Keys("shop") != Keys("bank")
    assert len({Keys("shop"), Keys("shop")}) == 1
    assert repr(Keys("shop")) == "<Keys mesh:{shop}:*>"

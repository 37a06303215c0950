"""How the registry is looked after."""

from __future__ import annotations

import pytest

from twisted_mesh.control.load import load_text
from twisted_mesh.errors import ConfigError


def test_the_defaults() -> None:
    """More than half of a service at once are suspects, for a minute; lost messages cost a second."""
    found = load_text("mesh: shop").registry
    assert (found.mass_expiry, found.suspects_for, found.poll) == (50.0, 60.0, 1.0)


@pytest.mark.parametrize("text", ["mass_expiry: 101", "suspects_for: 5", "poll: 0s", "guard: 5"])
def test_what_cannot_be_is_refused(text: str) -> None:
    """A percentage, durations with units, and no other names."""
    with pytest.raises(ConfigError):
        load_text(f"registry: {{{text}}}")

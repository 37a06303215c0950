"""What adapters have in the place of a chain."""

from __future__ import annotations

import pytest

from tests.filters.redis_calls import several
from twisted_mesh.adapters.standing_in import no_chain, refused


def test_what_comes_before_there_is_a_chain_is_said_to() -> None:
    with pytest.raises(RuntimeError, match="came before the listener had a chain"):
        no_chain(several("GET a"))


def test_who_only_observes_gets_nothing() -> None:
    assert refused(several("GET a")) is None

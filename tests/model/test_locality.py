"""What may be said of zones and of slow starts."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from twisted_mesh.model.cluster import Cluster
from twisted_mesh.model.locality import SlowStart


def cluster(**options: Any) -> Cluster:
    return Cluster.model_validate({"endpoints": ["127.0.0.1:1"], **options})


def test_the_defaults() -> None:
    near = cluster(locality={}).locality
    assert near is not None
    assert (near.order, near.weights, near.spare, near.least) == ((), {}, 1.4, 1)
    assert cluster(slow_start="30s").slow_start == SlowStart(window=30.0, aggression=1.0, least=10.0)
    assert cluster(locality={"order": "b"}).locality == cluster(locality={"order": ["b"]}).locality


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"locality": {"weights": {"a": 1}, "order": ["b"]}}, "order and least are for those that prefer their own"),
        ({"locality": {"weights": {"a": 1}, "least": 2}}, "order and least are for those that prefer their own"),
        ({"locality": {"weights": {"a": 0}}}, "a weight of more than 0 for one zone"),
        ({"locality": {"weights": {"a": -1}}}, "greater than or equal to 0"),
        ({"locality": {"order": ["a", "b", "a"]}}, "order: a is given twice"),
        ({"locality": {"spare": 0.9}}, "greater than or equal to 1"),
        ({"locality": {}, "balance": "maglev"}, "locality means nothing for maglev"),
        ({"slow_start": "5s", "balance": "ring_hash"}, "slow_start means nothing for ring_hash"),
        ({"slow_start": "soon"}, "expected a duration"),
        ({"slow_start": {"window": "5s", "aggression": 0}}, "greater than 0"),
        ({"slow_start": {"window": "5s", "least": 0}}, "greater than 0"),
    ],
)
def test_what_is_wrong_is_refused(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        cluster(**written)

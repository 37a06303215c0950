"""What may be said of sessions."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from twisted_mesh.model.cluster import Cluster


def cluster(affinity: Any) -> Cluster:
    return Cluster.model_validate({"endpoints": ["127.0.0.1:1"], "affinity": affinity})


def test_a_cookie_may_be_just_its_name() -> None:
    short, long = cluster({"cookie": "at"}), cluster({"cookie": {"name": "at"}})
    assert short == long
    assert short.affinity is not None and short.affinity.cookie is not None
    assert (short.affinity.cookie.path, short.affinity.cookie.ttl, short.affinity.strict) == ("/", None, False)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({}, "expected either a cookie or a header"),
        ({"cookie": "a", "header": "b"}, "expected either a cookie or a header"),
        ({"cookie": "a b"}, 'expected the name of a cookie, got "a b"'),
        ({"header": "Content-Length"}, "belongs to the connection and to the framing of messages"),
        ({"header": "Host"}, 'expected a header of your own, such as x-session, got "Host"'),
        ({"header": "set-cookie"}, "expected a header of your own"),
        ({"cookie": {"name": "a", "path": "shop"}}, "expected a path such as /"),
        ({"cookie": {"name": "a", "path": "/; Domain=x"}}, "expected a path such as /"),
        ({"cookie": {"name": "a", "ttl": "0s"}}, "more than 0"),
    ],
)
def test_what_is_wrong_is_refused(written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        cluster(written)

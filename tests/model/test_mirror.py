"""Mirrors: forms, defaults, refusals."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from twisted_mesh.model import Compare, Mirror, Route


@pytest.mark.parametrize(
    ("written", "mirrors"),
    [
        ("b", (Mirror(cluster="b"),)),
        (["b", {"cluster": "c", "percent": 5}], (Mirror(cluster="b"), Mirror(cluster="c", percent=5))),
        ({"cluster": "b", "compare": {"headers": "etag"}}, (Mirror(cluster="b", compare=Compare(headers=("etag",))),)),
    ],
)
def test_forms(written: Any, mirrors: tuple[Mirror, ...]) -> None:
    route = Route.model_validate({"to": "a", "mirror": written})
    assert route.mirror == mirrors
    assert Route.model_validate(route.model_dump(mode="json"), context={}) == route


@pytest.mark.parametrize(
    "written",
    [{}, {"cluster": "b", "percent": 101}, {"cluster": "b", "max_active": 0}, {"cluster": "b", "timeout": "0s"}],
)
def test_what_is_wrong_is_refused(written: Any) -> None:
    with pytest.raises(ValidationError):
        Route.model_validate({"to": "a", "mirror": written})

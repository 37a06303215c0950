"""Why an endpoint is in or out; whole walks are in tests/control/test_imaginary.py and tests/cli/test_explain.py."""

from __future__ import annotations

from typing import Any

import pytest

from twisted_mesh.control.walk import standing


@pytest.mark.parametrize(
    ("override", "rule"),
    [
        (None, ("registry", "drain by ann", None)),
        ({"until": 9.0, "remembered": False}, ("override", "drain by ann", 9.0)),
        ({"until": 9.0, "remembered": True}, ("override", "drain by ann (remembered from disk)", 9.0)),
    ],
)
def test_what_keeps_an_endpoint_out(override: Any, rule: tuple[str, str, Any]) -> None:
    cluster: Any = None
    about = {"out": "drain by ann", "override": override, "conduct": None}
    assert standing(cluster, about, rests=False, trial=False) == rule

"""Breakers and outlier detection: defaults and refusals."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from twisted_mesh.model.resilience import Breaker, Limits, Outlier
from twisted_mesh.policy.breaker import BreakerRule
from twisted_mesh.policy.outlier import OutlierRule


def test_the_defaults_are_those_of_the_policies() -> None:
    assert BreakerRule(**Breaker().model_dump(exclude={"shared"})) == BreakerRule()
    assert OutlierRule(**Outlier().model_dump(exclude={"shared"})) == OutlierRule()


@pytest.mark.parametrize(
    ("model", "written", "message"),
    [
        (Breaker, {"failures": -1}, "greater than or equal to 0"),
        (Breaker, {"percent": 101}, "less than or equal to 100"),
        (Breaker, {"window": "0s"}, "more than 0"),
        (Breaker, {"least": "2s", "most": "1s"}, "expected most to be at least least"),
        (Breaker, {"failures": 0, "percent": 0}, "the breaker would never open"),
        (Outlier, {"share": -1}, "greater than or equal to 0"),
        (Outlier, {"base": "10m"}, "expected most to be at least base"),
        (Outlier, {"errors": 0, "failures": 0, "deviations": 0}, "nothing would ever be left out"),
        (Outlier, {"calls": 0}, "greater than or equal to 1"),
        (Outlier, {"consecutive_5xx": 5}, "consecutive_5xx"),
    ],
)
def test_what_is_wrong_is_refused(model: Any, written: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        model.model_validate(written)


def test_an_outlier_detection_of_others_only_and_of_one_rule_only_is_one() -> None:
    none = {"errors": 0, "failures": 0, "deviations": 0}
    for rule in ({"shared": 2}, {"gateway_errors": 3}, {"percent": 40}):
        assert Outlier.model_validate(none | rule)


def test_limits() -> None:
    limits = Limits.model_validate({"calls": 10, "wait": "250ms"})
    assert (limits.calls, limits.waiting, limits.wait) == (10, 1024, 0.25)
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Limits.model_validate({"calls": 0})

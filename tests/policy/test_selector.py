"""Which sidecars a resource is for."""

from __future__ import annotations

from typing import Any

import pytest

from twisted_mesh.policy.selector import EVERYONE, Who, parse_group, parse_selector

WEB = Who("web-1", "web", "a", {"tier": "edge", "version": "v1"})
GROUPS = {
    "edge": {"labels": {"tier": "edge"}},
    "other": {"zone": "z"},
    "bad": {"zon": "a"},
    "nested": {"group": "edge"},
}


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (None, True),
        ({}, True),
        ({"service": "web"}, True),
        ({"service": "api"}, False),
        ({"service": ["api", "web"]}, True),
        ({"service": "web", "zone": "b"}, False),
        ({"node": "web-*"}, True),
        ({"node": "web-2*"}, False),
        ({"node": "*"}, True),
        ({"labels": {"tier": "edge"}}, True),
        ({"labels": {"tier": "edge", "version": ["v2", "v3"]}}, False),
        ({"labels": {"missing": "*"}}, False),
        ({"group": "edge"}, True),
        ({"group": "other"}, False),
        ({"group": "edge", "zone": "b"}, False),
    ],
)
def test_all_conditions_must_hold(value: Any, meant: bool) -> None:
    assert parse_selector(value, GROUPS).matches(WEB) is meant


@pytest.mark.parametrize(
    ("value", "conditions"),
    [(None, 0), ({"zone": ["a", "b"]}, 1), ({"zone": "a", "labels": {"x": "1", "y": "2"}}, 3), ({"group": "edge"}, 1)],
)
def test_conditions_are_counted(value: Any, conditions: int) -> None:
    """Of two selectors that match, the one with more of them is meant more."""
    assert parse_selector(value, GROUPS).conditions == conditions


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("web", "expected a mapping of node, service, zone, labels, group, got 'web'"),
        ({"zon": "a"}, "unknown condition 'zon'; known are node, service"),
        ({"zone": 5}, "zone: expected a text or a list of texts, got 5"),
        ({"zone": []}, "zone: expected a text or a list of texts, got []"),
        ({"zone": ""}, "zone: expected a text"),
        ({"labels": "x"}, "labels: expected a mapping of names to values, got 'x'"),
        ({"labels": {"x": None}}, "labels.x: expected a text or a list of texts, got None"),
        ({"labels": {5: "x"}}, "labels: expected the name of a label, got 5"),
        ({"group": ["edge"]}, "group: expected the name of a group, got"),
        ({"group": "gone"}, "group: there is no resource groups/gone; groups are: bad, edge, nested, other"),
        ({"group": "bad"}, "group: groups/bad: unknown condition 'zon'"),
        ({"group": "nested"}, "group: groups/nested: group: a group cannot be made of another one"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(value: Any, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_selector(value, GROUPS)
    assert str(caught.value).startswith(says)


def test_a_group_says_something() -> None:
    """One that forgot its conditions would be for everyone."""
    assert parse_selector({}) == EVERYONE
    with pytest.raises(ValueError, match="at least one of"):
        parse_group({})

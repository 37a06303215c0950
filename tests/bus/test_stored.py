"""What one sidecar has of the store."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from twisted_mesh.bus.resource import TRIAL, Canary, Draft, decode, encode
from twisted_mesh.bus.stored import EMPTY, STEP, Stored, with_trial
from twisted_mesh.policy.canary import place
from twisted_mesh.policy.selector import Who

WEB = Who("web-1", "web", "a", {"tier": "edge"})


def stored(canary: Optional[Canary] = None, **resources: Any) -> Stored:
    """Return a store; ``clusters__web=Draft(1)`` for ``clusters/web``, bytes for a whole record."""
    records = {}
    for key, draft in resources.items():
        name = key.replace("_at_", "@").replace("trial_", TRIAL).replace("__", "/")
        head = b'{"version":3,"author":"ann","reason":"","at":1000}\n'
        record = (
            draft
            if isinstance(draft, bytes)
            else head + (b"\n" if draft is None else encode(name.lstrip(TRIAL), draft))
        )
        records[name] = decode(name, record)
    return Stored("1-x", 3, records, canary)


def had(found: Stored, who: Who = WEB) -> dict[str, Any]:
    return {name: each.value for name, each in found.effective(who).resources.items()}


def test_selectors_choose_what_a_sidecar_has() -> None:
    found = stored(
        clusters__web=Draft(1),
        clusters__api=Draft(2, {"zone": "b"}),
        routes__shop=Draft(3, {"group": "edge"}),
        groups__edge=Draft({"labels": {"tier": "edge"}}),
    )
    assert had(found) == {"clusters/web": 1, "routes/shop": 3}
    assert had(found, Who("x", zone="b")) == {"clusters/web": 1, "clusters/api": 2}


def test_of_several_variants_the_one_with_the_most_conditions_counts() -> None:
    found = stored(
        clusters__web=Draft("all"),
        clusters__web_at_zone=Draft("zone", {"zone": "a"}),
        clusters__web_at_both=Draft("both", {"zone": "a", "service": "web"}),
        clusters__web_at_beta=Draft("other", {"zone": "a", "service": "web"}),
    )
    assert had(found) == {"clusters/web": "other"}
    assert had(found, Who("x", "api", "a")) == {"clusters/web": "zone"}
    assert had(found, Who("x")) == {"clusters/web": "all"}
    assert found.effective(WEB).resources["clusters/web"].name == "clusters/web"


@pytest.mark.parametrize(
    ("resources", "name", "says"),
    [
        ({"clusters__web": b"junk"}, "clusters/web", "the record at Redis cannot be read"),
        (
            {"clusters__web": Draft(1, {"group": "gone"})},
            "clusters/web",
            "select.group: there is no resource groups/gone",
        ),
        ({"clusters__web": b'{"version":3}\n["a"]\n1'}, "clusters/web", "select: expected a mapping"),
        ({"groups__x": b'{"version":3}\n\n{"group":"y"}'}, "groups/x", "group: a group cannot be made of another one"),
    ],
)
def test_what_is_wrong_is_refused_by_name_and_the_rest_stays(resources: Any, name: str, says: str) -> None:
    found = stored(routes__good=Draft(1), **resources).effective(WEB)
    assert list(found.resources) == ["routes/good"]
    assert [each.name for each in found.refused] == [name]
    assert found.refused[0].reason.startswith(says)


def canary(bound: float, *names: str) -> Canary:
    return Canary(3, 0.5, bound, 0.05, 100, names=names)


def test_a_canary_is_for_those_at_or_below_its_bound() -> None:
    trial = {
        "clusters__web": Draft(1),
        "trial_clusters__web": Draft(2),
        "clusters__old": Draft(1),
        "trial_clusters__old": None,
    }
    at = place(WEB.node)
    inside = stored(canary(at, "clusters/web", "clusters/old"), **trial)
    outside = stored(canary(at - 1e-9, "clusters/web", "clusters/old"), **trial)
    assert had(inside) == {"clusters/web": 2}
    assert inside.effective(WEB).canary
    assert had(outside) == {"clusters/web": 1, "clusters/old": 1}
    assert not outside.effective(WEB).canary
    assert inside.resources.keys() == {"clusters/web", "clusters/old"}
    assert inside.trial["clusters/old"] is None


def test_without_an_open_canary_what_it_left_is_for_nobody() -> None:
    assert had(stored(clusters__web=Draft(1), trial_clusters__web=Draft(2))) == {"clusters/web": 1}


def test_a_canary_concerns_those_who_would_notice() -> None:
    """Also those for whom it takes something away, or changes a group."""
    base = stored(clusters__web=Draft(1, {"zone": "a"}), clusters__api=Draft(1, {"zone": "b"}))
    assert not base.concerned(WEB)
    assert with_trial(base, {"clusters/web": Draft(2, {"zone": "b"})}).concerned(WEB)
    assert with_trial(base, {"clusters/web": None}).concerned(WEB)
    assert not with_trial(base, {"clusters/api": Draft(2, {"zone": "b"})}).concerned(WEB)
    assert with_trial(base, {"groups/x": Draft({"zone": "z"})}).concerned(WEB)
    assert with_trial(base, {"clusters/api": Draft(2, {"group": "gone"})}).concerned(WEB)


def test_a_dump_comes_back_as_it_was() -> None:
    found = stored(
        canary(0.5, "clusters/web"), clusters__web=Draft({"a": []}), trial_clusters__web=Draft(2), routes__x=b"\xffjunk"
    )
    assert Stored.load("".join(found.dump())) == found
    assert Stored.load("".join(EMPTY.dump())) == EMPTY


def test_a_dump_of_many_comes_in_pieces() -> None:
    found = stored(**{f"clusters__c{at}": Draft(at) for at in range(3 * STEP + 1)})
    pieces = list(found.dump())
    assert len(pieces) == 1 + 4 + 1
    assert Stored.load("".join(pieces)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"epoch": 1, "version": 2, "canary": null, "records": {}}',
        '{"epoch": "1-a", "version": 2, "canary": null, "records": {"a": 1}}',
        "".join(EMPTY.dump())[:-1],
    ],
)
def test_what_is_no_dump_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a dump"):
        Stored.load(text)

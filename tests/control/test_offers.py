"""Resources of the bus as they are offered."""

from __future__ import annotations

import pytest

from twisted_mesh.control.offers import Offer, Refusal, check_resource, owner_of
from twisted_mesh.errors import Problem


def test_an_offer_gives_its_value_anew_each_time() -> None:
    offer = Offer.of("clusters/web", 3, {"endpoints": []})
    assert offer.body == b'{"endpoints":[]}'
    offer.value["endpoints"].append("a:1")
    assert offer.value == {"endpoints": []}
    with pytest.raises(ValueError):
        _ = Offer("clusters/web", 3, b"{").value


def test_a_refusal_says_why_in_one_line() -> None:
    problems = (Problem("bus version 3", 0, 0, "clusters.web", "no"), Problem("bus version 3", 0, 0, "", "neither"))
    assert str(Refusal("clusters/web", 3, problems)) == "clusters/web: bus version 3: clusters.web: no; " + str(
        problems[1]
    )
    assert Refusal("clusters/web", 3, problems, deleted=True).reason.startswith("deleted, but still needed: ")


@pytest.mark.parametrize("name", ["listeners/edge", "routes/shop", "clusters/web"])
def test_names_of_resources(name: str) -> None:
    check_resource(name)


@pytest.mark.parametrize("name", ["groups/a", "clusters", "clusters/", "clusters/a b", "web"])
def test_names_of_none(name: str) -> None:
    with pytest.raises(ValueError):
        check_resource(name)


@pytest.mark.parametrize(
    ("problem", "owner"),
    [
        (Problem("mesh.yaml", 1, 1, "clusters.web.endpoints[0]", ""), "clusters/web"),
        (Problem("mesh.yaml", 1, 1, 'clusters."a.b".endpoints', ""), "clusters/a.b"),
        (Problem("listeners.edge.bind[0]", 0, 0, "", ""), "listeners/edge"),
        (Problem("mesh.yaml", 1, 1, "admin", ""), "admin"),
        (Problem("bus version 3", 0, 0, "clusters/a b", ""), "clusters/a b"),
    ],
)
def test_whose_problem_it_is(problem: Problem, owner: str) -> None:
    assert owner_of(problem) == owner

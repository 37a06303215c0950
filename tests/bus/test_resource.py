"""Names, drafts and records of the store's resources."""

from __future__ import annotations

from typing import Any

import pytest

from twisted_mesh.bus.resource import MAX_RECORD, Draft, base_name, check_name, decode, encode

HEAD = b'{"version":7,"author":"ann","reason":"why","at":1500}\n'


@pytest.mark.parametrize("name", ["clusters/web", "routes/shop@edge", "groups/a_b", "listeners/e.1-x"])
def test_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["web", "filters/x", "clusters/", "clusters/a b", "clusters/a@", "~clusters/a", "clusters/" + "x" * 64]
)
def test_what_is_no_name_is_told_what_is(name: str) -> None:
    with pytest.raises(ValueError, match="expected KIND/NAME or KIND/NAME@VARIANT"):
        check_name(name)


def test_a_variant_has_the_name_of_what_it_varies() -> None:
    assert base_name("clusters/web@edge") == "clusters/web"
    assert decode("clusters/web@edge", HEAD + b"\n1").base == "clusters/web"


def test_a_draft_becomes_a_record_and_a_resource() -> None:
    """Empty lists, numbers that look like texts and keys that are numbers come back as JSON has them."""
    value = {"a": [], "b": "1.10", "c": {}, "d": 1.5, 200: None, "é": [True, ("x",)]}
    found = decode("clusters/web", HEAD + encode("clusters/web", Draft(value, {"zone": ["a"]})))
    assert found.value == {"a": [], "b": "1.10", "c": {}, "d": 1.5, "200": None, "é": [True, ["x"]]}
    assert (found.version, found.author, found.reason, found.at, found.select) == (
        7,
        "ann",
        "why",
        1.5,
        {"zone": ["a"]},
    )


def test_bodies_that_are_equal_have_equal_values() -> None:
    one, other = (decode("clusters/web", HEAD + encode("clusters/web", Draft({"a": 1}))) for _ in range(2))
    assert one.body == other.body == b'{"a":1}'


@pytest.mark.parametrize(
    ("name", "draft", "says"),
    [
        ("clusters/web", Draft({"a": [float("inf")]}), r"clusters/web: value.a\[0\]: inf cannot be written as JSON"),
        ("clusters/web", Draft({"a": b"x"}), "clusters/web: value.a: a bytes cannot be written"),
        ("clusters/web", Draft({None: 1}), "clusters/web: value: expected a name, got None"),
        ("clusters/web", Draft({"a": "\udc80"}), "clusters/web: value.a: the text '.udc80' has no bytes in UTF-8"),
        ("clusters/web", Draft("x" * MAX_RECORD), "clusters/web: 1048579 bytes of JSON, more than the 1048576"),
        ("clusters/web", Draft(1, {"zon": "a"}), "clusters/web: select: unknown condition 'zon'"),
        ("groups/edge", Draft({}), "groups/edge: expected at least one of"),
        ("web", Draft(1), "expected KIND/NAME"),
    ],
)
def test_what_cannot_be_written_is_said_with_its_place(name: str, draft: Draft, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        encode(name, draft)


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"x",
        HEAD[:-1],
        b"{}\n\n1",
        HEAD,
        HEAD + b"\n",
        HEAD + b"\n{",
        HEAD + b"{\n1",
        b"\xff\n\n1",
        HEAD + b"\n1\n2",
    ],
)
def test_a_record_that_somebody_else_wrote_has_a_problem(record: bytes) -> None:
    """It is told by name and spoils nothing else."""
    found = decode("clusters/web", record)
    assert found.problem.startswith("the record at Redis cannot be read: ")
    # Whoever puts it right says which version they saw, as always.
    assert (found.body, found.version) == (b"", 7 if record.startswith(HEAD) else 0)
    with pytest.raises(ValueError, match="cannot be read"):
        _ = found.value


def test_a_name_that_somebody_else_wrote_has_a_problem() -> None:
    assert "expected KIND/NAME" in decode("nonsense", HEAD + b"\n1").problem


def test_a_trial_may_be_the_end_of_a_resource() -> None:
    found: Any = decode("~clusters/web", HEAD + b"\n")
    assert (found.problem, found.body) == ("", b"")

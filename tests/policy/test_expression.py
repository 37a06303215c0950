"""The syntax of expressions; what each means is seen by matching, in test_pattern."""

from __future__ import annotations

import pytest

from twisted_mesh.policy.expression import LONGEST, Choice, Repeat, Sequence, Set, parse, size


def one(chars: str) -> Set:
    return Set(False, frozenset(chars))


def test_the_tree() -> None:
    assert parse("a[bc]{2,}|.") == Choice(
        [Sequence([one("a"), Repeat(one("bc"), 2, None)]), Sequence([Set(True, frozenset())])]
    )


@pytest.mark.parametrize(("text", "places"), [("", 0), ("ab|c", 3), ("(ab){3}", 6), ("a{2,}b*", 3), ("a{0,5}", 5)])
def test_the_size(text: str, places: int) -> None:
    assert size(parse(text)) == places


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(a", "a ( that is not closed in the expression '(a'"),
        ("a)", "a ) that closes nothing"),
        ("[a", "a [ that is not closed"),
        ("*a", "a * that repeats nothing"),
        ("a**", "a repetition of a repetition"),
        ("a^b", "a ^ in the middle"),
        ("a$b", "a $ in the middle"),
        ("a{x}", "a { that is not {2}, {2,} or {2,5}"),
        ("a{2", "a { that is not"),
        ("a{3,2}", "a repetition that is not from small to large"),
        ("a{999}", "beyond 100"),
        ("(?=a)b", "nothing else can be matched in bounded time"),
        (r"(a)\1", "back-references cannot be matched in bounded time"),
        (r"\bA", r"\b, which is not known,"),
        ("a\\", "a \\ at the end"),
        ("[z-a]", "a range from z that leads nowhere"),
        (r"[a-\d]", "a range from a that leads nowhere"),
        ("(" * 30 + ")" * 30, "more than 20 groups within each other"),
        ("a" * (LONGEST + 1), "longer than 1000 characters"),
    ],
)
def test_what_is_no_expression_is_said_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse(text)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)

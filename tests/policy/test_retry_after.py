"""Retry-After: seconds, the three forms of a date, and what is neither."""

from __future__ import annotations

from typing import Optional

import pytest

from twisted_mesh.policy.retry_after import retry_after, spread

# Sun, 06 Nov 1994 08:49:37 GMT: the example of RFC 9110, section 5.6.7.
EXAMPLE = 784111777.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("9" * 40, 9999999999.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 10.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 10.0),
        ("Sun Nov  6 08:49:37 1994", 10.0),
        ("Sun, 06 Nov 1994 08:49:20 GMT", 0.0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Sun, 06 Now 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 CET", None),
    ],
)
def test_what_is_asked_for(text: str, seconds: Optional[float]) -> None:
    assert retry_after(text, EXAMPLE - 10.0) == seconds


def test_a_year_of_two_digits_is_not_far_ahead() -> None:
    assert retry_after("Thursday, 01-Jan-70 00:00:00 GMT", EXAMPLE) == 0.0
    ahead = retry_after("Saturday, 01-Jan-00 00:00:00 GMT", EXAMPLE)
    assert ahead == 0.0, "that was in 1900: 2000 would need to be written out, or be less than 50 years ahead"


@pytest.mark.parametrize(("dice", "wait"), [(0.0, 4.0), (0.5, 5.0), (0.999, 5.998)])
def test_those_who_were_told_the_same_part_ways(dice: float, wait: float) -> None:
    assert spread(4.0, lambda: dice) == pytest.approx(wait)

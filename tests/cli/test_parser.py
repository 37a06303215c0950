"""The parser of the command line."""

from __future__ import annotations

import argparse
from typing import Callable

import pytest

from twisted_mesh.cli import parser as made
from twisted_mesh.cli.main import main


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (made.duration, "600s", 600.0),
        (made.duration, "0", 0.0),
        (made.address, "127.0.0.1:80", "127.0.0.1:80"),
        (made.address, "[::1]:80", "[::1]:80"),
        (made.share, "10%", 0.1),
        (made.share, "12.5", 0.125),
        (made.weight, "3", 3),
        (made.version, "17", 17),
        (made.pair, "a=b=c", ("a", "b=c")),
        (made.pair, "a=", ("a", "")),
        (made.resource, "clusters/web", "clusters/web"),
    ],
)
def test_values(read: Callable[[str], object], text: str, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "complaint"),
    [
        (made.duration, "5", 'expected a duration such as 250ms, 2s or 1m, got "5"'),
        (made.address, "web", "expected"),
        (made.share, "0%", 'expected a percentage such as 10%, more than 0 and at most 100, got "0%"'),
        (made.share, "101", "expected a percentage"),
        (made.weight, "-1", "expected a whole number"),
        (made.weight, "x", "expected a whole number"),
        (made.version, "v1", "expected a version, a whole number as `meshctl history` shows it"),
        (made.pair, "=x", 'expected NAME=VALUE, got "=x"'),
        (made.pair, "x", 'expected NAME=VALUE, got "x"'),
        (made.resource, "a b", 'expected a resource such as clusters/web, got "a b"'),
    ],
)
def test_wrong_values_are_told_what_would_be_right(read: Callable[[str], object], text: str, complaint: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        read(text)
    assert str(caught.value).startswith(complaint)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["complete"],
            'meshctl: unknown command "complete"; did you mean "completion"?; `meshctl --help` says more',
        ),
        (
            ["completion", "bsh"],
            'meshctl completion: unknown SHELL "bsh"; did you mean "bash"?; `meshctl completion --help` says more',
        ),
        (
            ["run", "--kill-after", "5", "--", "true"],
            'meshctl run: --kill-after: expected a duration such as 250ms, 2s or 1m, got "5"; '
            "`meshctl run --help` says more",
        ),
        (["schema", "--", "x"], "meshctl: nothing may follow --; `meshctl --help` says more"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err == line + "\n"

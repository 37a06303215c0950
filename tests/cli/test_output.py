"""How commands print."""

from __future__ import annotations

import argparse
import json

import pytest

from twisted_mesh.cli.output import age, complain, counted, labels_text, plain, show, table


def test_columns_are_aligned_and_what_is_missing_is_a_dash() -> None:
    assert table(["NAME", "N"], [["a", 10], ["longer", ""]]) == "NAME    N\na       10\nlonger  -"


def test_what_others_wrote_moves_no_cursor() -> None:
    assert plain("a\x1b[2Jb\nc") == "a\ufffd[2Jb\ufffdc"
    assert table(["X"], [["\x1b"]]) == "X\n\ufffd"


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0s"), (0.9, "0s"), (59, "59s"), (61, "1m"), (7200, "2h"), (200000, "2d")]
)
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_words() -> None:
    assert (counted(1, "change"), counted(2000, "change")) == ("1 change", "2,000 changes")
    assert labels_text({"b": "2", "a": "1"}) == "a=1,b=2"


def test_json_or_text(capsys: pytest.CaptureFixture[str]) -> None:
    show(argparse.Namespace(output="json"), {"a": "ü"}, lambda: "never")
    assert json.loads(capsys.readouterr().out) == {"a": "ü"}
    show(argparse.Namespace(output="text"), {}, lambda: "words")
    show(argparse.Namespace(output="text"), {}, lambda: "")
    assert capsys.readouterr().out == "words\n"
    complain("not so")
    assert capsys.readouterr().err == "meshctl: not so\n"

"""What is read off the parser."""

from __future__ import annotations

import argparse

from twisted_mesh.cli.words import words_of


def test_a_parser_is_read() -> None:
    parser = argparse.ArgumentParser(prog="tool", description="Does it.", allow_abbrev=False)
    parser.add_argument("--to", "-t", metavar="PLACE", required=True, help="where")
    parser.add_argument("--label", metavar="K=V", action="append", help="what\n  it is")
    parser.add_argument("--fast", action="store_true", help="soon")
    parser.add_argument("kind", metavar="KIND", choices=("a", "b"), help="which")
    parser.add_argument("names", metavar="NAME", nargs="*", help="of what")
    parser.set_defaults(rest_usage="-- COMMAND")
    words = words_of(parser)
    assert words.usage == "tool [OPTION ...] --to PLACE KIND [NAME ...] -- COMMAND"
    assert words.description == "Does it."
    by_name = {each.names[0]: each for each in words.options}
    assert (by_name["--to"].value, by_name["--to"].names) == ("PLACE", ("--to", "-t"))
    assert (by_name["--label"].repeatable, by_name["--label"].about) == (True, "what it is")
    assert by_name["--fast"].value == ""
    assert [(each.name, each.many, each.optional, each.choices) for each in words.arguments] == [
        ("KIND", False, False, ("a", "b")),
        ("NAME", True, True, ()),
    ]


def test_commands_are_read_too() -> None:
    parser = argparse.ArgumentParser(prog="tool")
    commands = parser.add_subparsers(metavar="COMMAND")
    commands.add_parser("go", help="start")
    [go] = words_of(parser).commands
    assert (go.name, go.about, words_of(parser).usage) == ("tool go", "start", "tool [OPTION ...] COMMAND ...")

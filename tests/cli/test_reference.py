"""docs/meshctl.md."""

from __future__ import annotations

from tests.support import ROOT
from twisted_mesh.cli.main import COMMANDS, parser
from twisted_mesh.cli.reference import markdown
from twisted_mesh.cli.words import words_of


def test_the_page_is_current() -> None:
    """`make docs` writes it again."""
    assert (ROOT / "docs" / "meshctl.md").read_text("utf-8") == markdown(words_of(parser()))


def test_it_has_every_command_and_every_option() -> None:
    page = markdown(words_of(parser()))
    for command in words_of(parser()).commands:
        section = page.partition(f"\n## {command.name}\n")[2].partition("\n## ")[0]
        assert command.usage in section
        assert all(f"`{name}`" in section for each in command.options[1:] for name in each.names)
    assert len(words_of(parser()).commands) == len(COMMANDS)


def test_no_row_of_a_table_is_broken_by_what_stands_in_it() -> None:
    """`|` ends a cell also within backticks."""
    for line in markdown(words_of(parser())).splitlines():
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") in (3, 4), line

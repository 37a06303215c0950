"""What can be written on the command line, read off the parser: for the documentation and for shell completion."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import Optional

# What the value of an option or an argument is completed with, by its metavar.
FILES = ("PATH", "FILE", "FILE|DIR")
# What is asked of the mesh for it, where MESHCTL_REDIS says where that is.
ASKED = {"SERVICE": "services -o names", "RESOURCE": "get -o names"}


@dataclass(frozen=True)
class Option:
    """An option: how it is written, what its value is called ("" if it takes none), and what it is for."""

    names: tuple[str, ...]
    value: str
    about: str
    choices: tuple[str, ...] = ()
    repeatable: bool = False
    required: bool = False

    @property
    def written(self) -> str:
        """The option as usage shows it."""
        return f"{self.names[0]} {self.value}" if self.value else self.names[0]


@dataclass(frozen=True)
class Argument:
    """What stands without a name."""

    name: str
    about: str
    many: bool
    optional: bool
    choices: tuple[str, ...] = ()

    @property
    def written(self) -> str:
        """The argument as usage shows it."""
        name = f"{self.name} ..." if self.many else self.name
        return f"[{name}]" if self.optional else name


@dataclass(frozen=True)
class Words:
    """A command, or the whole program."""

    name: str
    about: str
    description: str
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]
    rest: str = ""
    commands: tuple[Words, ...] = field(default=())

    @property
    def usage(self) -> str:
        """One line that says how it is written."""
        required = [each.written for each in self.options if each.required]
        optional = ["[OPTION ...]"] if len(required) < len(self.options) else []
        parts = [self.name, *optional, *required, *(each.written for each in self.arguments)]
        if self.commands:
            parts.append("COMMAND ...")
        return " ".join(each for each in [*parts, self.rest] if each)


def words_of(parser: argparse.ArgumentParser, about: str = "") -> Words:
    """Return what `parser` knows."""
    options, arguments, commands = [], [], []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {each.dest: each.help or "" for each in action._choices_actions}
            commands = [words_of(each, helps[name]) for name, each in action.choices.items()]
        elif action.option_strings:
            options.append(_option(action))
        else:
            arguments.append(_argument(action))
    return Words(
        name=parser.prog,
        about=about,
        description=(parser.description or "").strip(),
        options=tuple(options),
        arguments=tuple(arguments),
        rest=str(parser.get_default("rest_usage") or ""),
        commands=tuple(commands),
    )


def _option(action: argparse.Action) -> Option:
    takes_one = action.nargs != 0
    return Option(
        names=tuple(action.option_strings),
        value=str(action.metavar or action.dest.upper()) if takes_one else "",
        about=_about(action),
        choices=_choices(action),
        repeatable=isinstance(action, argparse._AppendAction),
        required=action.required,
    )


def _argument(action: argparse.Action) -> Argument:
    return Argument(
        name=str(action.metavar or action.dest.upper()),
        about=_about(action),
        many=action.nargs in ("*", "+"),
        optional=action.nargs in ("*", "?"),
        choices=_choices(action),
    )


def _about(action: argparse.Action) -> str:
    # argparse's own words for --help and --version are sentences like ours.
    return " ".join((action.help or "").split())


def _choices(action: argparse.Action) -> tuple[str, ...]:
    choices: Optional[object] = action.choices
    return tuple(str(each) for each in action.choices) if choices is not None and action.choices is not None else ()

"""The parser of the command line: mistakes are one line, and options that several commands share are made here."""

from __future__ import annotations

import argparse
import re
from typing import Any, Callable, NoReturn, Optional, Sequence

from twisted_mesh.cli.failure import USAGE

_RESOURCE = re.compile(r"[a-z]+/[A-Za-z0-9_.-]+(?:@[A-Za-z0-9_.-]+)?", re.ASCII)

MOST_WEIGHT = 1_000_000


class Paragraphs(argparse.HelpFormatter):
    """Keeps the paragraphs of a description apart."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        return "\n\n".join(fill(each, width, indent) for each in text.strip().split("\n\n"))


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line and say what would be right."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("allow_abbrev", False)
        options.setdefault("formatter_class", Paragraphs)
        super().__init__(*arguments, **options)

    def error(self, message: str) -> NoReturn:
        """End with status 2 and one line."""
        message = re.sub(r"^argument (\S+?)(?:/\S+)*: ", r"\1: ", message)
        self.exit(USAGE, f"{self.prog}: {message}; `{self.prog} --help` says more\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Complain of an unknown word with the one that was probably meant, alike in every version of Python."""
        if action.choices is not None and value not in action.choices:
            from twisted_mesh.control.nearest import did_you_mean_or_list

            raise argparse.ArgumentError(
                None, f'unknown {_kind(action)} "{value}"{did_you_mean_or_list(str(value), map(str, action.choices))}'
            )


def _kind(action: argparse.Action) -> str:
    if isinstance(action, argparse._SubParsersAction):
        return "command"
    return f"value of {action.option_strings[-1]}" if action.option_strings else str(action.metavar or action.dest)


def typed(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return `read` as argparse wants it: what its ValueError says is shown as it stands."""

    def convert(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


# --- kinds of values


@typed
def duration(text: str) -> float:
    """Read ``250ms``, ``2s``, ``1m30s``."""
    from twisted_mesh.model.units import parse_duration

    return parse_duration(0 if text == "0" else text)


@typed
def address(text: str) -> str:
    """Read ``HOST:PORT``."""
    from twisted_mesh.model.address import Address

    return str(Address.parse(text))


@typed
def share(text: str) -> float:
    """Read a percentage, ``10%`` or ``10``, as 0 to 1."""
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,3})?)%?", text, re.ASCII)
    if found is None or not 0 < float(found[1]) <= 100:
        raise ValueError(f'expected a percentage such as 10%, more than 0 and at most 100, got "{text}"')
    return float(found[1]) / 100


@typed
def weight(text: str) -> int:
    """Read a weight."""
    if not (text.isascii() and text.isdigit() and len(text) <= 7 and 1 <= int(text) <= MOST_WEIGHT):
        raise ValueError(f'expected a whole number from 1 to {MOST_WEIGHT:,}, got "{text}"')
    return int(text)


@typed
def count(text: str) -> int:
    """Read a number of things, 1 at least."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0):
        raise ValueError(f'expected a whole number, 1 or more, got "{text}"')
    return int(text)


@typed
def version(text: str) -> int:
    """Read the version of a mesh's configuration."""
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise ValueError(f'expected a version, a whole number as `meshctl history` shows it, got "{text}"')
    return int(text)


@typed
def pair(text: str) -> tuple[str, str]:
    """Read ``NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f'expected NAME=VALUE, got "{text}"')
    return name, value


# --- options that several commands share


def output(
    parser: argparse.ArgumentParser, formats: Sequence[str] = ("text", "json"), default: str = argparse.SUPPRESS
) -> None:
    """Add ``-o``; the same may stand before the command."""
    parser.add_argument(
        "-o",
        "--output",
        choices=formats,
        default=default,
        metavar="FORMAT",
        help=f"how to print: {', '.join(formats[:-1])}{' or ' if len(formats) > 1 else ''}{formats[-1]}",
    )


def bus(parser: argparse.ArgumentParser, formats: Sequence[str] = ("text", "json")) -> None:
    """Add what every command that talks to the bus takes; the same may stand before the command."""
    where(parser, argparse.SUPPRESS)
    output(parser, formats)


def where(parser: argparse.ArgumentParser, default: Optional[str] = None) -> None:
    """Add ``--redis`` and ``--mesh``."""
    parser.add_argument(
        "--redis", metavar="URL", default=default, help="the Redis of the mesh; MESHCTL_REDIS stands in for it"
    )
    parser.add_argument(
        "--mesh", metavar="NAME", default=default, help='the mesh; MESHCTL_MESH stands in for it, else "default"'
    )
    for name, what in (
        ("ca", "who signs the certificate of a rediss:// server"),
        ("certificate", "meshctl's own certificate for a rediss:// server"),
        ("key", "the key of that certificate"),
    ):
        variable = f"MESHCTL_{name.upper()}"
        parser.add_argument(
            f"--{name}", metavar="FILE", default=default, help=f"{what}, PEM; {variable} stands in for it"
        )


def instance(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name one instance."""
    parser.add_argument("service", metavar="SERVICE", help="the name of the service")
    parser.add_argument("instance", metavar="INSTANCE", help="its id, or HOST:PORT")


def files(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the files that are to be applied, and what they are checked against."""
    parser.add_argument(
        "-f",
        "--file",
        metavar="FILE|DIR",
        action="append",
        default=[],
        required=required,
        help="a YAML file, or a directory of them; - for the standard input",
    )
    parser.add_argument(
        "--base",
        metavar="PATH",
        help="a sidecar's own configuration, to check the whole as that sidecar will; without it, what is referred to "
        "and not on the bus is taken to be in the sidecars' own files",
    )


def change(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes that changes the configuration on the bus."""
    author(parser)
    waiting(parser)
    bus(parser)


def ttl(parser: argparse.ArgumentParser) -> None:
    """Add how long an override holds."""
    parser.add_argument(
        "--ttl", metavar="DURATION", type=duration, default=3600.0, help="how long it holds; 1h if not given"
    )


def author(parser: argparse.ArgumentParser, *, reason: bool = True) -> None:
    """Add who changes something, and why."""
    parser.add_argument(
        "--author", metavar="NAME", help="who changes it; MESHCTL_AUTHOR stands in for it, else USER@HOST"
    )
    if reason:
        parser.add_argument("--reason", metavar="TEXT", default="", help="why; it stands in the history")


def waiting(parser: argparse.ArgumentParser) -> None:
    """Add ``--wait``."""
    parser.add_argument(
        "--wait", action="store_true", help="return when all live sidecars have acknowledged, else status 1"
    )
    parser.add_argument(
        "--timeout", metavar="DURATION", type=duration, default=30.0, help="how long to wait for them; 30s if not given"
    )


def resource_or_kind(text: str) -> str:
    """Read the name of a resource, or of a kind of them."""
    return text if text in ("listeners", "routes", "clusters", "groups") else resource(text)


def resource(text: str) -> str:
    """Read the name of a resource, ``clusters/web``."""
    if not _RESOURCE.fullmatch(text):
        raise argparse.ArgumentTypeError(f'expected a resource such as clusters/web, got "{text}"')
    return text

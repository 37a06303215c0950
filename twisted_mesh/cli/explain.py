"""Run one imaginary call through the live configuration of a sidecar, and say what would become of it.

The call is METHOD URL, as in `GET http://shop.example/cart`, or COMMAND KEY, as in `GET user:1`, or CONNECT
tcp://HOST:PORT. Nothing is sent and nothing is counted: the sidecar asks its own routes, filters and clusters, and
prints the listener, the route, the verdict of each filter, the candidates with their scores and breakers, and the
choice; of a command of Redis that is divided, its parts. What is left to the dice (a split by weight, a percentage)
may fall otherwise for the next call.

`meshctl explain endpoint [CLUSTER] [HOST:PORT]` says why endpoints are in or out, by which rule, and until when.
"""

from __future__ import annotations

import argparse
from urllib.parse import urlencode

from twisted_mesh.cli import admin_address
from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.failure import USAGE, Failure
from twisted_mesh.cli.output import plain

NAME = "explain"
HELP = "say what would become of a call, or why an endpoint is in or out"
ENDPOINT = "endpoint"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "what", metavar="METHOD|COMMAND|endpoint", help="a method of HTTP, a command of Redis, CONNECT, or endpoint"
    )
    parser.add_argument(
        "words", metavar="URL|KEY|WORD", nargs="*", help="the URL, or the key and what follows it, or CLUSTER HOST:PORT"
    )
    parser.add_argument(
        "-H", "--header", metavar="NAME: VALUE", action="append", default=[], help="a header field of the request"
    )
    parser.add_argument("--listener", metavar="NAME", default="", help="the listener, where several could be meant")
    parser.add_argument("--source", metavar="IP", default="", help="the client's address; 127.0.0.1 if not given")
    parser.add_argument("--identity", metavar="NAME", default="", help="who the caller is")
    parser.add_argument("--db", metavar="NUMBER", default="", help="the database of Redis; 0 if not given")
    admin_address.option(parser)
    options_of.output(parser, ("text", "json"))


def run(arguments: argparse.Namespace) -> int:
    """Ask the sidecar, and print what it says."""
    path, asked = _endpoint(arguments) if arguments.what == ENDPOINT else _call(arguments)
    asked["format"] = arguments.output
    query = urlencode({name: value for name, value in asked.items() if value}, errors="surrogateescape")
    text = admin_address.ask(arguments, f"{path}?{query}").decode("utf-8", "replace")
    for line in text.rstrip("\n").split("\n"):
        print(plain(line))
    return 0


def _call(arguments: argparse.Namespace) -> tuple[str, dict[str, str]]:
    for each in arguments.header:
        if not each.partition(":")[1]:
            raise Failure(f'-H: expected NAME: VALUE, got "{each}"', USAGE)
    if any("\n" in each for each in (*arguments.words, *arguments.header)):
        raise Failure("a word or a header with a line break cannot be explained", USAGE)
    words = arguments.words
    return "/explain", {
        "method": arguments.what,
        "target": words[0] if words else "",
        "words": "\n".join(words[1:]),
        "headers": "\n".join(arguments.header),
        "listener": arguments.listener,
        "source": arguments.source,
        "identity": arguments.identity,
        "db": arguments.db,
    }


def _endpoint(arguments: argparse.Namespace) -> tuple[str, dict[str, str]]:
    words = arguments.words
    if len(words) > 2:
        raise Failure("explain endpoint takes a CLUSTER, an address, or both", USAGE)
    if len(words) == 2:
        return "/explain/endpoint", {"cluster": words[0], "address": words[1]}
    alone = words[0] if words else ""
    # Names of clusters have no colon and no slash.
    return "/explain/endpoint", {"address" if ":" in alone or "/" in alone else "cluster": alone}

"""Edit a resource of the bus in $VISUAL or $EDITOR, then check and apply it.

A resource that is not there yet begins empty. What was changed by others meanwhile is a conflict, and what was written
is kept in a file that is named.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted_mesh.cli import parser as options_of
from twisted_mesh.cli.failure import Failure
from twisted_mesh.cli.output import complain
from twisted_mesh.cli.session import Session, author_of, with_mesh

if TYPE_CHECKING:
    from twisted_mesh.bus.resource import Resource

NAME = "edit"
HELP = "edit a resource in an editor"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("name", metavar="RESOURCE", type=options_of.resource, help="such as clusters/web")
    parser.add_argument("--base", metavar="PATH", help="a sidecar's own configuration, to check the whole with")
    options_of.change(parser)


def run(arguments: argparse.Namespace) -> int:
    """Edit it."""
    return with_mesh(arguments, lambda session: _edit(session, arguments))


async def _edit(session: Session, arguments: argparse.Namespace) -> int:
    stored = (await session.store.read()).resources
    before = _text(arguments.name, stored.get(arguments.name))
    with tempfile.NamedTemporaryFile("w", prefix="meshctl-", suffix=".yaml", delete=False, encoding="utf-8") as file:
        file.write(before)
    path = Path(file.name)
    keep = False
    try:
        _open(path)
        if path.read_text("utf-8") == before:
            complain("nothing was changed")
            return 0
        keep = True
        status = await _apply(session, arguments, stored, path)
        keep = False
        return status
    finally:
        if keep:
            complain(f"what you wrote is in {path}")
        else:
            path.unlink(missing_ok=True)


def _open(path: Path) -> None:
    """Have a person edit a file; the reactor waits, as nothing else is to be done meanwhile."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        done = subprocess.run([*shlex.split(editor), str(path)], check=False)
    except OSError as error:
        raise Failure(f"the editor cannot be started: {editor}: {error.strerror}; EDITOR names another") from None
    if done.returncode:
        raise Failure(f"{editor} ended with status {done.returncode}: nothing was changed")


def _text(name: str, resource: Any) -> str:
    from twisted_mesh.cli.yamltext import draft_of, text_of

    if resource is not None:
        try:
            return text_of(name, draft_of(resource))
        except ValueError as error:
            raise Failure(f"{name}: {error}") from None
    kind, _, own = name.partition("/")
    return f"# {name} is not on the bus yet.\n{kind}:\n  {own}:\n"


async def _apply(session: Session, arguments: argparse.Namespace, stored: dict[str, Resource], path: Path) -> int:
    from twisted_mesh.cli.difference import differences, shown
    from twisted_mesh.cli.trouble import checking, reading
    from twisted_mesh.cli.writing import finish

    arguments.file = [str(path)]
    proposed = reading(arguments)
    others = [each.name for each in proposed if each.name != arguments.name]
    if others:
        raise Failure(f"expected only {arguments.name}, got also {', '.join(others)}")
    for each in checking(arguments, proposed, stored):
        complain(each)
    found = differences(stored, {each.name: each.draft for each in proposed})
    if arguments.output != "json" and found:
        print(shown(found))
    written = await session.store.apply(
        {each.name: each.after for each in found},
        author=author_of(arguments, os.environ),
        reason=arguments.reason,
        expected={each.name: each.version for each in found},
    )
    return await finish(session, arguments, written, [arguments.name], f"{arguments.name} applied")

"""Judging what the files of a configuration and the bus say together."""

from __future__ import annotations

import os
from typing import Iterator, Mapping, NamedTuple, Optional, Sequence

from twisted_mesh.control.load import Files, checked, read_files, tree_of
from twisted_mesh.control.merge import SECTIONS, Offer, Refusal, merge
from twisted_mesh.control.parcels import pack, pack_problems
from twisted_mesh.control.references import missing_references
from twisted_mesh.control.substitute import Substitution
from twisted_mesh.errors import ConfigError
from twisted_mesh.model import Config


class Request(NamedTuple):
    """What is to be judged.

    `files` are what the configuration's files hold; None has them read at `path`, with `admin` over them.  `offers` and
    `good` are as for `merge`.
    """

    path: str
    files: Optional[Files] = None
    offers: Sequence[Offer] = ()
    good: Sequence[Offer] = ()
    admin: Optional[str] = None


class Verdict(NamedTuple):
    """What was found beside the configuration: `in_force` and `refused` are as in `Merged`."""

    files: Files
    in_force: Sequence[Offer]
    refused: Sequence[Refusal]


def judge(request: Request, env: Mapping[str, str]) -> tuple[Config, Verdict]:
    """Return the configuration that files and bus make together.

    :param env: the values of ``${NAME}``; a ``file:`` on the bus starts at the directory of the configuration.
    :raises ConfigError: the files are wrong.
    """
    files = request.files or read_files(request.path, request.admin)
    path = os.path.abspath(request.path)
    substitute = Substitution(env, path if os.path.isdir(path) else os.path.dirname(path))
    offers, good = ({each.name: each for each in some} for some in (request.offers, request.good))
    config, in_force, refused = merge(tree_of(files, env), offers, good, substitute)
    kept = [Offer(each.name, each.version, each.body) for each in in_force.values()]
    return config, Verdict(files, kept, refused)


def result(request: Request) -> Iterator[bytes]:
    """Return the parcels of what was found."""
    try:
        return pack(*judge(request, os.environ))
    except ConfigError as error:
        return pack_problems(error.problems)


def bare(files: Files, env: Mapping[str, str]) -> Config:
    """Return what the files say beside the resources, so that it is known where the bus is.

    :raises ConfigError: that is wrong, or something cannot be read.
    """
    tree = tree_of(files, env)
    for section in SECTIONS:
        tree.pop(section, None)
    return checked(tree)


def lacks_only(files: Files, env: Mapping[str, str], error: ConfigError) -> bool:
    """Whether all that is wrong is that resources are asked for that are not in the files: the bus may have them."""
    return set(error.problems) <= set(missing_references(tree_of(files, env)))

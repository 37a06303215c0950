"""Judging what the files of a configuration and the bus say together."""

from __future__ import annotations

import os
import pickle
from typing import BinaryIO, Iterator, Mapping, NamedTuple, Optional, Sequence

from twisted_mesh.control.load import Files, checked, read_files, tree_of
from twisted_mesh.control.merge import merge
from twisted_mesh.control.offers import SECTIONS, Offer, Refusal
from twisted_mesh.control.parcels import pack, pack_problems
from twisted_mesh.control.references import missing_references
from twisted_mesh.control.substitute import Substitution
from twisted_mesh.errors import ConfigError
from twisted_mesh.model import Config

# Resources in one piece of a request: a tenth of a millisecond.
FEW = 50


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


class Brief(NamedTuple):
    """A verdict without the resources, for whoever has the request: reading them again takes a millisecond.

    :ivar older: the names of those of `Request.good` that stay in force.
    :ivar out: the names of those of `Request.offers` that are not in force; neither is one of that name before them.
    """

    files: Files
    refused: Sequence[Refusal]
    older: frozenset[str]
    out: frozenset[str]

    @classmethod
    def of(cls, verdict: Verdict, request: Request) -> Brief:
        """Return what is to be said of the verdict on a request."""
        offers = {each.name: each for each in request.offers}
        older = frozenset(each.name for each in verdict.in_force if offers.get(each.name) != each)
        out = offers.keys() - {each.name for each in verdict.in_force}
        return cls(verdict.files, verdict.refused, older, frozenset(out))

    def verdict(self, request: Request) -> Verdict:
        """Return the verdict on the same request."""
        gone = self.older | self.out
        in_force = [each for each in request.offers if each.name not in gone]
        in_force += [each for each in request.good if each.name in self.older]
        return Verdict(self.files, in_force, self.refused)


def pack_request(request: Request) -> Iterator[bytes]:
    """Yield a request in pieces that each take little time."""
    yield pickle.dumps(request._replace(offers=(), good=()), protocol=pickle.HIGHEST_PROTOCOL)
    for name in ("offers", "good"):
        some = getattr(request, name)
        for start in range(0, len(some), FEW):
            yield pickle.dumps((name, list(some[start : start + FEW])), protocol=pickle.HIGHEST_PROTOCOL)


def unpack_request(file: BinaryIO) -> Request:
    """Return what `pack_request` yielded."""
    request: Request = pickle.load(file)
    lists: dict[str, list[Offer]] = {"offers": [], "good": []}
    while True:
        try:
            name, some = pickle.load(file)
        except EOFError:
            return request._replace(offers=lists["offers"], good=lists["good"])
        lists[name] += some


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
    """Return the parcels of what was found: the configuration and a `Brief`, or problems."""
    try:
        config, verdict = judge(request, os.environ)
        return pack(config, Brief.of(verdict, request))
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

"""A configuration on its way from the child that checked it, in parcels that are each unpacked in no time.

Unpickling a configuration of 2,000 resources takes 17 ms and comparing it with the one in force 10 ms, for which calls
would wait.  So it travels in parcels of a few resources, and between two of them the loop may turn.  What is equal to
what is in force is the same object afterwards.
"""

from __future__ import annotations

import pickle
from typing import Any, Iterable, Iterator, NamedTuple, Optional

from twisted_mesh.errors import ConfigError, Problem
from twisted_mesh.model import Config

SECTIONS = ("listeners", "routes", "clusters")
# Resources, or routes of a table, in one parcel: a third of a millisecond where each of them has changed.
FEW = 12
# Resources that are found in the configuration in force in one step: a tenth of a millisecond.
MANY = 200
_LENGTH = 4


class Part(NamedTuple):
    """One resource, or some of the routes of a table."""

    section: str
    name: str
    value: Any


class Head(NamedTuple):
    """What comes first: the configuration without its resources, and whatever else there is to say of it."""

    config: Config
    more: Any = None


# --- packing


def pack(config: Config, more: Any = None) -> Iterator[bytes]:
    """Yield the parcels of a configuration."""
    yield _pickled(Head(config.model_copy(update={section: {} for section in SECTIONS}), more))
    some: list[Part] = []
    weight = 0
    for part in _parts(config):
        some.append(part)
        weight += len(part.value) if part.section == "routes" else 1
        if weight >= FEW:
            yield _pickled(some)
            some, weight = [], 0
    yield _pickled(some)


def pack_problems(problems: list[Problem]) -> Iterator[bytes]:
    """Yield the only parcel of a configuration that was refused."""
    yield _pickled(problems)


def _parts(config: Config) -> Iterator[Part]:
    for section in SECTIONS:
        for name, value in getattr(config, section).items():
            if section != "routes":
                yield Part(section, name, value)
                continue
            for start in range(0, len(value) or 1, FEW):
                yield Part(section, name, value[start : start + FEW])


def _pickled(value: Any) -> bytes:
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


def framed(parcels: Iterable[bytes]) -> Iterator[bytes]:
    """Yield parcels as they go through a pipe."""
    for each in parcels:
        yield len(each).to_bytes(_LENGTH, "big")
        yield each


def unframed(data: bytes) -> list[bytes]:
    """Return the parcels that came through a pipe.

    :raises ValueError: something is missing.
    """
    parcels: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + _LENGTH + int.from_bytes(data[at : at + _LENGTH], "big")
        if end > len(data):
            raise ValueError("cut")
        parcels.append(data[at + _LENGTH : end])
        at = end
    if not parcels:
        raise ValueError("empty")
    return parcels


# --- unpacking


class Unpacking:
    """Unpacks parcels one by one; `config` and `more` are there when `steps` has ended.

    :param before: the configuration in force: what is equal in it is taken from there.
    """

    config: Config
    more: Any

    def __init__(self, parcels: list[bytes], before: Optional[Config]) -> None:
        self._parcels = parcels
        self._before = before
        self._resources: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        # Section and name of what was found equal so far.
        self._equal: set[tuple[str, str]] = set()

    def steps(self) -> Iterator[None]:
        """Unpack; each step is short.

        :raises ConfigError: the parcels say what is wrong instead.
        """
        head = pickle.loads(self._parcels[0])
        if not isinstance(head, Head):
            raise ConfigError(head)
        yield
        for each in self._parcels[1:]:
            for part in pickle.loads(each):
                self._take(part)
            yield
        for at, (section, name) in enumerate(self._equal):
            before, found = self._known(section, name), self._resources[section]
            if section != "routes" or len(before) == len(found[name]):
                found[name] = before
            if at % MANY == MANY - 1:
                yield
        self.config = head.config.model_copy(update=self._resources)
        self.more = head.more

    def _known(self, section: str, name: str) -> Any:
        return None if self._before is None else getattr(self._before, section).get(name)

    def _take(self, part: Part) -> None:
        found, key = self._resources[part.section], (part.section, part.name)
        before = self._known(*key)
        if part.section != "routes":
            found[part.name] = part.value
            if before is not None and before == part.value:
                self._equal.add(key)
            return
        so_far = found.get(part.name, ())
        old = () if before is None else before[len(so_far) : len(so_far) + len(part.value)]
        same = tuple(known if known == new else new for known, new in zip(old, part.value, strict=False))
        found[part.name] = (*so_far, *same, *part.value[len(same) :])
        if before is not None and not so_far:
            self._equal.add(key)
        if len(old) < len(part.value) or any(one is not two for one, two in zip(old, same, strict=True)):
            self._equal.discard(key)


def is_same(one: Config, two: Optional[Config]) -> bool:
    """Whether two configurations are equal; quick where what is equal is the same object."""
    if two is None:
        return False
    for name in type(one).model_fields:
        mine, theirs = getattr(one, name), getattr(two, name)
        if name in SECTIONS:
            if mine.keys() != theirs.keys():
                return False
            if any(each is not theirs[key] and each != theirs[key] for key, each in mine.items()):
                return False
        elif mine != theirs:
            return False
    return True

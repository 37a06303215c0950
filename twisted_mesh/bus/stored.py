"""A version of the store as a whole, and what one sidecar has of it."""

from __future__ import annotations

import json
from typing import Any, Generator, Iterator, Mapping, NamedTuple, Optional

import msgspec

from twisted_mesh.bus.resource import TRIAL, Canary, Draft, Resource, decode, encode, parse_select
from twisted_mesh.policy.canary import belongs
from twisted_mesh.policy.selector import Selector, Who, parse_group

# Resources that are looked at in one step: a sixth of a millisecond.
STEP = 100
# The same of those that need hardly a look.
MANY = 500


class Nack(msgspec.Struct, frozen=True, omit_defaults=True):
    """A resource that a sidecar cannot use, in which version, and why; its last good stays in force."""

    name: str
    version: int
    reason: str


class Effective(NamedTuple):
    """What one sidecar has of the store.

    :ivar resources: by the name that they have in a configuration, ``clusters/web``, which is their `name` too,
        whichever variant it is; groups are not among them.
    :ivar refused: what cannot even be told whether it is for this sidecar, or cannot be read.  Its `Nack.name` is the
        name at the store, which may have a variant (`resource.base_name`).
    :ivar canary: whether this sidecar belongs to the canary.
    """

    resources: dict[str, Resource]
    refused: tuple[Nack, ...]
    canary: bool


class Stored(msgspec.Struct, frozen=True):
    """The configuration store at one version.  Never changed: a newer one is another object.

    :ivar epoch: which life of the store, ``FIRST-RANDOM`` with its first version; empty if nothing was ever written.
    :ivar records: every resource, those that a canary tries under their name with "~" before it.
    :ivar changed: the names (without "~" and variant) that differ from the `Stored` before; None if that is not known,
        as after a start.
    """

    epoch: str = ""
    version: int = 0
    records: Mapping[str, Resource] = {}
    canary: Optional[Canary] = None
    changed: Optional[frozenset[str]] = None

    @property
    def resources(self) -> dict[str, Resource]:
        """The resources by name, without what a canary tries."""
        return {name: each for name, each in self.records.items() if not name.startswith(TRIAL)}

    @property
    def trial(self) -> dict[str, Optional[Resource]]:
        """What the canary has in their place, by name; None for those that it deletes."""
        tried = {name[len(TRIAL) :]: each for name, each in self.records.items() if name.startswith(TRIAL)}
        return {name: _renamed(each, name) if each.problem or each.body else None for name, each in tried.items()}

    def effective(self, who: Who) -> Effective:
        """Return what this sidecar has of it.

        Of the variants of one name that match, the one with the most conditions counts; of several with as many, the
        first by name.
        """
        steps = self.resolving(who)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                effective: Effective = stop.value
                return effective

    def resolving(self, who: Who) -> Generator[None, None, Effective]:
        """Do as `effective` does, in steps that are each short; the last returns it."""
        canary = self.canary is not None and belongs(who.node, self.canary.bound)
        found: dict[str, Resource] = {}
        for at, (name, each) in enumerate(self.records.items()):
            if at % MANY == MANY - 1:
                yield
            if not name.startswith(TRIAL):
                found[name] = each
        if canary:
            for name, tried in self.trial.items():
                if tried is None:
                    found.pop(name, None)
                else:
                    found[name] = tried
        yield
        return (yield from _resolving(who, found, canary))

    def concerned(self, who: Who) -> bool:
        """Whether the open canary brings something that is for this sidecar, or takes such a thing away."""
        if self.canary is None:
            return False
        found, trial = self.resources, self.trial
        drafts = [each for name in self.canary.names for each in (trial.get(name), found.get(name)) if each is not None]
        groups = {**_groups(found), **_groups({name: each for name, each in trial.items() if each is not None})}
        return any(is_for(each, who, groups) for each in drafts)

    def dump(self) -> Iterator[str]:
        """Yield it as JSON for a file, in pieces that each take little time; `load` reads it."""
        canary = None if self.canary is None else msgspec.to_builtins(self.canary)
        head = json.dumps({"epoch": self.epoch, "version": self.version, "canary": canary, "records": {}})
        yield head[:-2]
        records = list(self.records.items())
        for start in range(0, len(records), STEP):
            # What was written past us may be no UTF-8; JSON holds it, escaped.
            some = {
                name: each.record.decode("utf-8", "surrogateescape") for name, each in records[start : start + STEP]
            }
            yield (", " if start else "") + json.dumps(some)[1:-1]
        yield "}}"

    @classmethod
    def load(cls, text: str) -> Stored:
        """Return what `dump` yielded.

        :raises ValueError: it is something else.
        """
        try:
            plain = json.loads(text)
            canary = msgspec.convert(plain["canary"], Optional[Canary])
            records = {
                msgspec.convert(name, str): decode(name, record.encode("utf-8", "surrogateescape"))
                for name, record in plain["records"].items()
            }
            return cls(msgspec.convert(plain["epoch"], str), msgspec.convert(plain["version"], int), records, canary)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"not a dump of the store: {error!r}") from error


EMPTY = Stored()


def with_trial(stored: Stored, changes: Mapping[str, Optional[Draft]]) -> Stored:
    """Return what a store would be with a canary of these changes.

    :raises ValueError: one of them cannot be written.
    """
    records = {
        TRIAL + name: decode(TRIAL + name, b'{"version":0}\n' + (b"\n" if draft is None else encode(name, draft)))
        for name, draft in changes.items()
    }
    canary = Canary(0, 0.0, 0.0, 0.0, 0, names=tuple(changes))
    return msgspec.structs.replace(stored, records={**stored.resources, **records}, canary=canary)


def is_for(resource: Resource, who: Who, groups: Mapping[str, Any]) -> bool:
    """Whether a resource is for a sidecar; a group is for everyone, and what is wrong concerns everyone."""
    try:
        selector = _selector(resource, groups)
    except ValueError:
        return True
    return selector is None or selector.matches(who)


def _resolving(who: Who, found: Mapping[str, Resource], canary: bool) -> Generator[None, None, Effective]:
    best: dict[str, tuple[int, Resource]] = {}
    refused = []
    values = _groups(found)
    yield
    for at, name in enumerate(sorted(found)):
        if at % STEP == STEP - 1:
            yield
        each = found[name]
        try:
            selector = _selector(each, values)
        except ValueError as error:
            refused.append(Nack(name, each.version, str(error)))
            continue
        if selector is None or not selector.matches(who):
            continue
        known = best.get(each.base)
        if known is None or selector.conditions > known[0]:
            best[each.base] = (selector.conditions, each)
    resources = {}
    for at, (base, (_, each)) in enumerate(best.items()):
        if at % MANY == MANY - 1:
            yield
        resources[base] = _renamed(each, base)
    return Effective(resources, tuple(refused), canary)


def _selector(resource: Resource, groups: Mapping[str, Any]) -> Optional[Selector]:
    """Return whom a resource is for; None for a group, which is for nobody by itself."""
    if resource.problem:
        raise ValueError(resource.problem)
    if resource.name.startswith("groups/"):
        parse_group(resource.value)
        return None
    return parse_select(resource.select, groups)


def _groups(resources: Mapping[str, Resource]) -> dict[str, Any]:
    """Return the selectors of all groups that can be read."""
    return {
        name[len("groups/") :]: each.value
        for name, each in resources.items()
        if name.startswith("groups/") and not each.problem
    }


def _renamed(resource: Resource, name: str) -> Resource:
    return resource if resource.name == name else msgspec.structs.replace(resource, name=name)

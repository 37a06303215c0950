"""From the users of a configuration to those that connections are held against."""

from __future__ import annotations

from typing import TYPE_CHECKING, AbstractSet, Iterable, Optional, Sequence

from twisted_mesh.codec.command_classes import EVERYTHING, operations
from twisted_mesh.policy.acl import User, Users

if TYPE_CHECKING:
    from twisted_mesh.model.redis_user import RedisUser

# What runs a script or a function.
_SCRIPTS = frozenset(["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"])


def users(configured: Iterable[RedisUser]) -> Users:
    """Return the users, with their commands and prefixes."""
    return Users(map(_user, configured))


def _user(config: RedisUser) -> User:
    limited = any(each is not None for each in (config.read, config.write, config.channels))
    return User(
        config.name,
        [bytes.fromhex(each.partition(":")[2]) for each in config.passwords],
        operations=allowed(config.commands, scripts=not limited),
        reads=_encoded(config.read),
        writes=_encoded(config.write),
        channels=_encoded(config.channels),
        identities=config.identities,
    )


def _encoded(prefixes: Optional[Sequence[str]]) -> Optional[list[bytes]]:
    return None if prefixes is None else [each.encode("utf-8", "surrogateescape") for each in prefixes]


def allowed(rules: Sequence[str], scripts: bool = True) -> Optional[AbstractSet[str]]:
    """Return the names of the commands that these rules allow, one after the other; None for all there are.

    :param scripts: whether "all commands" are with those that run scripts.  A script may touch keys that it does not
        declare, so that whoever is kept to some keys may only run them if the rules name them.
    """
    if not rules or (tuple(rules) == (EVERYTHING,) and scripts):
        return None if rules else frozenset()
    everything = set(operations([EVERYTHING])) - (set() if scripts else _SCRIPTS)
    names = set(everything) if rules[0].startswith("-") else set()
    for each in rules:
        meant = everything if each == EVERYTHING else operations([each.removeprefix("-")])
        if each.startswith("-"):
            names.difference_update(meant)
        else:
            names.update(meant)
    return frozenset(names)

"""Who a client of Redis is, and what it may do: users, passwords, commands, keys and channels.

The rules are a part of Redis's ACL, and what is refused is refused in its words, since client libraries know these.
https://valkey.io/topics/acl/
"""

from __future__ import annotations

import hashlib
import hmac
from typing import AbstractSet, Iterable, Mapping, Optional, Sequence

# Who authenticates with a password alone.
DEFAULT = "default"
WRONG = "WRONGPASS invalid username-password pair or user is disabled."
NO_PASSWORD = (
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration "
    "is correct?"
)
NO_KEY = "NOPERM No permissions to access a key"
NO_CHANNEL = "NOPERM No permissions to access a channel"


def digest(password: bytes) -> bytes:
    """Return what is kept of a password: its SHA-256, as Redis keeps it."""
    return hashlib.sha256(password).digest()


class User:
    """One user.  None means no restriction.

    :param digests: of the passwords, each of which is good: that one of them can be replaced without a moment in which
        some client has none.
    :param operations: the commands that it may send, by the names of the table (``GET``, ``CONFIG|GET``).
    :param reads: what keys begin with that it may read.
    :param writes: what keys begin with that it may change.
    :param channels: what channels begin with that it may publish to or subscribe to.
    :param identities: whose certificates stand for a password.
    """

    __slots__ = ("_digests", "channels", "identities", "name", "operations", "reads", "writes")

    def __init__(
        self,
        name: str,
        digests: Iterable[bytes] = (),
        *,
        operations: Optional[AbstractSet[str]] = None,
        reads: Optional[Sequence[bytes]] = None,
        writes: Optional[Sequence[bytes]] = None,
        channels: Optional[Sequence[bytes]] = None,
        identities: Iterable[str] = (),
    ) -> None:
        self.name = name
        self._digests = tuple(digests)
        self.operations = operations
        self.reads = None if reads is None else tuple(reads)
        self.writes = None if writes is None else tuple(writes)
        self.channels = None if channels is None else tuple(channels)
        self.identities = tuple(identities)

    def __repr__(self) -> str:
        return f"<User {self.name}>"

    @property
    def by_keys(self) -> bool:
        """Whether its commands have to be looked at word by word."""
        return any(each is not None for each in (self.reads, self.writes, self.channels))

    def knows(self, password: bytes) -> bool:
        """Whether this is one of its passwords; how long it takes tells nothing of them."""
        given = digest(password)
        known = False
        for each in self._digests:
            known |= hmac.compare_digest(each, given)
        return known

    def refuses_command(self, operation: str, asked: str) -> str:
        """Return the error for a command that it may not send; empty if it may.

        :param operation: the name in the table.
        :param asked: the name as the client wrote it, which goes into the error.
        """
        if self.operations is None or operation in self.operations:
            return ""
        return f"NOPERM User {self.name} has no permissions to run the '{asked.lower()}' command"

    def refuses_keys(self, reads: Iterable[bytes], writes: Iterable[bytes], channels: Iterable[bytes] = ()) -> str:
        """Return the error for keys or channels that it may not touch; empty if it may touch all of these."""
        if not _all_begin(reads, self.reads) or not _all_begin(writes, self.writes):
            return NO_KEY
        return "" if _all_begin(channels, self.channels) else NO_CHANNEL


def _all_begin(names: Iterable[bytes], prefixes: Optional[tuple[bytes, ...]]) -> bool:
    return prefixes is None or all(each.startswith(prefixes) for each in names)


class Users:
    """The users of one listener, by name.

    Where there are none, every client may do everything without saying who it is.
    """

    __slots__ = ("_holders", "_users")

    def __init__(self, users: Iterable[User] = ()) -> None:
        self._users: Mapping[str, User] = {each.name: each for each in users}
        self._holders = {name: each for each in self._users.values() for name in each.identities}

    def __repr__(self) -> str:
        return f"<Users {', '.join(self._users)}>"

    @property
    def needed(self) -> bool:
        """Whether a client has to say who it is."""
        return bool(self._users)

    def get(self, name: str) -> Optional[User]:
        """Return the user of this name."""
        return self._users.get(name)

    def holder(self, identity: Optional[str]) -> Optional[User]:
        """Return the user that the holder of a certificate is."""
        return None if identity is None else self._holders.get(identity)

    def authenticate(self, name: str, password: bytes) -> Optional[User]:
        """Return the user who has this password; None if there is none.

        A name that does not exist takes as long as a wrong password.
        """
        user = self._users.get(name)
        known = (user or _NOBODY).knows(password)
        return user if known else None


_NOBODY = User("", [digest(b"")[::-1]])

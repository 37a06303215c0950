"""What a new connection to a Redis server says first."""

from __future__ import annotations

from typing import Protocol

# How the mesh calls itself: what CLIENT LIST of a server shows.
CLIENT_NAME = "twisted-mesh"


class Login(Protocol):
    """The part of `ServerOptions` that concerns this."""

    @property
    def username(self) -> str: ...

    @property
    def password(self) -> str: ...

    @property
    def db(self) -> int: ...

    @property
    def read_only(self) -> bool: ...


def greeting(options: Login, db: int, resp: int) -> list[tuple[list[str], bool]]:
    """Return the commands, and whether the connection is of no use if one is refused.

    :param db: the database that the client has selected; 0 is that of `options`.
    :param resp: the version of the protocol.
    """
    login = [options.username or "default", options.password] if options.password else []
    commands: list[tuple[list[str], bool]] = []
    if resp == 3:
        commands.append((["HELLO", "3", *(["AUTH", *login] if login else [])], True))
    elif login:
        commands.append((["AUTH", *(login if options.username else login[1:])], True))
    if db or options.db:
        commands.append((["SELECT", str(db or options.db)], True))
    if options.read_only:
        commands.append((["READONLY"], True))
    commands.append((["CLIENT", "SETNAME", CLIENT_NAME], False))
    return commands

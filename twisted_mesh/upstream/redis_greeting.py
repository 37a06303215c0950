"""How Redis servers are spoken to, and what a new connection says first."""

from __future__ import annotations

from dataclasses import dataclass

# The database of connections for commands that have no key and concern none.
NO_DATABASE = -1
# That of connections for reads of replicas of a Redis Cluster, which has one database only: a server that has become
# a replica answers reads there and nowhere else, so that those which come behind writes are sent on with them.
OF_REPLICAS = -2
# How the mesh calls itself: what CLIENT LIST of a server shows.
CLIENT_NAME = "twisted-mesh"


@dataclass(frozen=True)
class ServerOptions:
    """How servers are spoken to.

    `connections` to each for one database; `in_flight`: commands that may wait for their replies on one of them;
    `silence`: seconds without a byte, while replies are awaited, after which a connection is given up.
    """

    connections: int = 1
    in_flight: int = 65536
    silence: float = 15.0
    username: str = ""
    password: str = ""
    #: The database of clients that have selected none.
    db: int = 0


def greeting(options: ServerOptions, db: int, resp: int) -> list[tuple[list[str], bool]]:
    """Return the commands, and whether the connection is of no use if one is refused.

    :param db: the database that the client has selected; 0 is that of `options`.  With `NO_DATABASE` nothing is said
        without which it would be of no use and that a server refuses while it is busy with a script; `OF_REPLICAS` is
        for reads.
    :param resp: the version of the protocol.
    """
    login = [options.username or "default", options.password] if options.password else []
    commands: list[tuple[list[str], bool]] = []
    naming = (["CLIENT", "SETNAME", CLIENT_NAME], False)
    if resp == 3:
        commands.append((["HELLO", "3", *(["AUTH", *login] if login else [])], True))
    elif login:
        commands.append((["AUTH", *(login if options.username else login[1:])], True))
    if db == NO_DATABASE:
        return [*commands, naming]
    if db == OF_REPLICAS:
        commands.append((["READONLY"], True))
    elif db or options.db:
        commands.append((["SELECT", str(db or options.db)], True))
    return [*commands, naming]

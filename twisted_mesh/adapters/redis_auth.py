"""Who a client of a Redis listener is, and what of its commands it may send.

What is refused is refused in a server's words.  A client that has not said who it is may only do that; what the
configuration says of a user later holds for those who are logged in as well, as with ACL SETUSER.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from twisted_mesh.codec.command_access import access
from twisted_mesh.codec.commands import Command
from twisted_mesh.codec.resp import OK, arguments, error
from twisted_mesh.codec.resp_request_scan import Found
from twisted_mesh.policy.acl import DEFAULT, NO_KEY, NO_PASSWORD, WRONG, User, Users

if TYPE_CHECKING:
    from twisted_mesh.adapters.redis_answering import Answering

# What anybody may send.
_FREE = frozenset(["AUTH", "HELLO", "QUIT", "RESET"])
_UNKNOWN = error("NOAUTH", "Authentication required.")
NO_HELLO = error(
    "NOAUTH",
    "HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option "
    "can be used to authenticate the client and select the RESP protocol version at the same time",
)


def _line(text: str) -> bytes:
    return f"-{text}\r\n".encode("utf-8", "surrogateescape")


_WRONG = _line(WRONG)
_NO_PASSWORD = _line(NO_PASSWORD)


class Guard:
    """Stands between one client and the commands of a listener that has users.

    `user` is who the client is, None while it has not said so.

    :param certificate: who it is by its certificate, if it has shown one: some users need not say more.
    """

    __slots__ = ("_certificate", "_users", "user")

    def __init__(self, users: Users, certificate: Optional[str] = None) -> None:
        self._users = users
        self._certificate = certificate
        self.user: Optional[User] = users.holder(certificate)

    def __repr__(self) -> str:
        return f"<Guard of {self.user!r}>"

    def login(self, name: bytes, password: bytes) -> Optional[bytes]:
        """Say who the client is; returns the error if that is not right, and the client stays who it was."""
        user = self._users.authenticate(name.decode("utf-8", "surrogateescape"), password)
        if user is None:
            return _WRONG
        self.user = user
        return None

    def forget(self) -> None:
        """Be as with a client that has just connected."""
        self.user = self._users.holder(self._certificate)

    def change(self, users: Users) -> bool:
        """Go by other users from now on; returns whether the client still is one of them, or was none."""
        self._users = users
        if self.user is None:
            self.forget()
            return True
        self.user = users.get(self.user.name)
        return self.user is not None

    def refuses(self, command: Command, found: Found, data: bytes) -> Optional[bytes]:
        """Return the error for a command that this client may not send; None if it may."""
        user = self.user
        if user is None:
            return None if command.name in _FREE else _UNKNOWN
        if user.operations is not None and command.name not in _FREE:
            refused = user.refuses_command(command.name, command.name)
            if refused:
                return _line(refused)
        if not user.by_keys:
            return None
        refused = user.refuses_keys(*access(command, arguments(data[found[3] : found[4]])))
        return _line(refused) if refused else None

    def refuses_large(self, command: Command, key: bytes) -> Optional[bytes]:
        """The same for a command of one key whose value has not come to its end.

        What stands behind the value is not known yet, so that the key has to be one that may be read, too.
        """
        user = self.user
        if user is None:
            return _UNKNOWN
        refused = user.refuses_command(command.name, command.name)
        if not refused and user.by_keys and user.refuses_keys([key], [] if command.read_only else [key]):
            refused = NO_KEY
        return _line(refused) if refused else None


def auth(client: Answering, words: list[bytes]) -> bytes:
    """Return the reply to AUTH.  Where there are no users any name but the default one is wrong, as with a server."""
    if len(words) > 3:
        return error("ERR", "syntax error")
    if client.guard is None and len(words) == 2:
        return _NO_PASSWORD
    name, password = (DEFAULT.encode(), words[1]) if len(words) == 2 else words[1:]
    return login(client, name, password) or OK


def login(client: Answering, name: bytes, password: bytes) -> Optional[bytes]:
    """Log a client in; returns the error if that is refused, and has it logged."""
    if client.guard is None:
        return None if name == DEFAULT.encode() else _WRONG
    refused = client.guard.login(name, password)
    if refused is not None:
        client.adapter.denied(client, "AUTH", refused)
    client.recognise()
    return refused


def guard_for(users: Users, certificate: Optional[str] = None) -> Optional[Guard]:
    """Return what stands between a new client and its commands; None where everybody may do everything."""
    return Guard(users, certificate) if users.needed else None


def hand_over(client: Answering, users: Users) -> None:
    """Have an open connection go by other users; one whose user is gone is closed, as a server does it."""
    if not users.needed:
        client.guard = None
    elif client.guard is None:
        client.guard = Guard(users, client.certificate)
    elif not client.guard.change(users):
        client.close()
    client.recognise()

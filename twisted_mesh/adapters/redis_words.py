"""What clients of a Redis listener are told when something goes wrong: first a code that libraries look at, then words.

The words behind the code are those that Envoy's proxy uses for the same, as people search for them.
"""

from __future__ import annotations

from typing import Optional, Union

from twisted_mesh.codec.resp import error
from twisted_mesh.errors import Cancelled, Kind, MeshError

_FAILED = ("MESHFAILURE", "upstream failure")
_NO_HOST = ("MESHNOHOST", "no upstream host")
_LIMIT = ("MESHLIMIT", "rate limited")
_BUSY = ("MESHLIMIT", "too much is in flight")

WORDS: dict[Kind, tuple[str, str]] = {
    Kind.NO_ROUTE: ("MESHNOHOST", "no route"),
    Kind.NO_CLUSTER: _NO_HOST,
    Kind.NO_ENDPOINT: _NO_HOST,
    Kind.CONNECT_FAILED: _FAILED,
    Kind.CONNECT_TIMEOUT: _FAILED,
    Kind.RESET: _FAILED,
    Kind.CLOSED: _FAILED,
    Kind.BAD_REPLY: ("MESHFAILURE", "upstream protocol error"),
    Kind.TIMEOUT: ("MESHTIMEOUT", "upstream failure"),
    Kind.TRY_TIMEOUT: ("MESHTIMEOUT", "upstream failure"),
    Kind.DEADLINE: ("MESHTIMEOUT", "the deadline has passed"),
    Kind.OVERFLOW: _BUSY,
    Kind.OVERLOADED: ("MESHLIMIT", "overloaded"),
    Kind.MAINTENANCE: ("MESHNOHOST", "under maintenance"),
    Kind.RETRY_LIMIT: _FAILED,
    Kind.BAD_REQUEST: ("ERR", "invalid request"),
    Kind.TOO_LARGE: ("MESHLIMIT", "too large"),
    Kind.REQUEST_TIMEOUT: ("MESHTIMEOUT", "the command took too long to come"),
    Kind.STREAM_IDLE: ("MESHTIMEOUT", "idle for too long"),
    Kind.MAX_DURATION: ("MESHTIMEOUT", "took too long"),
    Kind.CLIENT_GONE: _FAILED,
    Kind.DENIED: ("MESHDENY", "denied"),
    Kind.UNAUTHENTICATED: ("NOAUTH", "Authentication required."),
    Kind.RATE_LIMITED: _LIMIT,
    Kind.FAULT: ("ERR", "Fault Injected: Error"),
    Kind.UPGRADE_REFUSED: ("ERR", "invalid request"),
    Kind.DRAINING: ("MESHFAILURE", "the proxy is going away"),
    Kind.INTERNAL: ("ERR", "internal error of the proxy"),
}
# What is complete without a detail, or whose detail is no client's business.
_BARE = frozenset((Kind.UNAUTHENTICATED, Kind.FAULT, Kind.INTERNAL))


def words_for(failed: Union[MeshError, Cancelled]) -> bytes:
    """Return the error reply for one command that failed like this."""
    code, text = WORDS[failed.kind]
    if failed.detail and failed.kind not in _BARE:
        text = f"{text}: {failed.detail}"
    return error(code, text)


def wrong_arity(name: str) -> bytes:
    """Return what a server says of a command with too few or too many words."""
    return error("ERR", f"wrong number of arguments for '{name.lower()}' command")


def unknown_command(words: list[bytes]) -> bytes:
    """Return what a server says of a command that it does not know."""
    arguments = ""
    for each in words[1:]:
        if len(arguments) >= 128:
            break
        arguments += f"'{_shown(each[: 128 - len(arguments)])}' "
    return error("ERR", f"unknown command '{_shown(words[0][:128])}', with args beginning with: {arguments}")


def unknown_subcommand(container: str, first: Optional[bytes]) -> bytes:
    """Return what a server says of a subcommand that it does not know."""
    return error("ERR", f"unknown subcommand '{_shown((first or b'')[:128])}'. Try {container.upper()} HELP.")


def refused(name: str, why: str) -> bytes:
    """Return what is said of a command that this proxy does not pass on."""
    return error("ERR", f"{name.replace('|', ' ')} {why}")


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")

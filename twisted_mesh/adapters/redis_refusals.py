"""What clients of a Redis listener are told of a command that is none or is not passed on, as a server says it."""

from __future__ import annotations

from typing import Optional

from twisted_mesh.codec.resp import error


def wrong_arity(name: str) -> bytes:
    """Return what a server says of a command with too few or too many words."""
    return error("ERR", f"wrong number of arguments for '{name.lower()}' command")


def too_large(name: bytes, limit: int) -> bytes:
    """Return what is said of a command that was not kept, and of which not all keys were known at its beginning."""
    shown = _shown(name[:128].upper()) or "a command"
    return error("MESHLIMIT", f"too large: {shown} of more than {limit} bytes, which cannot be passed on as it comes")


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
    """Return what is said of a command that this proxy does not pass on.

    :param why: goes behind the name, unless it is a sentence of its own.
    """
    return error("ERR", why if why[0].isupper() else f"{name.replace('|', ' ')} {why}")


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
